//! What a server does with a packet (`pw_rpc/server.cc`).

use alloc::{boxed::Box, sync::Arc};
use core::mem;

use headwater_proto::{
    Code, Status,
    pw_rpc::{Extension, MethodId, PacketType, RpcPacket},
};

use super::{
    call::PacketCall,
    calls::address_of,
    config::{PeerKind, Role},
    endpoint::Endpoint,
    parts::{CallKey, Event, Opened, Rejection},
    receive::packet_type,
};
use crate::call::{Closed, EndedBy, Frame, Reached, Shape, Trailers};

/// What a request is for.
struct Target {
    path: Arc<str>,
    shape: Option<Shape>,
    calls_max: usize,
}

impl Endpoint {
    pub(super) fn receive_as_server(&mut self, packet: RpcPacket) -> Result<(), Rejection> {
        let kind = packet_type(&packet);
        if kind == Some(PacketType::Request) {
            self.requested(packet);
            return Ok(());
        }
        let Some(key) = self.find(Role::Server, &packet) else {
            return self.no_server_call(&packet);
        };
        match kind {
            Some(PacketType::ClientStream) => self.client_stream(key, packet),
            Some(PacketType::ClientRequestCompletion) => self.completed(key),
            Some(PacketType::ClientError) => self.client_error(key, &packet),
            Some(PacketType::ClientExtension) => self.granted(key, packet.extension.as_deref()),
            Some(
                PacketType::Request
                | PacketType::Response
                | PacketType::ServerError
                | PacketType::ServerStream
                | PacketType::ServerExtension,
            )
            | None => return Err(Rejection::UnknownType),
        }
        Ok(())
    }

    fn no_server_call(&mut self, packet: &RpcPacket) -> Result<(), Rejection> {
        let kind = packet_type(packet);
        if matches!(
            kind,
            Some(PacketType::ClientError | PacketType::ClientExtension)
        ) {
            return Ok(());
        }
        let known = self.services.accepts_unknown || self.services.get(packet.method()).is_some();
        if !known {
            self.reply(packet, Code::NotFound, "no such method");
        } else if kind.is_none() {
            return Err(Rejection::UnknownType);
        } else {
            self.reply(packet, Code::FailedPrecondition, "no such call");
        }
        Ok(())
    }

    fn requested(&mut self, mut packet: RpcPacket) {
        let extension = packet.extension.take();
        let Some(target) = self.target(packet.method(), extension.as_deref()) else {
            return self.reply(&packet, Code::NotFound, "no such method");
        };
        let address = address_of(Role::Server, &packet);
        let same = self.index.get(&address).copied();
        if let Some(old) = same.or_else(|| self.find_open(address)) {
            self.close(old, Closed::cancelled(Code::Cancelled));
        }
        if let Err((code, message)) = self.check_room(packet.method(), &target) {
            return self.refuse(&packet, code, message);
        }
        // A plain client says the one request of a method in this packet, and no other.
        let one_request = target.shape.is_some_and(Shape::one_request);
        let extension = extension.map_or_else(
            || Extension {
                has_message: one_request,
                half_close: one_request,
                ..Extension::default()
            },
            |extension| *extension,
        );
        let timeout = extension.timeout();
        let metadata = match self.read_metadata(extension.headers.unwrap_or_default()) {
            Ok(metadata) => metadata,
            Err(status) => return self.refuse(&packet, status.code, &status.message),
        };
        let shape = target.shape.unwrap_or_default();
        let mut call = PacketCall::new(address, shape, self.config.receive_window);
        call.registered = target.shape.is_some();
        call.known_to_peer = true;
        let key = self.insert(call);
        let opened = Box::new(Opened {
            channel: packet.channel_id,
            path: target.path,
            shape: target.shape,
            metadata,
            timeout,
        });
        self.event(Event::Opened { key, opened });
        if extension.has_message {
            self.receive_message(key, packet.payload, extension.compressed);
        }
        if extension.half_close {
            self.half_closed(key);
        }
    }

    /// What a request is for, if there is such a method.
    fn target(&self, id: MethodId, extension: Option<&Extension>) -> Option<Target> {
        let path = extension.map_or(&[][..], |more| &more.path);
        if let Some(method) = self.services.get(id)
            && (path.is_empty() || path == method.path.as_bytes())
        {
            return Some(Target {
                path: Arc::clone(&method.path),
                shape: Some(method.shape),
                calls_max: method.calls_max,
            });
        }
        let path = str::from_utf8(path).ok()?;
        if !self.services.accepts_unknown || MethodId::of_path(path) != Some(id) {
            return None;
        }
        Some(Target {
            path: path.into(),
            shape: None,
            calls_max: usize::MAX,
        })
    }

    fn check_room(&self, id: MethodId, target: &Target) -> Result<(), (Code, &'static str)> {
        if self.draining {
            return Err((Code::Unavailable, "the server is going away"));
        }
        if self.server_calls >= self.config.calls_max {
            return Err((Code::ResourceExhausted, "too many calls"));
        }
        let calls_max = target.calls_max.min(self.config.method_calls_max);
        if calls_max == usize::MAX {
            return Ok(());
        }
        let is_meant =
            |call: &&PacketCall| call.address.role == Role::Server && call.address.method == id;
        if self.calls.values().filter(is_meant).count() >= calls_max {
            return Err((Code::ResourceExhausted, "too many calls of this method"));
        }
        Ok(())
    }

    /// Answers a request that no handler has seen.
    fn refuse(&mut self, packet: &RpcPacket, code: Code, message: &str) {
        let mut answer = self.error(packet, code, message);
        if let Some(extension) = &mut answer.extension {
            extension.refused = true;
            extension.going_away = self.draining;
        }
        self.push_reply(answer);
    }

    fn client_stream(&mut self, key: CallKey, mut packet: RpcPacket) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let extended = self.peer(packet.channel_id) == Some(PeerKind::Extended);
        // A peer with the extension sends all requests in one way; its call's own machine counts them.
        if call.shape.one_request() && !extended {
            let message = "the method has one request";
            return self.reply(&packet, Code::InvalidArgument, message);
        }
        if call.half_closed {
            return self.reply(&packet, Code::FailedPrecondition, "the requests have ended");
        }
        let extension = packet.extension.take();
        self.granted(key, extension.as_deref());
        let compressed = extension.as_ref().is_some_and(|more| more.compressed);
        self.receive_message(key, packet.payload, compressed);
        if extension.is_some_and(|more| more.half_close) {
            self.half_closed(key);
        }
    }

    fn half_closed(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        call.half_closed = true;
        let frame = Frame::end(Trailers::ok());
        self.event(Event::Frame { key, frame });
    }

    fn completed(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if mem::replace(&mut call.completion_requested, true) {
            return;
        }
        if call.half_closed {
            return self.event(Event::CompletionRequested { key });
        }
        self.half_closed(key);
    }

    fn client_error(&mut self, key: CallKey, packet: &RpcPacket) {
        let unsaid = || Status::new(Code::Cancelled, "");
        let closed = Closed {
            status: packet.outcome().err().unwrap_or_else(unsaid),
            by: EndedBy::Peer,
            reached: Reached::Handler,
        };
        self.close(key, closed);
    }
}
