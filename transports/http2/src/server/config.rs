//! The bounds of a server's connections.

use std::time::Duration;

use headwater_rpc::http::AltSvc;

/// The largest window of a stream or a connection (RFC 9113, 6.9.1).
const WINDOW_BYTES_MAX: u32 = u32::MAX >> 1;

/// The bounds of a server's connections.
///
/// What all connections together can hold of requests that are not read is `connections_max` times
/// `connection_window_bytes`: 16 GiB by default, if every one of 1024 clients means harm; and beside it, of messages
/// that are not whole yet, or were compressed, `connections_max` times `concurrent_streams_max` times
/// [`headwater_rpc::ServerConfig::receive_message_bytes_max`]. A server that faces strangers lowers some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2ServerConfig {
    /// Connections that may be open. One more is closed as soon as it is accepted, and its client finds the server
    /// unavailable and can try another: left waiting, it would look connected and hear nothing. Default: 1024.
    pub connections_max: usize,
    /// Streams that may be open on one connection; more are refused (`REFUSED_STREAM`). So are those that come while as many
    /// handlers run for it, which go on after their clients have reset the streams. Default: 128.
    pub concurrent_streams_max: u32,
    /// The largest header list that is taken. Default: 16 KiB.
    pub header_list_bytes_max: u32,
    /// Streams that a client may reset before they were accepted; more ends its connection ("rapid reset",
    /// CVE-2023-44487). As many as may be open, for a client that hedges resets all but one attempt of every call at
    /// once. Default: 128.
    pub pending_reset_streams_max: usize,
    /// Streams that this side may reset for what the client did wrong on them; more ends its connection. Default: 1024.
    pub error_reset_streams_max: usize,
    /// How long a new connection may take to begin to speak HTTP/2. Default: 10 s.
    pub preface_timeout: Duration,
    /// When nothing was heard for this long, the client is asked. Default: 5 s.
    pub keepalive_interval: Duration,
    /// How long the client may then stay silent before the connection counts as lost and is cut. Default: 5 s.
    pub keepalive_timeout: Duration,
    /// The shortest time between two pings of a client (gRFC A8, server enforcement). The third ping that comes too
    /// early, with no headers and no data sent to that client in between, ends the connection with
    /// `ENHANCE_YOUR_CALM` and `too_many_pings`, upon which gRPC's clients ping half as often.
    ///
    /// Default: 5 s. gRPC's own default, 5 minutes, would cut Headwater's clients, which ask every 10 s; and for a link
    /// that lives for days and is silent most of the time it is too long to find that the other side is gone.
    pub ping_interval_min: Duration,
    /// Whether a client without an open call may ping that often; if not, it may every 2 hours. Default: yes, for a client
    /// that waits for its next call wants to know of a broken connection before it.
    pub ping_without_calls: bool,
    /// How old a connection may become, give or take a tenth, by which connections of one moment do not end in one
    /// moment (gRFC A9). Then the client is told to open its next streams elsewhere (GOAWAY), and open ones go on for
    /// `connection_age_grace`.
    ///
    /// Default: none. An upstream's link lives as long as its connection, so ending a healthy one would break every link
    /// for nothing. What an age is for is had otherwise: a peer that is gone is found by keep-alive, a server that leaves
    /// tells its links to go ([`ServerTransport::begin_graceful_shutdown`](headwater_rpc::ServerTransport)), which also is
    /// how load moves to other servers, and what one connection may hold is bounded by its streams and its windows.
    pub connection_age_max: Option<Duration>,
    /// How long open streams may go on after their connection's age is over; then it is cut. Default: without a bound.
    pub connection_age_grace: Option<Duration>,
    /// After this long without an open stream, a connection is ended like one that is too old. Default: never, for
    /// opening a connection again costs its client more than an open one costs the server.
    pub idle_timeout: Option<Duration>,
    /// How long open streams may go on after a graceful shutdown has begun. Then they end with `UNAVAILABLE`, and a
    /// second later what has not left by itself is cut. Default: without a bound.
    pub shutdown_timeout: Option<Duration>,
    /// The largest frame that is taken: large messages come in fewer pieces. Between 16 KiB and 16 MiB - 1; a value outside
    /// is moved to the nearer end. Default: 1 MiB.
    pub frame_bytes_max: u32,
    /// What a client may send on one stream before it is read, 2 GiB at most. Default: 4 MiB.
    pub stream_window_bytes: u32,
    /// What a client may send on all streams together before it is read. What was read and is no whole message yet is
    /// held beside it: at most `concurrent_streams_max` times the limit of a message, 512 MiB by default. Much larger than one stream's, for else one unread stream stops all others; 2 GiB at most. Default: 16 MiB.
    pub connection_window_bytes: u32,
    /// Where the same host can be reached by HTTP/3, which every answer then says (`alt-svc`, RFC 7838; RFC 9114, 3.1.1):
    /// a server of HTTP/3 with the same certificate and the same router. Default: none.
    pub alt_svc: Option<AltSvc>,
}

impl Default for Http2ServerConfig {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            concurrent_streams_max: 128,
            header_list_bytes_max: 16 << 10,
            pending_reset_streams_max: 128,
            error_reset_streams_max: 1024,
            preface_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
            ping_interval_min: Duration::from_secs(5),
            ping_without_calls: true,
            connection_age_max: None,
            connection_age_grace: None,
            idle_timeout: None,
            shutdown_timeout: None,
            frame_bytes_max: 1 << 20,
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 16 << 20,
            alt_svc: None,
        }
    }
}

/// `h2` panics on sizes that HTTP/2 does not have (RFC 9113, 4.2 and 6.9.1).
impl Http2ServerConfig {
    pub(super) fn frame_bytes(&self) -> u32 {
        self.frame_bytes_max.clamp(16 << 10, (16 << 20) - 1)
    }

    pub(super) fn stream_window(&self) -> u32 {
        self.stream_window_bytes.min(WINDOW_BYTES_MAX)
    }

    pub(super) fn connection_window(&self) -> u32 {
        self.connection_window_bytes.min(WINDOW_BYTES_MAX)
    }
}
