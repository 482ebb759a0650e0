//! One call of an endpoint, and which packet it sends next.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::{mem, time::Duration};

use bytes::Bytes;
use headwater_proto::{
    Metadata,
    pw_rpc::{MethodId, PacketType, RpcPacket, StreamId, encode_metadata},
};

use super::{
    config::{PeerKind, Role},
    credit::{ReceiveCredit, SendCredit},
    parts::SendError,
    run::Run,
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

    /// What its packets that are nothing but messages have in common.
    fn stream(self) -> StreamId {
        StreamId {
            from_server: self.role == Role::Server,
            channel_id: self.channel,
            method: self.method,
            call_id: self.call_id,
        }
    }
}

/// A part of what a call sends.
#[derive(Debug)]
enum Piece {
    Frame(Frame),
    Run(Run),
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
    queue: VecDeque<Piece>,
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

    pub(super) const fn unsent(&self) -> Credit {
        self.queued
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

    /// Whether the peer has a call that takes a grant, and goes on sending. Before the request has gone a grant would be
    /// lost, or be that of a call whose place the request takes.
    pub(super) const fn may_grant(&self) -> bool {
        self.known_to_peer && self.opening.is_none() && !self.half_closed
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
        self.queue.push_back(Piece::Frame(frame));
        Ok(())
    }

    /// Takes messages in from the front of a run, as far as there is room. What is left makes it owe `Writable`.
    pub(super) fn push_run(&mut self, run: &mut Run, bound: Credit) -> Result<(), SendError> {
        let is_too_many = self.sends_one() && (self.messages_queued || run.credit().messages > 1);
        if self.ending || is_too_many {
            return Err(SendError::Misuse);
        }
        let queued = self.queued;
        let taken = run.split_while(|taken| {
            let used = queued.add(taken);
            used.messages < bound.messages && used.bytes < bound.bytes
        });
        self.full = !run.is_empty();
        if !taken.is_empty() {
            self.begun = true;
            self.messages_queued = true;
            self.queued = self.queued.add(taken.credit());
            self.queue.push_back(Piece::Run(taken));
        }
        Ok(())
    }

    const fn sends_one(&self) -> bool {
        match self.address.role {
            Role::Client => self.shape.one_request(),
            Role::Server => self.shape.one_response(),
        }
    }

    fn check(&self, frame: &Frame, peer: PeerKind) -> Result<(), SendError> {
        let is_client = self.address.role == Role::Client;
        let allowed = match frame {
            _ if self.ending => false,
            Frame::Headers(_) => !is_client && !self.begun,
            Frame::Compressed(_) if peer != PeerKind::Extended => {
                return Err(SendError::Compressed);
            }
            Frame::Message(_) | Frame::Compressed(_) => !(self.sends_one() && self.messages_queued),
            Frame::End(_) => true,
        };
        allowed.then_some(()).ok_or(SendError::Misuse)
    }

    /// The messages that it sends next, if they go in packets that say nothing else.
    pub(super) fn next_run(&mut self, peer: PeerKind) -> Option<(StreamId, Run)> {
        let is_begun = match self.address.role {
            Role::Client => self.opening.is_none() && !self.ended,
            Role::Server => self.answered || peer == PeerKind::Plain,
        };
        let is_extended = peer == PeerKind::Extended;
        if !is_begun || (self.sends_one() && !is_extended) {
            return None;
        }
        let credit = self.send_credit;
        let is_last = matches!(self.queue.get(1), Some(Piece::Frame(Frame::End(_))));
        let Piece::Run(run) = self.queue.front_mut()? else {
            return None;
        };
        // The last message goes in one packet with the end behind it.
        let messages_max = run.credit().messages - usize::from(is_last && is_extended);
        let front = run.split_while(|taken| {
            taken.messages < messages_max && (!is_extended || credit.is_left_after(taken))
        });
        if run.is_empty() {
            self.queue.pop_front();
        }
        if front.is_empty() {
            return None;
        }
        self.queued = self.queued.less(front.credit());
        self.send_credit.spend(front.credit());
        Some((self.address.stream(), front))
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
            Some(Piece::Run(_) | Piece::Frame(Frame::Message(_) | Frame::Compressed(_)))
        )
    }

    fn pop_message(&mut self, packet: &mut RpcPacket) {
        let frame = match self.queue.front_mut() {
            Some(Piece::Run(run)) => {
                let message = run.pop().unwrap_or_default();
                if run.is_empty() {
                    self.queue.pop_front();
                }
                Frame::Message(message)
            }
            Some(Piece::Frame(_)) => match self.pop_frame_if(|_| true) {
                Some(frame) => frame,
                None => return,
            },
            None => return,
        };
        self.queued = self.queued.less(frame.credit());
        self.send_credit.spend(frame.credit());
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
        match self.pop_frame_if(|front| matches!(front, Frame::Headers(_)))? {
            Frame::Headers(metadata) => Some(metadata),
            Frame::Message(_) | Frame::Compressed(_) | Frame::End(_) => None,
        }
    }

    fn pop_end(&mut self) -> Option<Box<Trailers>> {
        match self.pop_frame_if(|front| matches!(front, Frame::End(_)))? {
            Frame::End(trailers) => Some(trailers),
            Frame::Message(_) | Frame::Compressed(_) | Frame::Headers(_) => None,
        }
    }

    fn pop_frame_if(&mut self, is_meant: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let front = self
            .queue
            .pop_front_if(|front| matches!(front, Piece::Frame(frame) if is_meant(frame)));
        match front? {
            Piece::Frame(frame) => Some(frame),
            Piece::Run(_) => None,
        }
    }
}
