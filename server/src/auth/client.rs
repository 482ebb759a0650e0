use std::collections::BTreeMap;

use headwater_proto::subprotocol::group_name_is_valid;

use super::{AccessKeys, Endpoints, TokenError, jwt::Claims};

/// The other names under which a token may carry its user.
const USER_ALIASES: [&str; 2] = [
    "nameid",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier",
];
/// The longest user id, in characters.
const USER_CHARS_MAX: usize = 1024;
/// The most roles and the most groups that a token may list, each.
const LIST_MAX: usize = 1000;
/// The longest role, in characters: the name of a group and what stands before it.
const ROLE_CHARS_MAX: usize = 1100;

/// What the token of a client says, once it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// The user (`sub`, or one of its older names); `None` is anonymous, and so is an empty one.
    pub user_id: Option<String>,
    /// The roles (`role`), as they are written.
    pub roles: Vec<String>,
    /// The groups to be a member of from the start (`webpubsub.group`), all of them valid names.
    pub groups: Vec<String>,
    /// Every other claim but `aud`, `exp`, `nbf` and `iat`: its values as a list of strings, for the application. What is
    /// neither a string nor an array of them stands as its JSON.
    pub claims: BTreeMap<String, Vec<String>>,
    /// When the token expires (`exp`), in seconds since 1970, without clock skew.
    pub expires_at_unix_seconds: u64,
}

impl ClientToken {
    /// Verifies the token of a client that connects to `hub`, a lower-cased name.
    ///
    /// The token must be signed with one of `keys` by HS256; have `exp`, which has not passed, and no `nbf` to come, with
    /// [`CLOCK_SKEW_SECONDS`](super::CLOCK_SKEW_SECONDS) of tolerance; and have as `aud` exactly
    /// `{endpoint}/client/hubs/{hub}` for one of `endpoints`, without regard to case.
    ///
    /// # Errors
    ///
    /// [`TokenError`] for the log; the client is refused with 401.
    pub fn verify(
        token: &str,
        keys: &AccessKeys,
        hub: &str,
        endpoints: &Endpoints<'_>,
        now_unix_seconds: u64,
    ) -> Result<Self, TokenError> {
        let mut claims = Claims::verify(token, keys)?;
        let expires_at_unix_seconds = claims.check_time(now_unix_seconds)?;
        claims.check_audience(endpoints, &client_path(hub))?;
        Ok(Self {
            user_id: user_id(&mut claims)?,
            roles: roles(&mut claims)?,
            groups: groups(&mut claims)?,
            claims: claims.rest(),
            expires_at_unix_seconds,
        })
    }
}

/// Where clients of `hub` connect, below the endpoint.
pub(super) fn client_path(hub: &str) -> String {
    format!("/client/hubs/{hub}")
}

fn user_id(claims: &mut Claims) -> Result<Option<String>, TokenError> {
    let mut user_id = claims.string("sub")?;
    for alias in USER_ALIASES {
        if user_id.is_none() {
            user_id = claims.string(alias)?;
        }
    }
    if user_id
        .as_deref()
        .is_some_and(|user| !is_text(user, USER_CHARS_MAX))
    {
        return Err(TokenError::Claim("user id"));
    }
    Ok(user_id.filter(|user| !user.is_empty()))
}

fn roles(claims: &mut Claims) -> Result<Vec<String>, TokenError> {
    let roles = claims.strings("role")?.unwrap_or_default();
    if roles.len() > LIST_MAX || !roles.iter().all(|role| is_text(role, ROLE_CHARS_MAX)) {
        return Err(TokenError::Claim("role"));
    }
    Ok(roles)
}

fn groups(claims: &mut Claims) -> Result<Vec<String>, TokenError> {
    let groups = claims.strings("webpubsub.group")?.unwrap_or_default();
    if groups.len() > LIST_MAX || !groups.iter().all(|group| group_name_is_valid(group)) {
        return Err(TokenError::Claim("webpubsub.group"));
    }
    Ok(groups)
}

fn is_text(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}
