//! What every packet goes through, whichever role it is for.

use bytes::Bytes;
use headwater_proto::{
    Code, Metadata, Status,
    pw_rpc::{Extension, PacketType, RpcPacket, StreamId, UNASSIGNED_CHANNEL_ID, decode_metadata},
};

use super::{
    call::Address,
    config::{PeerKind, Role},
    endpoint::Endpoint,
    parts::{CallKey, ChannelError, Event, Rejection},
    run::Run,
};
use crate::call::{EndedBy, Frame, Violation};

impl Endpoint {
    pub(super) fn receive(&mut self, bytes: Bytes) {
        let Ok(packet) = RpcPacket::read(bytes) else {
            return self.event(Event::Rejected(Rejection::Undecodable));
        };
        if let Err(rejection) = self.take(packet) {
            self.event(Event::Rejected(rejection));
        }
    }

    pub(super) fn receive_run(&mut self, id: StreamId, run: Run) {
        let run = match self.take_run(&id, run) {
            Ok(()) => return,
            Err(run) => run,
        };
        for message in run.into_messages() {
            let mut packet = id.packet();
            packet.payload = message;
            if let Err(rejection) = self.take(packet) {
                self.event(Event::Rejected(rejection));
            }
        }
    }

    /// Hands messages of one call to the application together, unless something is to be decided about one of them.
    fn take_run(&mut self, id: &StreamId, run: Run) -> Result<(), Run> {
        let role = match id.from_server {
            true => Role::Client,
            false => Role::Server,
        };
        let address = Address {
            role,
            channel: id.channel_id,
            method: id.method,
            call_id: id.call_id,
        };
        let channel = self.channels.get(id.channel_id);
        let peer = channel.map_or(PeerKind::Unknown, |channel| channel.peer);
        let key = self.index.get(&address).copied();
        let Some((key, call)) = key.and_then(|key| Some((key, self.calls.get_mut(&key)?))) else {
            return Err(run);
        };
        let (is_begun, is_one) = match role {
            Role::Client => (
                call.headers_received && peer != PeerKind::Unknown,
                call.shape.one_response(),
            ),
            Role::Server => (!call.half_closed, call.shape.one_request()),
        };
        let is_one = is_one && peer != PeerKind::Extended;
        if !is_begun || is_one || !call.receive_credit.receive_all(run.credit()) {
            return Err(run);
        }
        call.known_to_peer = true;
        self.event(Event::Run { key, run });
        Ok(())
    }

    fn take(&mut self, mut packet: RpcPacket) -> Result<(), Rejection> {
        let is_extension = matches!(
            packet_type(&packet),
            Some(PacketType::ClientExtension | PacketType::ServerExtension)
        );
        let no_method = packet.service_id == 0 || packet.method_id == 0;
        if packet.channel_id == UNASSIGNED_CHANNEL_ID || (no_method && !is_extension) {
            return Err(Rejection::NoId);
        }
        let role = match packet.is_from_server() {
            true => Role::Client,
            false => Role::Server,
        };
        if self.config.role.is_some_and(|own| own != role) {
            return Err(Rejection::Role);
        }
        match self.channels.reach(packet.channel_id) {
            Ok(channel) => channel.learn(&mut packet),
            Err(error) => {
                self.reply_without_channel(&packet, error);
                return Err(Rejection::NoChannel);
            }
        }
        if role == Role::Client {
            self.heard_of_going_away(&packet);
        }
        if no_method {
            return Ok(());
        }
        match role {
            Role::Client => self.receive_as_client(packet),
            Role::Server => self.receive_as_server(packet),
        }
    }

    fn heard_of_going_away(&mut self, packet: &RpcPacket) {
        let going_away = packet
            .extension
            .as_ref()
            .is_some_and(|more| more.going_away);
        let Some(channel) = self.channels.get_mut(packet.channel_id) else {
            return;
        };
        if going_away && !channel.going_away {
            channel.going_away = true;
            self.event(Event::GoingAway {
                channel: packet.channel_id,
            });
        }
    }

    /// A peer that waits for a channel that is not there is told so.
    fn reply_without_channel(&mut self, packet: &RpcPacket, error: ChannelError) {
        let code = match error {
            ChannelError::ResourceExhausted => Code::ResourceExhausted,
            ChannelError::Unassigned | ChannelError::AlreadyExists | ChannelError::NotFound => {
                Code::Unavailable
            }
        };
        let waits = match packet_type(packet) {
            Some(
                PacketType::Request
                | PacketType::ClientStream
                | PacketType::ClientRequestCompletion
                | PacketType::ServerStream,
            ) => true,
            Some(
                PacketType::ClientError
                | PacketType::Response
                | PacketType::ServerError
                | PacketType::ClientExtension
                | PacketType::ServerExtension,
            )
            | None => false,
        };
        if waits && self.config.answers_unknown_channels {
            let code = match packet.is_from_server() {
                true => Code::Unavailable,
                false => code,
            };
            self.reply(packet, code, "the channel is not open");
        }
    }

    /// Answers a packet with an error, unless too many answers wait.
    pub(super) fn reply(&mut self, to: &RpcPacket, code: Code, message: &str) {
        let packet = self.error(to, code, message);
        self.push_reply(packet);
    }

    /// Sends an answer, unless too many wait, or what carries it does not work.
    pub(super) fn push_reply(&mut self, packet: RpcPacket) {
        let channel = self.channels.get(packet.channel_id);
        let works = channel.is_none_or(|channel| channel.output_works);
        if works && self.replies.len() < self.config.replies_max {
            self.replies.push_back(packet);
        }
    }

    /// The packet that answers this one with an error.
    pub(super) fn error(&self, to: &RpcPacket, code: Code, message: &str) -> RpcPacket {
        let packet_type = match to.is_from_server() {
            true => PacketType::ClientError,
            false => PacketType::ServerError,
        };
        let mut packet = RpcPacket::new(packet_type, to.channel_id, to.method(), to.call_id);
        let channel = self.channels.get(to.channel_id);
        if channel.is_some_and(|channel| channel.peer != PeerKind::Plain) {
            packet.extend();
        }
        packet.set_outcome(&Err(Status::new(code, message)));
        packet
    }

    /// The peer may let this side send more.
    pub(super) fn granted(&mut self, key: CallKey, extension: Option<&Extension>) {
        let credit = extension.and_then(|extension| extension.credit);
        if let (Some(credit), Some(call)) = (credit, self.calls.get_mut(&key)) {
            call.send_credit.granted(credit);
            self.list(key);
        }
    }

    /// The metadata of an extension.
    ///
    /// # Errors
    ///
    /// They are too large, or are none.
    pub(super) fn read_metadata(&self, encoded: Bytes) -> Result<Metadata, Status> {
        let too_large = || {
            let message = "the metadata are over the limit";
            Status::new(Code::ResourceExhausted, message)
        };
        let bytes_max = self.config.metadata_bytes_max;
        if encoded.len() > bytes_max {
            return Err(too_large());
        }
        let unreadable = |_| Status::new(Code::Internal, "the metadata cannot be read");
        let metadata = decode_metadata(encoded).map_err(unreadable)?;
        if metadata.size() > bytes_max {
            return Err(too_large());
        }
        Ok(metadata)
    }

    /// Hands a message to the application, or ends the call, if there are too many.
    pub(super) fn receive_message(&mut self, key: CallKey, payload: Bytes, compressed: bool) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if !call.receive_credit.receive(payload.len()) {
            let status = Violation::Credit.status();
            return self.abort(key, status, EndedBy::Violation);
        }
        let needs_headers = call.address.role == Role::Client && !call.headers_received;
        call.headers_received = true;
        if needs_headers {
            let frame = Frame::Headers(Metadata::new());
            self.event(Event::Frame { key, frame });
        }
        let frame = match compressed {
            true => Frame::Compressed(payload),
            false => Frame::Message(payload),
        };
        self.event(Event::Frame { key, frame });
    }
}

/// What a packet is; `None` for a number that has no type.
pub(super) fn packet_type(packet: &RpcPacket) -> Option<PacketType> {
    PacketType::try_from(packet.r#type).ok()
}
