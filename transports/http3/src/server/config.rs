//! The bounds of a server's connections.

use std::{sync::Arc, time::Duration};

use quinn::{IdleTimeout, TransportConfig, VarInt};

use crate::{quic::Congestion, sections::SECTION_BYTES_MAX};

/// Streams of one direction that a client may have open: its control stream, those of QPACK, and some that nobody knows
/// (RFC 9114, 6.2, wants three at least).
const UNI_STREAMS_MAX: u32 = 8;

/// The bounds of a server's connections.
///
/// What all connections together can hold of requests that are not read is `connections_max` times
/// `connection_window_bytes`, and beside it, of messages that are not whole yet, or were compressed, `connections_max`
/// times `concurrent_streams_max` times [`headwater_rpc::ServerConfig::receive_message_bytes_max`]. A server that faces
/// strangers lowers some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http3ServerConfig {
    /// Connections that may be open, those in their handshake included. One more is refused, and its client finds the
    /// server unavailable and can try another. Default: 1024.
    pub connections_max: usize,
    /// Streams that may be open on one connection; a client that wants more waits (RFC 9000, 4.6). Those that come while as
    /// many handlers run for it, which go on after their clients have reset the streams, are refused
    /// (`H3_REQUEST_REJECTED`). Default: 128.
    pub concurrent_streams_max: u32,
    /// The largest header section that is taken, as RFC 9114, 4.2.2, counts it; a larger one is answered with the HTTP
    /// status 431. At most 512 KiB. Default: 16 KiB.
    pub field_section_bytes_max: u64,
    /// How long a stream that was opened may take to bring its headers; then it is reset. Default: 10 s.
    pub headers_timeout: Duration,
    /// When nothing was heard for this long, the client is asked. Default: 5 s.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection counts as lost. As QUIC's timer begins again with the question
    /// (RFC 9000, 10.1), a client that vanishes is noticed after twice the interval and this at most. Default: 5 s.
    pub keepalive_timeout: Duration,
    /// Connections in their handshake above which a client first has to prove that it has the address that it says it has
    /// (RFC 9000, 8.1.2, "Retry"): one round trip more, by which nobody makes the server work under the names of others.
    /// 0: always. Default: 64.
    pub unvalidated_handshakes_max: usize,
    /// Connections that wait to be accepted; more are ignored. Default: 1024.
    pub incoming_max: usize,
    /// What all connections that wait to be accepted may hold together. Default: 1 MiB.
    pub incoming_bytes_max: u64,
    /// How old a connection may become, give or take a tenth, by which connections of one moment do not end in one
    /// moment (gRFC A9). Then the client is told to open its next streams elsewhere (GOAWAY), and open ones go on for
    /// `connection_age_grace`. Default: none, for an upstream's link lives as long as its connection.
    pub connection_age_max: Option<Duration>,
    /// How long open streams may go on after their connection's age is over; then it is cut. Default: without a bound.
    pub connection_age_grace: Option<Duration>,
    /// After this long without an open stream, a connection is ended like one that is too old. Default: never, for
    /// opening a connection again costs its client more than an open one costs the server.
    pub idle_timeout: Option<Duration>,
    /// How long open streams may go on after a graceful shutdown has begun. Then they end with `UNAVAILABLE`, and a
    /// second later what has not left by itself is cut. Default: without a bound.
    pub shutdown_timeout: Option<Duration>,
    /// What a client may send on one stream before it is read. Default: 4 MiB.
    pub stream_window_bytes: u32,
    /// What a client may send on all streams together before it is read. Much larger than one stream's, for else one
    /// unread stream stops all others. Default: 16 MiB.
    pub connection_window_bytes: u32,
    /// What one connection may have sent and its client not acknowledged: held to be sent again if it is lost. A call that
    /// sends more blocks. Default: 4 MiB.
    pub send_window_bytes: u32,
    /// What the system holds of datagrams that came and were not read, and of those that go out; all connections share it.
    /// The system may give less. Default: `None`, what the system gives by itself.
    pub socket_buffer_bytes: Option<usize>,
}

impl Default for Http3ServerConfig {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            concurrent_streams_max: 128,
            field_section_bytes_max: 16 << 10,
            headers_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
            unvalidated_handshakes_max: 64,
            incoming_max: 1024,
            incoming_bytes_max: 1 << 20,
            connection_age_max: None,
            connection_age_grace: None,
            idle_timeout: None,
            shutdown_timeout: None,
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 16 << 20,
            send_window_bytes: 4 << 20,
            socket_buffer_bytes: None,
        }
    }
}

impl Http3ServerConfig {
    pub(super) fn section_bytes_max(&self) -> u64 {
        self.field_section_bytes_max.min(SECTION_BYTES_MAX)
    }

    pub(super) fn transport(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        let silence = self
            .keepalive_interval
            .saturating_add(self.keepalive_timeout);
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(self.concurrent_streams_max))
            .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX))
            .max_idle_timeout(Some(idle_timeout(silence)))
            .keep_alive_interval(Some(self.keepalive_interval))
            .stream_receive_window(VarInt::from_u32(self.stream_window_bytes))
            .receive_window(VarInt::from_u32(self.connection_window_bytes))
            .send_window(u64::from(self.send_window_bytes))
            .datagram_receive_buffer_size(None)
            .congestion_controller_factory(Arc::new(Congestion::default()));
        transport
    }
}

/// QUIC counts it in milliseconds, and not beyond 2^62.
pub(crate) fn idle_timeout(silence: Duration) -> IdleTimeout {
    let millis = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
    let millis = VarInt::from_u64(millis.max(1)).unwrap_or(VarInt::MAX);
    IdleTimeout::from(millis)
}
