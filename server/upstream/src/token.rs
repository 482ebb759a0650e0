//! The token with which an upstream proves itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_proto::ConnectionString;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

#[derive(Serialize)]
struct Claims<'a> {
    aud: String,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
}

/// The one thing that a token opens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BoundTo<'a> {
    Hub(&'a str),
    Channel(&'a str),
}

/// A JWT for an application: HS256 with the access key, `aud` the endpoint and `/upstream`, bound to this hub or push
/// channel, valid for `lifetime` from now on.
pub(crate) fn mint(
    connection: &ConnectionString,
    bound_to: BoundTo<'_>,
    lifetime: Duration,
    now: SystemTime,
) -> Result<String, jsonwebtoken::errors::Error> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (hub, channel) = match bound_to {
        BoundTo::Hub(hub) => (Some(hub), None),
        BoundTo::Channel(channel) => (None, Some(channel)),
    };
    let claims = Claims {
        aud: format!("{}/upstream", connection.endpoint()),
        iat: now.as_secs(),
        exp: now.saturating_add(lifetime).as_secs(),
        hub,
        channel,
    };
    let key = EncodingKey::from_secret(connection.access_key().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};

    #[test]
    fn the_token_is_for_one_hub_of_one_endpoint_and_expires() {
        let connection: ConnectionString = "Endpoint=http://localhost:8080/;AccessKey=secret"
            .parse()
            .expect("well-formed");
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let token = mint(
            &connection,
            BoundTo::Hub("chat"),
            Duration::from_secs(60),
            now,
        )
        .expect("minted");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.set_audience(&["http://localhost:8080/upstream"]);
        let key = DecodingKey::from_secret(b"secret");
        let decoded =
            jsonwebtoken::decode::<std::collections::BTreeMap<String, serde_json::Value>>(
                &token,
                &key,
                &validation,
            )
            .expect("signed with the access key, for this audience");
        assert_eq!(decoded.claims["exp"], 1_060);
        assert_eq!(decoded.claims["hub"], "chat");
        assert!(!decoded.claims.contains_key("channel"));
    }
}
