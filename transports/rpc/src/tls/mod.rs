//! TLS for the transports: what it is configured by, and the configurations of rustls (with `ring`) that come of it.
//!
//! A transport is handed a [`ClientTls`] or a [`ServerTlsConfig`], makes a [`TlsClient`] or a [`TlsServer`] of it with
//! the protocol that it speaks (ALPN, RFC 7301), and takes [`TlsClient::current`] or [`TlsServer::current`] for each
//! connection. TLS 1.2 and 1.3; over QUIC, rustls speaks 1.3 only.
//!
//! Files may change while they are used. They are looked at when a connection is made, once a second at most, on a thread
//! that may block, and read again if one of them is another one than before. A connection keeps what it began with. New
//! files that cannot be used change nothing, and are warned about (`tracing`, target `headwater_rpc`) once. So write new
//! files beside the old ones and rename them; which goes first does not matter.

#[cfg(feature = "tls-accept")]
mod accept;
mod client;
#[cfg(feature = "dev-tls")]
mod dev;
mod pem;
mod reload;
mod server;

#[cfg(feature = "dev-tls")]
pub use dev::DevCertificates;
/// The version of rustls whose configurations these are.
pub use rustls;

pub use self::{
    client::{ClientIdentity, ClientTls, TlsClient},
    pem::Pem,
    server::{ClientCertificates, ServerTlsConfig, TlsServer},
};
