//! The client's end, on the `h2` crate.

mod channel;
mod connection;
mod connector;
mod driver;
mod keepalive;
mod pipe;
mod response;
mod shared;
mod socket;
mod tls;

use std::time::Duration;

use headwater_rpc::{channel::ChannelConfig, tls::ClientTls};

pub use channel::Http2Client;
pub use connector::Http2Connector;
pub use keepalive::Keepalive;

/// The bounds of a client's connections, and how they are held.
#[derive(Debug, Clone, PartialEq)]
pub struct Http2ClientConfig {
    /// How long a connection may take to come up: to the server's first SETTINGS, TLS included. Default: 10 s.
    pub connect_timeout: Duration,
    /// Whether and when a silent server is asked if it lives. Default: never (gRFC A8), for servers of gRPC's own
    /// libraries cut clients that ask more often than every 5 minutes, unless they are told otherwise.
    pub keepalive: Option<Keepalive>,
    /// What a server may send on one stream before it is read, 1 byte to 2 GiB - 1. Default: 4 MiB, which lets one
    /// stream fill a fast and long line.
    pub stream_window_bytes: u32,
    /// What a server may send on all streams together before it is read, 64 KiB - 1 to 2 GiB - 1. It bounds the memory
    /// that a server can take: this much, and up to four times this much more for the frames of tiny messages. Larger than one stream's, for streams that nobody reads stop all others once they hold all of it.
    /// Default: 16 MiB.
    pub connection_window_bytes: u32,
    /// The largest DATA frame that is taken, 16 KiB to 16 MiB - 1; with small ones, large messages cost twice the CPU.
    /// Default: 1 MiB.
    pub frame_bytes_max: u32,
    /// The largest header list that is taken. Default: 16 KiB.
    pub header_list_bytes_max: u32,
    /// TLS; `None` is plaintext. Default: none.
    pub tls: Option<ClientTls>,
    /// How connections are held and chosen between. Its own bound of an attempt to connect counts where that is the
    /// earlier. A connector alone ([`Http2Connector`]) has no use for it. Default: [`ChannelConfig::default`].
    pub channel: ChannelConfig,
}

impl Default for Http2ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            keepalive: None,
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 16 << 20,
            frame_bytes_max: 1 << 20,
            header_list_bytes_max: 16 << 10,
            tls: None,
            channel: ChannelConfig::default(),
        }
    }
}
