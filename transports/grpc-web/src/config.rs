//! The bounds of a server, and whose pages may call it.

use std::{io, time::Duration};

use http::{HeaderValue, Method};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

/// How long a browser may remember what it may do: what it takes at most, two hours in Chromium.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The largest window of a stream or a connection (RFC 9113, 6.9.1).
const WINDOW_BYTES_MAX: u32 = u32::MAX >> 1;

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
    /// When nothing was heard for this long, the client is asked: on HTTP/2 by a ping, on HTTP/1.1, which has none, by its
    /// system (TCP keep-alive, in whole seconds). Default: 5 s.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection counts as lost, on HTTP/2; on HTTP/1.1 the client is asked again
    /// as often, for `user_timeout`. Default: 5 s.
    pub keepalive_timeout: Duration,
    /// How long a client may take nothing of what is sent to it, or not say that it did, before its connection counts as
    /// lost: TCP's user timeout (RFC 5482), where the system has it, which is Linux. A page that stops reading is such a
    /// client once its buffers are full. Default: 60 s.
    pub user_timeout: Duration,
    /// What a client may send on one stream of HTTP/2 before it is read, 2 GiB at most. Default: 4 MiB.
    pub stream_window_bytes: u32,
    /// What a client may send on all streams of a connection of HTTP/2 together before it is read. Much larger than one
    /// stream's, for else one unread stream stops all others; 2 GiB at most. Default: 16 MiB.
    pub connection_window_bytes: u32,
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
            user_timeout: Duration::from_secs(60),
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 16 << 20,
            shutdown_timeout: None,
        }
    }
}

impl GrpcWebServerConfig {
    pub(crate) fn stream_window(&self) -> u32 {
        self.stream_window_bytes.min(WINDOW_BYTES_MAX)
    }

    pub(crate) fn connection_window(&self) -> u32 {
        self.connection_window_bytes.min(WINDOW_BYTES_MAX)
    }

    /// Has the system find out that a client is gone, or takes nothing: HTTP/1.1 has no words for that. A socket that
    /// refuses works all the same.
    pub(crate) fn watch(&self, stream: &TcpStream) {
        let socket = SockRef::from(stream);
        let seconds = |time: Duration| time.max(Duration::from_secs(1));
        let keepalive = TcpKeepalive::new()
            .with_time(seconds(self.keepalive_interval))
            .with_interval(seconds(self.keepalive_timeout));
        let _ = socket.set_tcp_keepalive(&keepalive);
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(self.user_timeout));
    }

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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_system_looks_after_clients_that_are_gone_or_take_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port on loopback");
        let addr = listener.local_addr().expect("it is bound");
        let _client = TcpStream::connect(addr).await.expect("it listens");
        let (stream, _) = listener.accept().await.expect("a client");
        let config = GrpcWebServerConfig {
            keepalive_interval: Duration::ZERO,
            ..GrpcWebServerConfig::default()
        };
        config.watch(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("TCP has it"));
        let time = socket.tcp_keepalive_time().expect("TCP has it");
        assert_eq!(time, Duration::from_secs(1), "not less than the system can");
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket.tcp_user_timeout().expect("Linux has it"),
            Some(Duration::from_secs(60))
        );
    }
}
