//! The channels of an endpoint.

use alloc::collections::BTreeMap;

use headwater_proto::pw_rpc::{PacketType, RpcPacket, UNASSIGNED_CHANNEL_ID};

use super::{
    config::{ChannelConfig, ExtensionUse, PeerKind},
    parts::ChannelError,
};

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) config: ChannelConfig,
    pub(super) peer: PeerKind,
    pub(super) output_works: bool,
    /// The peer refuses new calls.
    pub(super) going_away: bool,
}

impl Channel {
    fn new(config: ChannelConfig) -> Self {
        let peer = match config.extension {
            ExtensionUse::Never => PeerKind::Plain,
            ExtensionUse::Announce => PeerKind::Unknown,
            ExtensionUse::Agreed => PeerKind::Extended,
        };
        Self {
            config,
            peer,
            output_works: true,
            going_away: false,
        }
    }

    /// Learns from a packet whether the peer knows the extension, and takes it away if it is not to be heard.
    pub(super) fn learn(&mut self, packet: &mut RpcPacket) {
        if self.config.extension == ExtensionUse::Never {
            packet.extension = None;
        }
        if packet.extension.is_some() {
            self.peer = PeerKind::Extended;
        } else if self.peer == PeerKind::Unknown && would_announce(packet) {
            self.peer = PeerKind::Plain;
        }
    }
}

/// Whether a peer that knows the extension, and nothing of this side, says so in such a packet. Of a server's packets the
/// first in a call, and all others follow it.
fn would_announce(packet: &RpcPacket) -> bool {
    packet.is_from_server() || packet.r#type == i32::from(PacketType::Request)
}

#[derive(Debug)]
pub(super) struct Channels {
    open: BTreeMap<u32, Channel>,
    /// What every id that is not open is opened with.
    default: Option<ChannelConfig>,
    max: usize,
}

impl Channels {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            default: None,
            max,
        }
    }

    pub(super) fn open(&mut self, id: u32, config: ChannelConfig) -> Result<(), ChannelError> {
        if id == UNASSIGNED_CHANNEL_ID {
            return Err(ChannelError::Unassigned);
        }
        if self.open.contains_key(&id) {
            return Err(ChannelError::AlreadyExists);
        }
        if self.open.len() >= self.max {
            return Err(ChannelError::ResourceExhausted);
        }
        self.open.insert(id, Channel::new(config));
        Ok(())
    }

    pub(super) fn set_default(&mut self, config: ChannelConfig) -> Result<(), ChannelError> {
        if self.default.is_some() {
            return Err(ChannelError::AlreadyExists);
        }
        self.default = Some(config);
        Ok(())
    }

    /// The channel, which is opened if it is not and there is a default.
    pub(super) fn reach(&mut self, id: u32) -> Result<&mut Channel, ChannelError> {
        if !self.open.contains_key(&id) {
            let config = self.default.clone().ok_or(ChannelError::NotFound)?;
            self.open(id, config)?;
        }
        self.open.get_mut(&id).ok_or(ChannelError::NotFound)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Channel> {
        self.open.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Channel> {
        self.open.get_mut(&id)
    }

    pub(super) fn close(&mut self, id: u32) -> Result<(), ChannelError> {
        let closed = self.open.remove(&id);
        closed.map(drop).ok_or(ChannelError::NotFound)
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.default = None;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Channel)> {
        self.open.iter().map(|(id, channel)| (*id, channel))
    }
}
