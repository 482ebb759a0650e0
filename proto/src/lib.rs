//! What is said: Headwater's protobuf types and the pure codecs of its wires.
//!
//! Everything here turns bytes into values and back. Nothing here waits, reads a clock, or knows a socket: the crate is
//! `no_std` with `alloc`, and no input makes it panic.
//!
//! - [`v1`]: the generated types of `headwater.v1`, the protocol between the service and an application.
//! - [`ConnectionString`]: where a service is and the key to it.
//! - [`status`]: how a call ends.
//! - [`metadata`]: what a call carries beside its messages.
//! - [`grpc`]: message framing, status trailers and `grpc-timeout`, as HTTP/2 and HTTP/3 carry them.
//! - [`push_channel`]: the generated types of `MessageSync`, the channels that messages are pushed through.
//! - [`pw_rpc`]: the packets that carry many calls over one channel of messages.
//! - [`subprotocol`]: what a WebSocket client and the service say to each other.
//! - [`websocket`]: the frames of RFC 6455.
//! - [`wps_rpc`]: the generated types of `WpsRpc`, an application's side of the service in plain calls.
//! - [`zrpc`]: calls over WebSocket messages, as zrpc speaks them.

#![no_std]

extern crate alloc;

pub mod connection_string;
mod details;
pub mod grpc;
pub mod metadata;
mod payload;
pub mod pw_rpc;
mod redacted;
pub mod status;
pub mod subprotocol;
pub mod websocket;
pub mod zrpc;

/// The generated types of `headwater.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::use_self,
    reason = "generated code"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/headwater.v1.rs"));
}

/// The generated types of `headwater/push_channel.proto`, which documents them.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::use_self,
    reason = "generated code"
)]
pub mod push_channel {
    include!(concat!(env!("OUT_DIR"), "/push_channel/_.rs"));
}

/// The generated types of `headwater/wps_rpc.proto`, which documents them.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::use_self,
    reason = "generated code"
)]
pub mod wps_rpc {
    include!(concat!(env!("OUT_DIR"), "/wps_rpc/_.rs"));
}

pub use connection_string::{ConnectionString, ConnectionStringError};
pub use details::Detail;
pub use metadata::Metadata;
pub use status::{Code, Status};
