//! The token with which an upstream proves itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_proto::{Code, ConnectionString, Metadata, Status};
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

/// The credential of a call.
pub(crate) fn bearer(token: Option<&str>) -> Result<Metadata, Status> {
    let mut metadata = Metadata::new();
    if let Some(token) = token {
        metadata
            .append("authorization", format!("Bearer {token}"))
            .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
    }
    Ok(metadata)
}

/// When a token is to be replaced, after it was made: at four fifths of its life.
pub(crate) fn renewal(lifetime: Duration) -> Duration {
    // The year is for those who never want to renew, whose lifetime nothing can be multiplied with.
    lifetime.min(Duration::from_secs(365 * 24 * 3600)) * 4 / 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};

    #[test]
    fn a_token_for_ever_is_renewed_before_the_year_is_over() {
        assert_eq!(renewal(Duration::from_secs(100)), Duration::from_secs(80));
        assert!(renewal(Duration::MAX) < Duration::from_secs(365 * 24 * 3600));
    }

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
