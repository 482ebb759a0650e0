//! What a client does with a packet (`pw_rpc/client.cc`, `pw_rpc/py/pw_rpc/client.py`).

use core::mem;

use headwater_proto::{
    Code, Metadata, Status,
    pw_rpc::{Extension, PacketType, RpcPacket},
};

use super::{
    config::{PeerKind, Role},
    endpoint::Endpoint,
    parts::{CallKey, Event, Rejection},
    receive::packet_type,
};
use crate::call::{Closed, EndedBy, Frame, Reached, Shape, Trailers};

impl Endpoint {
    pub(super) fn receive_as_client(&mut self, packet: RpcPacket) -> Result<(), Rejection> {
        let kind = packet_type(&packet);
        let Some(key) = self.find(Role::Client, &packet) else {
            return self.no_client_call(&packet);
        };
        match kind {
            Some(PacketType::ServerStream) => self.server_stream(key, packet),
            Some(PacketType::Response) => self.response(key, packet),
            Some(PacketType::ServerError) => self.server_error(key, &packet),
            Some(PacketType::ServerExtension) => self.server_extension(key, packet),
            Some(
                PacketType::Request
                | PacketType::ClientStream
                | PacketType::ClientError
                | PacketType::ClientRequestCompletion
                | PacketType::ClientExtension,
            )
            | None => return Err(Rejection::UnknownType),
        }
        Ok(())
    }

    fn no_client_call(&mut self, packet: &RpcPacket) -> Result<(), Rejection> {
        let kind = packet_type(packet);
        if matches!(
            kind,
            Some(PacketType::ServerError | PacketType::ServerExtension)
        ) {
            return Ok(());
        }
        if !self.known.contains(&packet.method()) {
            self.reply(packet, Code::NotFound, "no such method");
        } else if kind.is_none() {
            return Err(Rejection::UnknownType);
        } else if kind == Some(PacketType::ServerStream) {
            self.reply(packet, Code::FailedPrecondition, "no such call");
        }
        // A response needs no answer: the call is over at the server as well.
        Ok(())
    }

    fn server_stream(&mut self, key: CallKey, mut packet: RpcPacket) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let extended = self.peer(packet.channel_id) == Some(PeerKind::Extended);
        // A peer with the extension sends all responses in one way; its call's own machine counts them.
        if call.shape.one_response() && !extended {
            let status = Status::new(Code::InvalidArgument, "the method has one response");
            return self.abort(key, status, EndedBy::Violation);
        }
        let mut compressed = false;
        if let Some(extension) = packet.extension.take() {
            compressed = extension.compressed;
            self.beginning(key, *extension);
        }
        self.receive_message(key, packet.payload, compressed);
    }

    fn response(&mut self, key: CallKey, mut packet: RpcPacket) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let outcome = packet.outcome();
        let (mut has_message, mut compressed, mut metadata) = (false, false, Metadata::new());
        if let Some(mut extension) = packet.extension.take() {
            has_message = extension.has_message;
            compressed = extension.compressed;
            let trailers = mem::take(&mut extension.trailers);
            // A status is not lost over metadata that cannot be read.
            metadata = self.read_metadata(trailers).unwrap_or_default();
            self.beginning(key, *extension);
        } else if call.shape == Shape::ServerStreaming && !packet.payload.is_empty() {
            // Before there was SERVER_STREAM, servers sent these.
            return self.server_stream(key, packet);
        } else if call.shape.one_response() {
            has_message = outcome.is_ok() || !packet.payload.is_empty();
        }
        if has_message {
            self.receive_message(key, packet.payload, compressed);
        }
        if self.remove(key).is_some() {
            let frame = Frame::end(Trailers { outcome, metadata });
            self.event(Event::Frame { key, frame });
        }
    }

    fn server_error(&mut self, key: CallKey, packet: &RpcPacket) {
        let unsaid = || Status::new(Code::Unknown, "");
        let refused = packet.extension.as_ref().is_some_and(|more| more.refused);
        let closed = Closed {
            status: packet.outcome().err().unwrap_or_else(unsaid),
            by: EndedBy::Peer,
            reached: match refused {
                true => Reached::Library,
                false => Reached::Handler,
            },
        };
        self.close(key, closed);
    }

    fn server_extension(&mut self, key: CallKey, mut packet: RpcPacket) {
        if let Some(extension) = packet.extension.take() {
            self.beginning(key, *extension);
        }
    }

    /// The beginning of the responses, and credit, if the extension tells of them.
    fn beginning(&mut self, key: CallKey, extension: Extension) {
        self.granted(key, Some(&extension));
        let Some(headers) = extension.headers else {
            return;
        };
        if let Some(call) = self.calls.get_mut(&key) {
            call.headers_received = true;
        }
        match self.read_metadata(headers) {
            Ok(metadata) => {
                let frame = Frame::Headers(metadata);
                self.event(Event::Frame { key, frame });
            }
            Err(status) => self.abort(key, status, EndedBy::Violation),
        }
    }
}
