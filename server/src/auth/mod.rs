//! Who clients and upstreams are: tokens signed with the access key, and their claims.
//!
//! Both kinds are JWTs (RFC 7519) with HS256 and nothing else. The algorithm is the verifier's: what the header of a token
//! says can make it refused, and never chooses how it is checked. No clock is read here; the time is an argument, in
//! whole seconds since 1970 (UTC).
//!
//! - [`AccessKeys`] holds the key, or two while one is rotated out.
//! - [`ClientToken`] is what a client's token says; [`UpstreamToken`] what that of an application says.
//! - [`client_url`], [`upstream_token`] and [`channel_token`] mint such tokens.
//!
//! A [`TokenError`] is for the log. Whoever sent the token hears 401 and no more.

mod client;
mod endpoints;
mod jwt;
mod keys;
mod mint;
mod upstream;

#[cfg(test)]
mod tests;

pub use client::ClientToken;
pub use endpoints::Endpoints;
pub use jwt::{CLOCK_SKEW_SECONDS, TOKEN_BYTES_MAX, TokenError};
pub use keys::{ACCESS_KEY_BYTES_MIN, AccessKey, AccessKeys, InvalidAccessKey};
pub use mint::{ClientGrant, MintError, channel_token, client_url, upstream_token};
pub use upstream::UpstreamToken;
