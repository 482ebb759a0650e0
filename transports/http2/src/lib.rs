//! Headwater's HTTP/2 transport: the gRPC wire format, carried by hyper and tonic.
//!
//! Any gRPC client or server in any language is a peer. On the server hyper does the HTTP/2 part, a connection at a time;
//! on the client tonic's `Channel`, used as a tower service of http bodies *below* tonic's own codec layer, which hides
//! resets, deadlines and the compression flag. So framing, status, metadata and deadlines are [`headwater_rpc`]'s, the
//! same as on every other transport.
//!
//! Bodies are [`http_body::Body`]s of [`bytes::Bytes`] on both sides, so tonic's own services can be mounted beside the
//! router ([`Http2Server::with_service`]).

mod body;
mod client;
mod headers;
mod inbound;
mod io;
mod pipe;
mod server;

pub use client::{Http2Client, Http2ClientConfig};
pub use server::{
    ClientCertificates, Http2Server, Http2ServerConfig, Http2ServerCounters, ServerTlsConfig,
};
