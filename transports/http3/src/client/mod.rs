//! The client's end.

mod cell;
mod channel;
mod connection;
mod connector;
mod driver;
mod pipe;
mod response;
mod shared;

use std::{sync::Arc, time::Duration};

use headwater_rpc::{channel::ChannelConfig, tls::ClientTls};
use quinn::{TransportConfig, VarInt};

pub use self::{channel::Http3Client, connector::Http3Connector};
use crate::{quic::Congestion, sections::SECTION_BYTES_MAX, server::idle_timeout};

/// Streams of one direction that a server may have open: its control stream, those of QPACK, and some that nobody knows.
const UNI_STREAMS_MAX: u32 = 8;

/// The bounds of a client's connections, and how they are held.
#[derive(Debug, Clone, PartialEq)]
pub struct Http3ClientConfig {
    /// How long a connection may take to come up: to the server's first SETTINGS, TLS included. Default: 10 s.
    pub connect_timeout: Duration,
    /// When nothing was heard for this long, the server is asked. Default: 5 s.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection counts as lost. As QUIC's timer begins again with the question
    /// (RFC 9000, 10.1), a server that vanishes is noticed after twice the interval and this at most; or earlier, if the
    /// server says so. Default: 5 s.
    pub keepalive_timeout: Duration,
    /// What a server may send on one stream before it is read. Default: 4 MiB, which lets one stream fill a fast and long
    /// line.
    pub stream_window_bytes: u32,
    /// What a server may send on all streams together before it is read. It bounds the memory that a server can take.
    /// Larger than one stream's, for streams that nobody reads stop all others once they hold all of it. Default: 16 MiB.
    pub connection_window_bytes: u32,
    /// What one connection may have sent and its server not acknowledged: held to be sent again if it is lost. A call that
    /// sends more blocks. Default: 4 MiB.
    pub send_window_bytes: u32,
    /// The largest header section that is taken, as RFC 9114, 4.2.2, counts it; a larger one ends its call with
    /// `RESOURCE_EXHAUSTED`. At most 512 KiB. Default: 16 KiB.
    pub field_section_bytes_max: u64,
    /// What the system holds of datagrams that came and were not read, and of those that go out; all connections share it.
    /// The system may give less. Default: `None`, what the system gives by itself.
    pub socket_buffer_bytes: Option<usize>,
    /// TLS 1.3, without which there is no QUIC. Default: the system's certificate authorities.
    pub tls: ClientTls,
    /// How connections are held and chosen between. Its own bound of an attempt to connect counts where that is the
    /// earlier. A connector alone ([`Http3Connector`]) has no use for it. Default: [`ChannelConfig::default`].
    pub channel: ChannelConfig,
}

impl Default for Http3ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 16 << 20,
            send_window_bytes: 4 << 20,
            field_section_bytes_max: 16 << 10,
            socket_buffer_bytes: None,
            tls: ClientTls::default(),
            channel: ChannelConfig::default(),
        }
    }
}

impl Http3ClientConfig {
    fn section_bytes_max(&self) -> u64 {
        self.field_section_bytes_max.min(SECTION_BYTES_MAX)
    }

    fn transport(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        let silence = self
            .keepalive_interval
            .saturating_add(self.keepalive_timeout);
        transport
            // A server opens none of its own (RFC 9114, 6.1).
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
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
