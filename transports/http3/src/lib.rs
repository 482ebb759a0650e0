//! Headwater's HTTP/3 transport: the gRPC wire format over QUIC (gRFC G2).
//!
//! The same headers, framing and statuses as over HTTP/2, so what is said of a call there holds here; framing, metadata
//! and deadlines are [`headwater_rpc`]'s. QUIC is `quinn`'s. `h3` speaks the connection's control stream, and reads and
//! writes header sections (QPACK) in memory; the frames of requests go past it, between quinn and the call. So a call that
//! is not read holds its peer back, no frame is held longer than it may be, and how each direction of a stream ends is said
//! by this crate alone:
//!
//! | what happens | request's direction | response's direction |
//! |---|---|---|
//! | the client cancels, or its deadline passes on the server | RESET_STREAM, STOP_SENDING, `H3_REQUEST_CANCELLED` | the same |
//! | the server is done before its client | STOP_SENDING `H3_NO_ERROR`, after what comes within a second | ends regularly |
//! | the server does not take the call (GOAWAY) | STOP_SENDING `H3_REQUEST_REJECTED` | RESET_STREAM, the same |
//! | the connection is lost | `UNAVAILABLE` | `UNAVAILABLE` |
//!
//! An end without a status is never a success. Keep-alive, idle timeouts and connection migration are QUIC's own; 0-RTT is
//! not used, for what comes in it can be sent twice by anybody. Certificates that were renewed hold for new connections.
//!
//! To have calls go over HTTP/2 where UDP does not get through, see [`headwater_rpc::http::Fallback`].
//!
//! ```no_run
//! use headwater_http3::{Http3Client, Http3ClientConfig, Http3Server, Http3ServerConfig};
//! use headwater_rpc::{Client, Router, Server, ServerConfig, tls::DevCertificates};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let certificates = DevCertificates::generate()?;
//! let config = Http3ServerConfig::default();
//! let transport = Http3Server::bind("127.0.0.1:0", certificates.server(), config).await?;
//! let url = format!("h3://{}", transport.local_addr());
//! let server = Server::new(transport, Router::new(), ServerConfig::default());
//!
//! let config = Http3ClientConfig {
//!     tls: certificates.client(),
//!     ..Http3ClientConfig::default()
//! };
//! let client = Client::new(Http3Client::new(&url, &config)?);
//! # Ok(())
//! # }
//! ```

mod client;
mod codes;
mod frames;
mod qpack;
mod quic;
mod sections;
mod server;
mod socket;
mod stream;
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
))]
mod udp;

pub use client::{Http3Client, Http3ClientConfig, Http3Connector};
pub use headwater_rpc::ServerCounters;
pub use server::{Http3Server, Http3ServerConfig};

/// The protocol that ALPN (RFC 7301) has to agree on (RFC 9114, 3.1).
const ALPN: &[u8] = b"h3";
