//! The bounds of a server, and whose pages may call it.

use std::{io, time::Duration};

use http::{HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

/// How long a browser may remember what it may do: what it takes at most, two hours in Chromium.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The bounds of a server's connections, and whose pages may call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcWebServerConfig {
    /// The origins whose pages may call (CORS), as browsers write them: `https://app.example.org`, with the port where it is
    /// not the scheme's own. `*` is every origin. Pages from the server's own host and port, if something there serves
    /// them, need no permission. Cookies are not taken from any: who calls says so in its metadata. Default: none.
    pub origins: Vec<String>,
    /// Connections that may be open. One more is closed as soon as it is accepted. Default: 1024.
    pub connections_max: usize,
    /// Calls that may be open on one connection of HTTP/2; on HTTP/1.1 it is one. One that comes while as many handlers run for
    /// the connection, which go on after their clients have left, ends with `RESOURCE_EXHAUSTED`. Default: 128.
    pub concurrent_streams_max: u32,
    /// The largest header list that is taken on HTTP/2, and what is held of a request on HTTP/1.1 that is not read,
    /// where it is 8 KiB at least. Default: 64 KiB.
    pub header_list_bytes_max: u32,
    /// How long a new connection may take, after TLS, until its first request is there; and on HTTP/1.1 how long it may be
    /// idle before a further one. Default: 10 s.
    pub request_timeout: Duration,
    /// When nothing was heard on HTTP/2 for this long, the client is asked. Default: 5 s.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection counts as lost. Default: 5 s.
    pub keepalive_timeout: Duration,
    /// How long open calls may go on after a graceful shutdown has begun. Then they end with `UNAVAILABLE`, and a second
    /// later what has not left by itself is cut. Default: without a bound.
    pub shutdown_timeout: Option<Duration>,
}

impl Default for GrpcWebServerConfig {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            connections_max: 1024,
            concurrent_streams_max: 128,
            header_list_bytes_max: 64 << 10,
            request_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
            shutdown_timeout: None,
        }
    }
}

impl GrpcWebServerConfig {
    /// What answers a browser that asks before it calls.
    pub(crate) fn cors(&self) -> io::Result<CorsLayer> {
        let mut origins = Vec::new();
        for origin in &self.origins {
            origins.push(parse(origin)?);
        }
        let origins = if origins.iter().any(|origin| origin == "*") {
            AllowOrigin::any()
        } else {
            AllowOrigin::list(origins)
        };
        Ok(CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::POST])
            // Any metadata; `*` would leave out `authorization`.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(Any)
            .max_age(PREFLIGHT_MAX_AGE))
    }
}

/// An origin as the header has it (RFC 6454, 6.1), which is compared byte for byte.
fn parse(origin: &str) -> io::Result<HeaderValue> {
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains('/'));
    let value = HeaderValue::from_str(origin);
    match value {
        Ok(value) if is_origin || origin == "*" => Ok(value),
        Ok(_) | Err(_) => {
            let message = format!("not an origin, such as https://app.example.org: {origin}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}
