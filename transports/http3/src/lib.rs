//! Headwater's HTTP/3 transport: the gRPC wire format over QUIC (gRFC G2).

mod client;
mod codes;
mod frames;
mod qpack;
mod quic;
mod sections;
mod server;
mod socket;
mod stream;

pub use client::{Http3Client, Http3ClientConfig, Http3Connector};
pub use server::{Http3Server, Http3ServerConfig, Http3ServerCounters};

/// The protocol that ALPN (RFC 7301) has to agree on (RFC 9114, 3.1).
const ALPN: &[u8] = b"h3";
