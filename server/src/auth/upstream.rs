use std::collections::BTreeSet;

use headwater_core::queue::Name;
use headwater_proto::subprotocol::hub_name;

use super::{
    AccessKeys, Endpoints, TokenError,
    jwt::{Claims, has_expired},
};

/// What stands behind the endpoint in the audience of an upstream's token.
pub(super) const UPSTREAM_PATH: &str = "/upstream";

/// What the token of an application says, once it is verified.
///
/// Two claims bind it, to hubs and to push channels. A token with one of them is for nothing of the other kind; one with
/// neither is for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamToken {
    hubs: Option<BTreeSet<String>>,
    channels: Option<BTreeSet<String>>,
    expires_at_unix_seconds: u64,
}

impl UpstreamToken {
    /// Verifies the token of an application, without `Bearer` before it.
    ///
    /// The token must be signed with one of `keys` by HS256; have `exp`, which has not passed, and no `nbf` to come, with
    /// [`CLOCK_SKEW_SECONDS`](super::CLOCK_SKEW_SECONDS) of tolerance; and have as `aud` exactly `{endpoint}/upstream` for
    /// one of `endpoints`, without regard to case. A `hub` claim, a string or an array, binds it to these hubs; a
    /// `channel` claim of the same form to these push channels.
    ///
    /// # Errors
    ///
    /// [`TokenError`] for the log; the application is refused as unauthenticated.
    pub fn verify(
        token: &str,
        keys: &AccessKeys,
        endpoints: &Endpoints<'_>,
        now_unix_seconds: u64,
    ) -> Result<Self, TokenError> {
        let mut claims = Claims::verify(token, keys)?;
        let expires_at_unix_seconds = claims.check_time(now_unix_seconds)?;
        claims.check_audience(endpoints, UPSTREAM_PATH)?;
        Ok(Self {
            hubs: hubs(&mut claims)?,
            channels: channels(&mut claims)?,
            expires_at_unix_seconds,
        })
    }

    /// Whether the application may serve `hub`. Case does not matter.
    pub fn allows(&self, hub: &str) -> bool {
        match (&self.hubs, &self.channels) {
            (Some(hubs), _) => hubs.contains(&hub.to_ascii_lowercase()),
            (None, bound) => bound.is_none(),
        }
    }

    /// Whether the application may use this push channel. Case matters.
    pub fn allows_channel(&self, channel: &str) -> bool {
        match (&self.channels, &self.hubs) {
            (Some(channels), _) => channels.contains(channel),
            (None, bound) => bound.is_none(),
        }
    }

    /// The hubs that the token is bound to, lower-cased; `None` if it names none.
    pub const fn hubs(&self) -> Option<&BTreeSet<String>> {
        self.hubs.as_ref()
    }

    /// Whether it has expired since it was verified, with the tolerance that it was verified with.
    pub(crate) const fn has_expired(&self, now_unix_seconds: u64) -> bool {
        has_expired(self.expires_at_unix_seconds, now_unix_seconds)
    }

    /// When the token expires (`exp`), in seconds since 1970, without clock skew.
    pub const fn expires_at_unix_seconds(&self) -> u64 {
        self.expires_at_unix_seconds
    }
}

fn hubs(claims: &mut Claims) -> Result<Option<BTreeSet<String>>, TokenError> {
    let Some(names) = claims.strings("hub")? else {
        return Ok(None);
    };
    let hubs = names.iter().map(|name| hub_name(name));
    let hubs: Option<BTreeSet<String>> = hubs.collect();
    hubs.map(Some).ok_or(TokenError::Claim("hub"))
}

fn channels(claims: &mut Claims) -> Result<Option<BTreeSet<String>>, TokenError> {
    let Some(names) = claims.strings("channel")? else {
        return Ok(None);
    };
    if !names.iter().all(|name| channel_name_is_valid(name)) {
        return Err(TokenError::Claim("channel"));
    }
    Ok(Some(names.into_iter().collect()))
}

pub(super) const fn channel_name_is_valid(name: &str) -> bool {
    name.len() <= Name::BYTES_MAX
}
