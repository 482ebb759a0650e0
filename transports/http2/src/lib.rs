//! Headwater's HTTP/2 transport: the gRPC wire format, carried by tonic.
//!
//! Any gRPC client or server in any language is a peer. tonic's `Server` and `Channel` do the HTTP/2 part, used as tower
//! services of http bodies *below* tonic's own codec layer, which hides resets, deadlines and the compression flag. So
//! framing, status, metadata and deadlines are [`headwater_rpc`]'s, the same as on every other transport, and what
//! tonic brings along that differs is filtered here (its deadline's `CANCELLED`, hyper's `date`).
//!
//! Bodies are [`http_body::Body`]s of [`bytes::Bytes`] and the server part is one tower service, so other services can be
//! mounted beside it, and hyper could take tonic's place.

mod body;
mod client;
mod headers;
mod inbound;
mod io;
mod pipe;
mod server;

pub use client::{Http2Client, Http2ClientConfig};
pub use server::{Http2Server, Http2ServerConfig};
