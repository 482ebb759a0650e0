//! What is read from a packet, and what a packet is made of.

use alloc::{boxed::Box, string::ToString, vec::Vec};

use bytes::Bytes;
use prost::Message;

use super::{
    MethodId,
    wire::{Extension, PacketType, RpcPacket},
};
use crate::{Code, Status};

/// Bytes that are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not a pw_rpc packet")]
pub struct Undecodable;

impl RpcPacket {
    /// A packet of this type about a call, without payload and status.
    pub fn new(packet_type: PacketType, channel_id: u32, method: MethodId, call_id: u32) -> Self {
        Self {
            r#type: packet_type.into(),
            channel_id,
            service_id: method.service,
            method_id: method.method,
            call_id,
            ..Self::default()
        }
    }

    /// Reads one packet. The payload and other bytes are slices of `bytes`, not copies.
    ///
    /// # Errors
    ///
    /// It is not a packet.
    pub fn read(bytes: Bytes) -> Result<Self, Undecodable> {
        Self::decode(bytes).map_err(|_| Undecodable)
    }

    /// Its bytes, in a buffer of their own.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Appends its bytes.
    pub fn append(&self, out: &mut Vec<u8>) {
        // A vector takes all that is written.
        self.encode_raw(out);
    }

    /// Whether it goes from a server to a client: its type is odd.
    pub const fn is_from_server(&self) -> bool {
        self.r#type & 1 == 1
    }

    /// The service and the method that it names.
    pub const fn method(&self) -> MethodId {
        MethodId {
            service: self.service_id,
            method: self.method_id,
        }
    }

    /// The outcome that it tells. A number that no code has is [`Code::Unknown`].
    ///
    /// # Errors
    ///
    /// It tells of a failure.
    pub fn outcome(&self) -> Result<(), Status> {
        let Some(code) = Code::from_number(i64::from(self.status)) else {
            return Ok(());
        };
        let extension = self.extension.as_deref();
        Err(Status {
            code,
            message: extension.map_or_else(Default::default, |more| more.status_message.clone()),
            details: extension.map_or_else(Default::default, |more| more.status_details.clone()),
        })
    }

    /// Makes it tell this outcome; message and details only if it has an extension.
    pub fn set_outcome(&mut self, outcome: &Result<(), Status>) {
        let Err(status) = outcome else {
            self.status = 0;
            return;
        };
        self.status = u32::from(status.code.number());
        if let Some(extension) = &mut self.extension {
            extension.status_message = status.message.to_string();
            extension.status_details = status.details.clone();
        }
    }

    /// The extension, which it has from now on.
    pub fn extend(&mut self) -> &mut Extension {
        self.extension.get_or_insert_with(Box::default)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    const ECHO: &str = "/pw.rpc.EchoService/Echo";

    fn packet(packet_type: PacketType, call_id: u32, status: u32, payload: &str) -> RpcPacket {
        let method = MethodId::of_path(ECHO).expect("a path");
        RpcPacket {
            status,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            ..RpcPacket::new(packet_type, 1, method, call_id)
        }
    }

    /// What Pigweed's own Python package writes for the same packets.
    #[test]
    fn packets_have_the_bytes_of_pigweed() {
        let table = [
            (
                packet(PacketType::Request, 300, 0, "\n\u{2}hi"),
                "10011d52d0fb1425e90e478b2a040a02686938ac02",
            ),
            (
                packet(PacketType::ClientStream, 1, 0, "x"),
                "080210011d52d0fb1425e90e478b2a01783801",
            ),
            (
                packet(PacketType::ClientRequestCompletion, 1, 0, ""),
                "080810011d52d0fb1425e90e478b3801",
            ),
            (
                packet(PacketType::ClientError, 1, 1, ""),
                "080410011d52d0fb1425e90e478b30013801",
            ),
            (
                packet(PacketType::Response, 1, 0, "x"),
                "080110011d52d0fb1425e90e478b2a01783801",
            ),
            (
                packet(PacketType::Response, super::super::OPEN_CALL_ID, 16, ""),
                "080110011d52d0fb1425e90e478b301038ffffffff0f",
            ),
            (
                packet(PacketType::ServerStream, 1, 0, "x"),
                "080710011d52d0fb1425e90e478b2a01783801",
            ),
            (
                packet(PacketType::ServerError, 1, 5, ""),
                "080510011d52d0fb1425e90e478b30053801",
            ),
        ];
        for (packet, expected) in table {
            let bytes = packet.to_bytes();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "{packet:?}");
            assert_eq!(RpcPacket::read(bytes), Ok(packet));
        }
    }

    /// Protobuf demands it of every reader, so a peer without the extension is not disturbed by it, nor are we by what
    /// others add.
    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let plain = packet(PacketType::Request, 1, 0, "x");
        let mut bytes = plain.to_bytes().to_vec();
        // Field 100: three bytes.
        bytes.extend([0xa2, 0x06, 3, 1, 2, 3]);
        assert_eq!(RpcPacket::read(bytes.into()), Ok(plain));
    }

    #[test]
    fn every_code_and_its_message_survive_the_wire() {
        let outcomes = Code::ALL.map(|code| Err(Status::new(code, "why")));
        for outcome in outcomes.into_iter().chain([Ok(())]) {
            let mut written = packet(PacketType::Response, 1, 0, "");
            written.extend();
            written.set_outcome(&outcome);
            let read = RpcPacket::read(written.to_bytes()).expect("a packet");
            assert_eq!(read.outcome(), outcome);
        }
    }

    #[test]
    fn bytes_that_are_no_packet_are_refused() {
        for bytes in [&[1, 2][..], b"\x08", b"\x2a\x05x", b"\xff"] {
            let read = RpcPacket::read(Bytes::copy_from_slice(bytes));
            assert_eq!(read, Err(Undecodable), "{bytes:?}");
        }
    }
}
