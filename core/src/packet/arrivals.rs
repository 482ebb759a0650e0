//! Packets that came at once, as inputs.

use alloc::vec::{Drain, Vec};

use bytes::Bytes;
use headwater_proto::pw_rpc::StreamId;

use super::{parts::Input, run::RunBuilder};

/// Messages after which a run ends: so few that each may have to be answered, and still is
/// ([`super::EndpointConfig::replies_max`]).
const RUN_MESSAGES_MAX: usize = 512;

/// Makes inputs of the packets that one read has found: an [`Input::Run`] of those that follow each other and are nothing
/// but messages of one call, and an [`Input::Packet`] of any other.
#[derive(Debug, Default)]
pub struct Arrivals {
    inputs: Vec<Input>,
    /// Of which call the messages in `run` are.
    id: Option<StreamId>,
    run: RunBuilder,
}

impl Arrivals {
    /// Whether there is no packet in it.
    pub const fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.id.is_none()
    }

    /// Adds a packet, which is copied.
    pub fn push(&mut self, packet: &[u8]) {
        let Some((id, message)) = StreamId::read(packet) else {
            return self.push_whole(Bytes::copy_from_slice(packet));
        };
        if self.id != Some(id) || self.run.messages() >= RUN_MESSAGES_MAX {
            self.end_run();
            self.id = Some(id);
        }
        self.run.push(message);
    }

    /// Adds a packet as it is: the better way for a large one, of which the message is then a slice.
    pub fn push_whole(&mut self, packet: Bytes) {
        self.end_run();
        self.inputs.push(Input::Packet(packet));
    }

    /// Takes all inputs, in the order of the packets.
    pub fn drain(&mut self) -> Drain<'_, Input> {
        self.end_run();
        self.inputs.drain(..)
    }

    fn end_run(&mut self) {
        let Some(id) = self.id.take() else {
            return;
        };
        let run = self.run.finish();
        self.inputs.push(Input::Run { id, run });
    }
}
