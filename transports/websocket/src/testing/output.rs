//! What one side of a test has sent.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use headwater_proto::{
    Status,
    pw_rpc::{MethodId, PacketType, RpcPacket},
};
use tokio::sync::watch;

/// Keeps every packet that one side sends, in order. Clones share it.
///
/// # Panics
///
/// Methods that take a path panic if it is not `/service/method`: it is the test's own.
#[derive(Debug, Clone)]
pub struct FakeOutput {
    packets: Arc<watch::Sender<Vec<RpcPacket>>>,
}

impl FakeOutput {
    pub(super) fn new() -> Self {
        Self {
            packets: Arc::new(watch::Sender::new(Vec::new())),
        }
    }

    pub(super) fn push(&self, packet: RpcPacket) {
        self.packets.send_modify(|packets| packets.push(packet));
    }

    /// All packets since the beginning, or since the last [`FakeOutput::clear`].
    pub fn packets(&self) -> Vec<RpcPacket> {
        self.packets.borrow().clone()
    }

    /// The packets of one method.
    pub fn packets_of(&self, path: &str) -> Vec<RpcPacket> {
        let method = method(path);
        let mut packets = self.packets();
        packets.retain(|packet| packet.method() == method);
        packets
    }

    /// The messages of one method, of all its calls, in order.
    pub fn messages_of(&self, path: &str) -> Vec<Bytes> {
        let packets = self.packets_of(path).into_iter();
        let with_message = packets.filter(has_message);
        with_message.map(|packet| packet.payload).collect()
    }

    /// How the call of one method that ended last has ended, as this side says: a server's response or error, or a client's
    /// error. `None` if none has.
    pub fn outcome_of(&self, path: &str) -> Option<Result<(), Status>> {
        let packets = self.packets_of(path);
        let last = packets.iter().rev().find(|packet| is_end(packet))?;
        Some(last.outcome())
    }

    /// Forgets all packets.
    pub fn clear(&self) {
        self.packets.send_modify(Vec::clear);
    }

    /// Waits until the packets are as wanted, and gives them. Without a bound: put one around it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has done nothing.
    pub fn until(
        &self,
        mut holds: impl FnMut(&[RpcPacket]) -> bool,
    ) -> impl Future<Output = Vec<RpcPacket>> {
        let mut packets = self.packets.subscribe();
        // The sender is with this future, so it is not gone while it is polled.
        let keep = self.clone();
        async move {
            let held = packets.wait_for(|packets| holds(packets)).await;
            let held = held.map(|packets| packets.clone());
            drop(keep);
            held.unwrap_or_default()
        }
    }
}

/// The ids of a test's own path.
pub(super) fn method(path: &str) -> MethodId {
    MethodId::of_path(path).expect("a test calls methods by their paths")
}

/// Whether a packet is the end of its call.
pub(super) fn is_end(packet: &RpcPacket) -> bool {
    matches!(
        packet.r#type(),
        PacketType::Response | PacketType::ServerError | PacketType::ClientError
    )
}

/// Whether a packet has a message: with the extension it says so; without, it is one if there is something in it.
fn has_message(packet: &RpcPacket) -> bool {
    let kind = packet.r#type();
    if matches!(kind, PacketType::ServerStream | PacketType::ClientStream) {
        return true;
    }
    match &packet.extension {
        Some(extension) => extension.has_message,
        None => !packet.payload.is_empty(),
    }
}
