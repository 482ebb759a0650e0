//! One call of an endpoint, and which packet it sends next.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::{mem, time::Duration};

use bytes::Bytes;
use headwater_proto::{
    Metadata,
    pw_rpc::{MethodId, PacketType, RpcPacket, encode_metadata},
};

use super::{
    config::{PeerKind, Role},
    credit::{ReceiveCredit, SendCredit},
    parts::SendError,
};
use crate::call::{Credit, Frame, Shape, Trailers};

/// Which call a packet belongs to. The order makes the calls of one channel, and of one method, neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) role: Role,
    pub(super) channel: u32,
    pub(super) method: MethodId,
    pub(super) call_id: u32,
}

impl Address {
    pub(super) fn packet(self, packet_type: PacketType) -> RpcPacket {
        RpcPacket::new(packet_type, self.channel, self.method, self.call_id)
    }
}

/// What a REQUEST that has not gone yet will say.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) path: Arc<str>,
    pub(super) metadata: Metadata,
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct PacketCall {
    pub(super) address: Address,
    pub(super) shape: Shape,
    /// Server: its method is one of the services.
    pub(super) registered: bool,
    /// Client: its request has not gone yet.
    pub(super) opening: Option<Opening>,
    queue: VecDeque<Frame>,
    queued: Credit,
    /// The application found the queue full, and `Writable` is owed.
    full: bool,
    /// The peer has sent or got a packet of it.
    pub(super) known_to_peer: bool,
    /// It is on the list of calls that may have something to send.
    pub(super) listed: bool,
    /// A frame was taken in.
    begun: bool,
    /// The last frame was.
    ending: bool,
    /// The peer knows that nothing more comes.
    ended: bool,
    messages_queued: bool,
    /// Server: a packet of it has gone.
    answered: bool,
    pub(super) send_credit: SendCredit,
    pub(super) receive_credit: ReceiveCredit,
    /// Client: the beginning of the responses was told.
    pub(super) headers_received: bool,
    /// Server: the requests have ended.
    pub(super) half_closed: bool,
    /// Server: the client has said that it has completed.
    pub(super) completion_requested: bool,
}

impl PacketCall {
    pub(super) fn new(address: Address, shape: Shape, receive_window: Credit) -> Self {
        Self {
            address,
            shape,
            registered: false,
            opening: None,
            queue: VecDeque::new(),
            queued: Credit::default(),
            full: false,
            known_to_peer: false,
            listed: false,
            begun: false,
            ending: false,
            ended: false,
            messages_queued: false,
            answered: false,
            send_credit: SendCredit::initial(),
            receive_credit: ReceiveCredit::new(receive_window),
            headers_received: false,
            half_closed: false,
            completion_requested: false,
        }
    }

    /// Whether the queue takes a message; if not, [`PacketCall::take_writable`] will say when it does again.
    pub(super) const fn check_writable(&mut self, bound: Credit) -> bool {
        self.full = self.queued.messages >= bound.messages || self.queued.bytes >= bound.bytes;
        !self.full
    }

    /// Whether the application has to be told that it may go on.
    pub(super) const fn take_writable(&mut self, bound: Credit) -> bool {
        let writable = self.full
            && self.queued.messages.saturating_mul(2) <= bound.messages
            && self.queued.bytes.saturating_mul(2) <= bound.bytes;
        if writable {
            self.full = false;
        }
        writable
    }

    /// Takes a frame in.
    pub(super) fn push(
        &mut self,
        frame: Frame,
        peer: PeerKind,
        bound: Credit,
    ) -> Result<(), SendError> {
        self.check(&frame, peer)?;
        match &frame {
            Frame::Message(_) | Frame::Compressed(_) => {
                if !self.check_writable(bound) {
                    return Err(SendError::Blocked);
                }
                self.messages_queued = true;
            }
            Frame::Headers(_) => {}
            Frame::End(_) => self.ending = true,
        }
        self.begun = true;
        self.queued = self.queued.add(frame.credit());
        self.queue.push_back(frame);
        Ok(())
    }

    fn check(&self, frame: &Frame, peer: PeerKind) -> Result<(), SendError> {
        let is_client = self.address.role == Role::Client;
        let allowed = match frame {
            _ if self.ending => false,
            Frame::Headers(_) => !is_client && !self.begun,
            Frame::Compressed(_) if peer != PeerKind::Extended => {
                return Err(SendError::Compressed);
            }
            Frame::Message(_) | Frame::Compressed(_) => {
                let one = if is_client {
                    self.shape.one_request()
                } else {
                    self.shape.one_response()
                };
                !(one && self.messages_queued)
            }
            Frame::End(_) => true,
        };
        allowed.then_some(()).ok_or(SendError::Misuse)
    }

    /// What it sends next, if it can send now.
    pub(super) fn next_packet(&mut self, peer: PeerKind) -> Option<RpcPacket> {
        match (self.address.role, peer) {
            (Role::Client, _) if self.opening.is_some() => self.request(peer),
            (Role::Client, _) => self.next_of_client(peer),
            (Role::Server, PeerKind::Extended) => self.next_to_extended(),
            (Role::Server, PeerKind::Plain | PeerKind::Unknown) => self.next_to_plain(peer),
        }
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether it has said its last: at a server it is over then.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn request(&mut self, peer: PeerKind) -> Option<RpcPacket> {
        let with_message = self.shape.one_request() || peer == PeerKind::Extended;
        if self.queue.is_empty() && peer != PeerKind::Extended && with_message {
            // The one request has to go in this packet, or the peer takes it as empty.
            return None;
        }
        let Opening {
            path,
            metadata,
            timeout,
        } = self.opening.take()?;
        let mut packet = self.address.packet(PacketType::Request);
        if peer != PeerKind::Plain {
            let extension = packet.extend();
            extension.path = Bytes::copy_from_slice(path.as_bytes());
            extension.set_timeout(timeout);
            if !metadata.is_empty() {
                extension.headers = Some(encode_metadata(&metadata));
            }
        }
        if with_message && self.front_is_message() {
            self.pop_message(&mut packet);
            if let Some(extension) = &mut packet.extension {
                extension.has_message = true;
            }
        }
        let implied = self.shape.one_request() && peer != PeerKind::Extended;
        if self.pop_end().is_some() || implied {
            self.ended = true;
            if let Some(extension) = &mut packet.extension {
                extension.half_close = true;
            }
        }
        Some(packet)
    }

    fn next_of_client(&mut self, peer: PeerKind) -> Option<RpcPacket> {
        if self.ended {
            // It was said with the request already.
            self.queue.clear();
            return None;
        }
        if self.pop_end().is_some() {
            self.ended = true;
            return Some(self.address.packet(PacketType::ClientRequestCompletion));
        }
        if !self.may_send_message(peer) {
            return None;
        }
        let mut packet = self.address.packet(PacketType::ClientStream);
        self.pop_message(&mut packet);
        if peer == PeerKind::Extended && self.pop_end().is_some() {
            self.ended = true;
            packet.extend().half_close = true;
        }
        Some(packet)
    }

    fn next_to_extended(&mut self) -> Option<RpcPacket> {
        let headers = self.pop_headers();
        let mut packet = if self.may_send_message(PeerKind::Extended) {
            let mut packet = self.address.packet(PacketType::ServerStream);
            self.pop_message(&mut packet);
            if let Some(trailers) = self.pop_end() {
                packet.extend().has_message = true;
                self.respond(&mut packet, &trailers);
            }
            packet
        } else if let Some(trailers) = self.pop_end() {
            let mut packet = self.address.packet(PacketType::Response);
            packet.extend();
            self.respond(&mut packet, &trailers);
            packet
        } else if headers.is_some() {
            self.address.packet(PacketType::ServerExtension)
        } else {
            return None;
        };
        let is_first = !mem::replace(&mut self.answered, true);
        if is_first || headers.is_some() {
            packet.extend().headers = headers.as_ref().map(encode_metadata);
        }
        Some(packet)
    }

    fn next_to_plain(&mut self, peer: PeerKind) -> Option<RpcPacket> {
        self.pop_headers();
        let has_message = self.front_is_message();
        let mut packet = if has_message && !self.shape.one_response() {
            let mut packet = self.address.packet(PacketType::ServerStream);
            self.pop_message(&mut packet);
            packet
        } else if self.queue.len() > usize::from(has_message) {
            // The one response goes with the status.
            let mut packet = self.address.packet(PacketType::Response);
            if has_message {
                self.pop_message(&mut packet);
            }
            if let Some(trailers) = self.pop_end() {
                if peer == PeerKind::Unknown {
                    packet.extend().has_message = has_message;
                }
                self.respond(&mut packet, &trailers);
            }
            packet
        } else {
            return None;
        };
        if peer == PeerKind::Unknown && !mem::replace(&mut self.answered, true) {
            packet.extend();
        }
        Some(packet)
    }

    /// Makes this the last packet of a server. The outcome is all that a packet without an extension says of it.
    fn respond(&mut self, packet: &mut RpcPacket, trailers: &Trailers) {
        self.ended = true;
        packet.set_type(PacketType::Response);
        packet.set_outcome(&trailers.outcome);
        if let Some(extension) = &mut packet.extension {
            extension.trailers = encode_metadata(&trailers.metadata);
        }
    }

    fn may_send_message(&self, peer: PeerKind) -> bool {
        let has_credit = peer != PeerKind::Extended || self.send_credit.is_left();
        has_credit && self.front_is_message()
    }

    fn front_is_message(&self) -> bool {
        matches!(
            self.queue.front(),
            Some(Frame::Message(_) | Frame::Compressed(_))
        )
    }

    fn pop_message(&mut self, packet: &mut RpcPacket) {
        let Some(frame) = self.queue.pop_front() else {
            return;
        };
        self.queued = self.queued.less(frame.credit());
        self.send_credit.spend(frame.credit().bytes);
        match frame {
            Frame::Message(message) => packet.payload = message,
            Frame::Compressed(message) => {
                packet.payload = message;
                packet.extend().compressed = true;
            }
            Frame::Headers(_) | Frame::End(_) => {}
        }
    }

    fn pop_headers(&mut self) -> Option<Metadata> {
        let front = self
            .queue
            .pop_front_if(|front| matches!(front, Frame::Headers(_)));
        match front? {
            Frame::Headers(metadata) => Some(metadata),
            Frame::Message(_) | Frame::Compressed(_) | Frame::End(_) => None,
        }
    }

    fn pop_end(&mut self) -> Option<Box<Trailers>> {
        let front = self
            .queue
            .pop_front_if(|front| matches!(front, Frame::End(_)));
        match front? {
            Frame::End(trailers) => Some(trailers),
            Frame::Message(_) | Frame::Compressed(_) | Frame::Headers(_) => None,
        }
    }
}
