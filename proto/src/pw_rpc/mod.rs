//! The packets of pw_rpc (Pigweed), which carry many calls over one channel of messages.
//!
//! [`RpcPacket`] is one packet, generated from `headwater/pw_rpc/packet.proto`, which documents each field: fields 1 to 7
//! and the types 0 to 8 are pw_rpc's own, so that any of its clients and servers is a peer. What pw_rpc lacks travels in
//! field 16, the [`Extension`]: metadata, the message and details of a status, a time limit, credit, half-close in the same
//! packet as a message, and the announcement that a server is going away. A peer without it skips the field.
//!
//! - **Streams.** Most packets are nothing but a message of a stream: [`StreamId`] reads and writes those faster.
//! - **Who knows the extension.** Whoever sends one. [`PacketType::ClientExtension`] and [`PacketType::ServerExtension`]
//!   go only to a peer that has.
//! - **Ids.** [`MethodId`] holds the hashes of a service's full name and of a method's name ([`ids::hash`]).
//! - **Status.** The numbers are gRPC's; success is 0.
//! - **Call ids.** [`OPEN_CALL_ID`], and in earlier versions [`LEGACY_OPEN_CALL_ID`], stand for any call of a method.
//!
//! Who may send what when is decided in `headwater_core::packet`.
//!
//! Source: Pigweed's `pw_rpc/protocol.rst`, `pw_rpc/internal/packet.proto`.

mod channel_id;
mod extension;
pub mod ids;
mod packet;
mod stream;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::use_self,
    reason = "generated code"
)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/headwater.pw_rpc.rs"));
}

pub use channel_id::{RemapError, channel_id, remap_channel_id};
pub use extension::{decode_metadata, encode_metadata};
pub use ids::MethodId;
pub use packet::Undecodable;
pub use stream::{StreamId, StreamLayout};
pub use wire::{Credit, Extension, PacketType, RpcPacket};

/// No channel has this id.
pub const UNASSIGNED_CHANNEL_ID: u32 = 0;
/// The id of a call that its server opened without a request: it is any call of the same channel, service and method.
pub const OPEN_CALL_ID: u32 = u32::MAX;
/// The same in earlier versions of pw_rpc, whose clients had no ids at all.
pub const LEGACY_OPEN_CALL_ID: u32 = 0;

/// Whether this stands for any call of a method.
pub const fn is_open(call_id: u32) -> bool {
    call_id == OPEN_CALL_ID || call_id == LEGACY_OPEN_CALL_ID
}
