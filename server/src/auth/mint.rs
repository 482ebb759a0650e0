use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use headwater_proto::subprotocol::{group_name_is_valid, hub_name};
use serde::Serialize;

use super::{
    AccessKey,
    client::client_path,
    upstream::{UPSTREAM_PATH, channel_name_is_valid},
};

/// What a client is let in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientGrant<'a> {
    /// The hub, in any case.
    pub hub: &'a str,
    /// The user. Default: `None`, anonymous.
    pub user_id: Option<&'a str>,
    /// The roles, such as `webpubsub.joinLeaveGroup`. Default: none.
    pub roles: &'a [String],
    /// The groups to be a member of from the start. Default: none.
    pub groups: &'a [String],
    /// How long the URL can be used to connect, in whole seconds. Default: one hour.
    pub lifetime: Duration,
}

impl<'a> ClientGrant<'a> {
    /// An anonymous client of `hub` without roles and groups, for one hour.
    pub const fn new(hub: &'a str) -> Self {
        Self {
            hub,
            user_id: None,
            roles: &[],
            groups: &[],
            lifetime: Duration::from_secs(3600),
        }
    }
}

/// Why there can be no such token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The endpoint does not begin with `http://` or `https://`.
    #[error("the endpoint does not begin with http:// or https://")]
    Endpoint,
    /// The name of a hub is not valid.
    #[error("the name of the hub is not valid")]
    Hub,
    /// The name of a group is not valid.
    #[error("the name of a group is not valid")]
    Group,
    /// The name of a push channel is not valid: it has more than 256 bytes.
    #[error("the name of a push channel is not valid")]
    Channel,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: String,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    role: &'a [String],
    #[serde(
        rename = "webpubsub.group",
        skip_serializing_if = "<[String]>::is_empty"
    )]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hub: Vec<String>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    channel: &'a [&'a str],
}

/// The URL that a client connects to, its token included: `ws://HOST/client/hubs/{hub}?access_token=…`, or `wss` for an
/// endpoint with `https`. The same arguments give the same URL.
///
/// # Errors
///
/// [`MintError`] if the endpoint or a name is not valid.
pub fn client_url(
    endpoint: &str,
    key: &AccessKey,
    grant: &ClientGrant<'_>,
    now_unix_seconds: u64,
) -> Result<String, MintError> {
    let (endpoint, web_socket) = endpoints(endpoint)?;
    let hub = hub_name(grant.hub).ok_or(MintError::Hub)?;
    if !grant.groups.iter().all(|group| group_name_is_valid(group)) {
        return Err(MintError::Group);
    }
    let path = client_path(&hub);
    let token = sign(
        key,
        &Claims {
            aud: format!("{endpoint}{path}"),
            iat: now_unix_seconds,
            exp: now_unix_seconds.saturating_add(grant.lifetime.as_secs()),
            sub: grant.user_id,
            role: grant.roles,
            groups: grant.groups,
            hub: Vec::new(),
            channel: &[],
        },
    );
    Ok(format!("{web_socket}{path}?access_token={token}"))
}

/// The token that an application shows as `authorization: Bearer …` on every call. With `hubs` it is bound to them, and
/// opens no push channel; without any it is good for every hub and every channel. The same arguments give the same token.
///
/// # Errors
///
/// [`MintError`] if the endpoint or a name is not valid.
pub fn upstream_token(
    endpoint: &str,
    key: &AccessKey,
    hubs: &[&str],
    lifetime: Duration,
    now_unix_seconds: u64,
) -> Result<String, MintError> {
    let hubs: Option<Vec<String>> = hubs.iter().map(|hub| hub_name(hub)).collect();
    let hubs = hubs.ok_or(MintError::Hub)?;
    application_token(endpoint, key, (hubs, &[]), lifetime, now_unix_seconds)
}

/// [`upstream_token`] for a producer or consumer of push channels. With `channels` it is bound to them, and opens no hub;
/// without any it is good for every channel and every hub.
///
/// # Errors
///
/// As [`upstream_token`].
pub fn channel_token(
    endpoint: &str,
    key: &AccessKey,
    channels: &[&str],
    lifetime: Duration,
    now_unix_seconds: u64,
) -> Result<String, MintError> {
    if !channels.iter().all(|name| channel_name_is_valid(name)) {
        return Err(MintError::Channel);
    }
    let bound_to = (Vec::new(), channels);
    application_token(endpoint, key, bound_to, lifetime, now_unix_seconds)
}

fn application_token(
    endpoint: &str,
    key: &AccessKey,
    (hubs, channels): (Vec<String>, &[&str]),
    lifetime: Duration,
    now_unix_seconds: u64,
) -> Result<String, MintError> {
    let (endpoint, _) = endpoints(endpoint)?;
    let claims = Claims {
        aud: format!("{endpoint}{UPSTREAM_PATH}"),
        iat: now_unix_seconds,
        exp: now_unix_seconds.saturating_add(lifetime.as_secs()),
        sub: None,
        role: &[],
        groups: &[],
        hub: hubs,
        channel: channels,
    };
    Ok(sign(key, &claims))
}

/// The endpoint without slashes at its end, and the same for WebSockets.
fn endpoints(endpoint: &str) -> Result<(&str, String), MintError> {
    let endpoint = endpoint.trim_end_matches('/');
    let (scheme, rest) = endpoint.split_once("://").ok_or(MintError::Endpoint)?;
    let scheme = match scheme {
        "http" => "ws",
        "https" => "wss",
        _ => return Err(MintError::Endpoint),
    };
    Ok((endpoint, format!("{scheme}://{rest}")))
}

fn sign(key: &AccessKey, claims: &Claims<'_>) -> String {
    let claims = serde_json::to_vec(claims).expect("strings and numbers always have a JSON");
    let header = BASE64URL.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let message = format!("{header}.{}", BASE64URL.encode(claims));
    let signature = key.sign(&message);
    format!("{message}.{signature}")
}
