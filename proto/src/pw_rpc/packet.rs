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
