//! The bounds of a client's connections.

use std::time::Duration;

use headwater_rpc::{channel::ChannelConfig, tls::ClientTls};

use crate::subprotocol;

/// The bounds of a client's connections, and how they are held.
#[derive(Debug, Clone, PartialEq)]
pub struct WebSocketClientConfig {
    /// How long a connection may take to come up, the handshake included. Default: 10 s.
    pub connect_timeout: Duration,
    /// The longest WebSocket message that is taken, in bytes; a longer one ends the connection. It has to have room for the
    /// largest response and its metadata. Default: 8 MiB and 64 KiB.
    pub message_bytes_max: usize,
    /// When nothing was heard of the server for this long, it is asked (ping). Default: 10 s.
    pub ping_interval: Duration,
    /// How long the answer may take before the connection counts as lost. Anything that comes is an answer. Default: 10 s.
    pub ping_timeout: Duration,
    /// What a server may send in one call before it is read, in bytes. What was read off the socket and not by its call is
    /// at most this, or one longer message, for each open call. Less than 64 KiB counts as 64 KiB. Default: 1 MiB.
    pub call_window_bytes: usize,
    /// Calls send no request, and wait for responses that nobody has requested, such as the answer to a call from before a
    /// restart: `open` of pw_rpc. What they are given to send goes nowhere. One can wait for a method at a time; one more
    /// fails with `ALREADY_EXISTS`. The server is not told that anybody waits, so give them a time limit. Default: they
    /// are requests.
    pub awaits_unrequested: bool,
    /// Calls of the server that may be open on one socket, and handlers that may run for it, if the client serves there
    /// ([`DialledServer`]); one more is refused with `RESOURCE_EXHAUSTED`. Default: 1024.
    ///
    /// [`DialledServer`]: crate::DialledServer
    pub calls_max: usize,
    /// Of these, of one method. Default: `None`, as many as of all methods together.
    pub method_calls_max: Option<usize>,
    /// How a server of `wss://` is trusted; `None` is as [`ClientTls::default`]. Default: none.
    pub tls: Option<ClientTls>,
    /// Which subprotocol is asked for. Default: [`Subprotocol::Headwater`].
    pub subprotocol: Subprotocol,
    /// How connections are held and chosen between. Its own bound of an attempt to connect counts where that is the
    /// earlier. A connector alone ([`WebSocketConnector`](crate::WebSocketConnector)) has no use for it. Default:
    /// [`ChannelConfig::default`].
    pub channel: ChannelConfig,
}

impl Default for WebSocketClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            message_bytes_max: (8 << 20) + (64 << 10),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            call_window_bytes: 1 << 20,
            awaits_unrequested: false,
            calls_max: 1024,
            method_calls_max: None,
            tls: None,
            subprotocol: Subprotocol::default(),
            channel: ChannelConfig::default(),
        }
    }
}

/// What a client asks a server to speak. A server that answers with another name, or with none to one that was asked for,
/// is not connected to (RFC 6455, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Subprotocol {
    /// `headwater.v1.pw_rpc`: packets with Headwater's extension, which the server is then known to understand.
    #[default]
    Headwater,
    /// `pw_rpc`: packets. The extension is sent on requests, where a plain server skips it, and used in full with a server
    /// that sends it too.
    PwRpc,
    /// No name at all; packets as with [`Subprotocol::PwRpc`].
    Unnamed,
}

impl Subprotocol {
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Headwater => Some(subprotocol::HEADWATER),
            Self::PwRpc => Some(subprotocol::PW_RPC),
            Self::Unnamed => None,
        }
    }
}
