//! How calls come, are found, and go.

use alloc::{boxed::Box, vec::Vec};
use core::mem;

use headwater_proto::{
    Code, Status,
    pw_rpc::{
        LEGACY_OPEN_CALL_ID, MethodId, OPEN_CALL_ID, PacketType, RpcPacket, UNASSIGNED_CHANNEL_ID,
        is_open,
    },
};

use super::{
    call::{Address, PacketCall},
    channels::Channel,
    config::{PeerKind, Role},
    endpoint::{CALL_ID_MAX, Endpoint},
    parts::{CallKey, Event, Output, SendError},
};
use crate::call::{Closed, EndedBy, Reached, Shape};

/// What a server may tell in a SERVER_ERROR (`protocol.rst`).
const SERVER_ERRORS: [Code; 7] = [
    Code::NotFound,
    Code::FailedPrecondition,
    Code::InvalidArgument,
    Code::ResourceExhausted,
    Code::Aborted,
    Code::Internal,
    Code::Unavailable,
];

/// What a client may tell in a CLIENT_ERROR (`protocol.rst`).
const CLIENT_ERRORS: [Code; 7] = [
    Code::Cancelled,
    Code::Aborted,
    Code::NotFound,
    Code::FailedPrecondition,
    Code::DataLoss,
    Code::InvalidArgument,
    Code::Unavailable,
];

impl Endpoint {
    pub(super) fn client_address(&self, channel: u32, path: &str) -> Result<Address, SendError> {
        if self.config.role == Some(Role::Server) || channel == UNASSIGNED_CHANNEL_ID {
            return Err(SendError::Misuse);
        }
        Ok(Address {
            role: Role::Client,
            channel,
            method: MethodId::of_path(path).ok_or(SendError::Misuse)?,
            call_id: OPEN_CALL_ID,
        })
    }

    pub(super) fn reach(&mut self, channel: u32) -> Result<&mut Channel, SendError> {
        let reached = self.channels.reach(channel);
        reached.map_err(|_| SendError::NoChannel)
    }

    /// The next id that no call of this method has. There are more ids than calls fit in memory.
    pub(super) fn allocate_call_id(&mut self, mut address: Address) -> u32 {
        loop {
            address.call_id = self.next_call_id;
            self.next_call_id = if self.next_call_id >= CALL_ID_MAX {
                1
            } else {
                self.next_call_id + 1
            };
            if !self.index.contains_key(&address) {
                return address.call_id;
            }
        }
    }

    pub(super) fn open_unrequested(
        &mut self,
        address: Address,
        shape: Shape,
    ) -> Result<CallKey, SendError> {
        if self.index.contains_key(&address) {
            return Err(SendError::Misuse);
        }
        let call = PacketCall::new(address, shape, self.config.receive_window);
        Ok(self.insert(call))
    }

    pub(super) fn insert(&mut self, call: PacketCall) -> CallKey {
        let key = CallKey(self.next_key);
        self.next_key += 1;
        match call.address.role {
            Role::Client => drop(self.known.insert(call.address.method)),
            Role::Server => self.server_calls += 1,
        }
        self.index.insert(call.address, key);
        self.calls.insert(key, call);
        key
    }

    pub(super) fn remove(&mut self, key: CallKey) -> Option<PacketCall> {
        let call = self.calls.remove(&key)?;
        self.index.remove(&call.address);
        if call.address.role == Role::Server {
            self.server_calls -= 1;
        }
        Some(call)
    }

    /// The call that a packet belongs to: the one of its id; or, if its id is open, the oldest by id of its method; or one
    /// whose own id is open, which has this id from now on.
    pub(super) fn find(&mut self, role: Role, packet: &RpcPacket) -> Option<CallKey> {
        let address = address_of(role, packet);
        let of_id = |call_id| Address { call_id, ..address };
        let same = self.index.get(&address).copied();
        let key = if same.is_some() {
            same
        } else if is_open(packet.call_id) {
            let mut calls = self.index.range(of_id(0)..=of_id(u32::MAX));
            calls.next().map(|(_, key)| *key)
        } else {
            self.find_open(address)
        };
        let key = key?;
        let call = self.calls.get_mut(&key)?;
        call.known_to_peer = true;
        if same.is_none() && !is_open(packet.call_id) {
            self.index.remove(&call.address);
            call.address = address;
            self.index.insert(address, key);
        }
        Some(key)
    }

    /// The call of this method whose own id is open.
    pub(super) fn find_open(&self, address: Address) -> Option<CallKey> {
        [OPEN_CALL_ID, LEGACY_OPEN_CALL_ID]
            .into_iter()
            .find_map(|call_id| self.index.get(&Address { call_id, ..address }))
            .copied()
    }

    /// Puts a call on the list of those that may have something to send.
    pub(super) fn list(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key)
            && !mem::replace(&mut call.listed, true)
        {
            self.ready.push_back(key);
        }
    }

    /// What this call sends next.
    pub(super) fn next_of(&mut self, key: CallKey) -> Option<Output> {
        let call = self.calls.get_mut(&key)?;
        call.listed = false;
        let channel = self.channels.get(call.address.channel)?;
        if !channel.output_works {
            return None;
        }
        let output = match call.next_run(channel.peer) {
            Some((id, run)) => Output::TransmitRun { id, run },
            None => Output::Transmit(call.next_packet(channel.peer)?),
        };
        call.known_to_peer = true;
        if call.take_writable(self.config.send_queue) {
            self.outputs
                .push_back(Output::Event(Event::Writable { key }));
        }
        let has_queued = call.has_queued();
        if call.address.role == Role::Server && call.has_ended() {
            self.remove(key);
        } else if has_queued {
            self.list(key);
        }
        Some(output)
    }

    pub(super) fn output_works(&mut self, id: u32) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        channel.output_works = true;
        for key in self.keys_where(|call| call.address.channel == id) {
            self.list(key);
            self.grant(key);
        }
    }

    /// Lets the peer send more in this call, once that is enough to be worth a packet.
    pub(super) fn grant(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let channel = self.channels.get(call.address.channel);
        let hears_grants = channel
            .is_some_and(|channel| channel.output_works && channel.peer == PeerKind::Extended);
        if !hears_grants || !call.may_grant() {
            return;
        }
        let Some(grant) = call.receive_credit.take_grant() else {
            return;
        };
        let mut packet = call.address.packet(match call.address.role {
            Role::Client => PacketType::ClientExtension,
            Role::Server => PacketType::ServerExtension,
        });
        packet.extend().credit = Some(grant);
        self.transmit(packet);
    }

    /// Sends a packet, if what carries it works.
    pub(super) fn transmit(&mut self, packet: RpcPacket) {
        let channel = self.channels.get(packet.channel_id);
        if channel.is_some_and(|channel| channel.output_works) {
            self.outputs.push_back(Output::Transmit(packet));
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Ends a call for the application.
    pub(super) fn close(&mut self, key: CallKey, closed: Closed) {
        self.remove(key);
        let closed = Box::new(closed);
        self.event(Event::Closed { key, closed });
    }

    /// Ends a call here and at the peer, and does not tell the application.
    pub(super) fn give_up(&mut self, key: CallKey, status: &Status) {
        let Some(call) = self.remove(key) else {
            return;
        };
        if !call.known_to_peer {
            // A packet of an open id would be of any call that the peer has.
            return;
        }
        let peer = self.channels.get(call.address.channel);
        let peer = peer.map_or(PeerKind::Plain, |channel| channel.peer);
        self.transmit(last_packet(call.address, peer, status));
    }

    /// Ends a call here and at the peer, with this status on both sides.
    pub(super) fn abort(&mut self, key: CallKey, status: Status, by: EndedBy) {
        let reached = match self.is_sent(key) {
            true => Reached::Handler,
            false => Reached::Nothing,
        };
        self.give_up(key, &status);
        self.close(
            key,
            Closed {
                status,
                by,
                reached,
            },
        );
    }

    pub(super) fn abort_where(&mut self, message: &str, is_meant: impl Fn(&PacketCall) -> bool) {
        for key in self.keys_where(is_meant) {
            self.abort(key, Status::new(Code::Aborted, message), EndedBy::Local);
        }
    }

    /// What carries the packets is gone.
    pub(super) fn closed(&mut self, closed: &Closed) {
        for key in self.keys_where(|_| true) {
            let reached = match self.is_sent(key) {
                true => closed.reached,
                false => Reached::Nothing,
            };
            self.close(key, closed.clone().having_reached(reached));
        }
        self.channels.clear();
        self.replies.clear();
    }

    fn keys_where(&self, is_meant: impl Fn(&PacketCall) -> bool) -> Vec<CallKey> {
        let meant = self.calls.iter().filter(|(_, call)| is_meant(call));
        meant.map(|(key, _)| *key).collect()
    }
}

/// Which call a packet says it belongs to.
pub(super) const fn address_of(role: Role, packet: &RpcPacket) -> Address {
    Address {
        role,
        channel: packet.channel_id,
        method: packet.method(),
        call_id: packet.call_id,
    }
}

/// The packet that gives a call up. A plain peer gets a word that pw_rpc has: a client's reason does not matter to a
/// server, and a server has RESPONSE for any status.
fn last_packet(address: Address, peer: PeerKind, status: &Status) -> RpcPacket {
    let mut status = status.clone();
    let any = peer == PeerKind::Extended;
    let packet_type = match address.role {
        Role::Client if any || CLIENT_ERRORS.contains(&status.code) => PacketType::ClientError,
        Role::Client => {
            status.code = Code::Cancelled;
            PacketType::ClientError
        }
        Role::Server if any || SERVER_ERRORS.contains(&status.code) => PacketType::ServerError,
        Role::Server => PacketType::Response,
    };
    let mut packet = address.packet(packet_type);
    if peer != PeerKind::Plain {
        packet.extend();
    }
    packet.set_outcome(&Err(status));
    packet
}
