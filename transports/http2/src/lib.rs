//! Headwater's HTTP/2 transport: the gRPC wire format.
//!
//! Any gRPC client or server in any language is a peer. On the server, tonic's `Server` does the HTTP/2 part, used as a
//! tower service of http bodies *below* tonic's own codec layer, which hides resets, deadlines and the compression flag.
//! The client stands on the `h2` crate alone: one task drives a connection and everything that is sent on it, so what
//! waits goes out in one write, and the state of a connection is known, down to which calls never reached the server.
//! Framing, status, metadata and deadlines are [`headwater_rpc`]'s, the same as on every other transport, and what
//! tonic brings along that differs is filtered here (its deadline's `CANCELLED`, hyper's `date`).
//!
//! The server's bodies are [`http_body::Body`]s of [`bytes::Bytes`] and it is one tower service, so other services can be
//! mounted beside it.

mod batch;
mod body;
mod client;
mod headers;
mod inbound;
mod io;
mod server;

pub use client::{
    ClientIdentity, ClientTls, Http2Client, Http2ClientConfig, Http2Connector, Keepalive, Pem,
};
pub use server::{Http2Server, Http2ServerConfig};
