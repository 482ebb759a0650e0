//! Headwater's HTTP/2 transport: the gRPC wire format.
//!
//! Any gRPC client or server in any language is a peer. Both ends stand on the `h2` crate alone: one task drives a
//! connection and everything that is sent on it, so what waits goes out in one write, and the state of a connection is
//! known, down to which calls never reached the server.
//! Framing, status, metadata and deadlines are [`headwater_rpc`]'s, the same as on every other transport.
//!
//! Services made for tonic can be mounted beside the router ([`Http2Server::with_service`]).

mod client;
mod inbound;
mod io;
mod keepalive;
mod read_ahead;
mod reset;
mod server;
mod signal;

pub use client::{Http2Client, Http2ClientConfig, Http2Connector, Keepalive};
pub use headwater_rpc::ServerCounters;
pub use server::{Http2Server, Http2ServerConfig};

/// The protocol that ALPN (RFC 7301) has to agree on (RFC 9113, 3.2).
const ALPN: &[u8] = b"h2";
