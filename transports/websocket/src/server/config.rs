//! The bounds of a server's sockets.

use std::time::Duration;

use http::{HeaderMap, header};

use crate::{ListenerConfig, Unnamed, zrpc::ZrpcConfig};

/// The bounds of a [`WebSocketServer`](crate::WebSocketServer)'s sockets, and what they speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketServerConfig {
    /// Connections, and what the handshake may cost. Default: [`ListenerConfig::default`] with at most 1024 connections.
    pub listener: ListenerConfig,
    /// The longest WebSocket message that is taken, in bytes, all its fragments together; a longer one ends its socket with
    /// close code 1009. Default: `None`, twice the server's largest request
    /// ([`headwater_rpc::ServerConfig::receive_message_bytes_max`]), but at least 8 MiB, and 64 KiB: a request which is not
    /// much over the limit ends its call alone. While such a message comes in, up to twice of what has come is held.
    pub message_bytes_max: Option<usize>,
    /// When nothing was heard of a client for this long, it is asked (ping). Default: 5 s.
    pub ping_interval: Duration,
    /// How long the answer may take before the connection counts as lost. Anything that comes is an answer. Default: 5 s.
    pub ping_timeout: Duration,
    /// What a client may send in one call before it is read, in bytes. What was read off the socket and not by its handler is
    /// at most this, or one longer message, for each open call. A client that knows of no credit and sends more has its
    /// call ended with `RESOURCE_EXHAUSTED`. Less than 64 KiB counts as 64 KiB. Default: 1 MiB.
    pub call_window_bytes: usize,
    /// Calls that may be open on one socket, and handlers that may run for it, for these go on after their clients have
    /// cancelled; one more is refused with `RESOURCE_EXHAUSTED`. Default: 1024.
    pub calls_max: usize,
    /// Calls and handlers of one method, likewise, for services that do not expect many of one client; one more is
    /// refused with `RESOURCE_EXHAUSTED`, before its handler sees it. For pw_rpc's packets. Default: `None`, as many as of
    /// all methods together.
    pub method_calls_max: Option<usize>,
    /// After this long without an open call, a socket is closed (1001). Default: never.
    pub idle_timeout: Option<Duration>,
    /// How long open calls may go on after a graceful shutdown has begun. Then they end with `UNAVAILABLE`, and a second
    /// later what has not left by itself is cut. Default: without a bound.
    pub shutdown_timeout: Option<Duration>,
    /// Which pages may connect from a browser, by their origin such as `https://example.org`; others get 403. Who sends no
    /// `Origin` is no browser, and is not asked. Default: `None`, any page: set it where calls are not authorized one by
    /// one, for any page that a user of this machine looks at can open a socket to it. (An empty list: no browser.)
    pub origins: Option<Vec<String>>,
    /// What a socket speaks whose client names no subprotocol. Default: pw_rpc's packets.
    pub unnamed: Unnamed,
    /// How zrpc's sessions behave.
    pub zrpc: ZrpcConfig,
}

impl Default for WebSocketServerConfig {
    fn default() -> Self {
        Self {
            listener: ListenerConfig {
                connections_max: 1024,
                ..ListenerConfig::default()
            },
            message_bytes_max: None,
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(5),
            call_window_bytes: 1 << 20,
            calls_max: 1024,
            method_calls_max: None,
            idle_timeout: None,
            shutdown_timeout: None,
            origins: None,
            unnamed: Unnamed::default(),
            zrpc: ZrpcConfig::default(),
        }
    }
}

impl WebSocketServerConfig {
    /// Whether a handshake with these headers may come from where it comes from.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(allowed) = &self.origins else {
            return true;
        };
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            let origin = origin.as_bytes();
            allowed
                .iter()
                .any(|it| it.as_bytes().eq_ignore_ascii_case(origin))
        })
    }

    /// The longest message of a socket, for a server with this limit of a request.
    pub(crate) fn message_bytes_max(&self, request_bytes_max: usize) -> usize {
        self.message_bytes_max.unwrap_or_else(|| {
            let doubled = request_bytes_max.saturating_mul(2).max(8 << 20);
            doubled.saturating_add(64 << 10)
        })
    }
}
