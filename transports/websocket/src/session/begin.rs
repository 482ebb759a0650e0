//! How calls begin: those that this side opens, and those that the peer does.

use std::sync::Arc;

use headwater_core::packet::{CallKey, Opened, PeerKind, Request, SendError};
use headwater_rpc::{AcceptedStream, Closed, Code, EndedBy, Reached, RequestHeaders, Status};

use super::{
    Bell, ClientSide, Mailbox, Opening, Side,
    call::Call,
    machine::{CHANNEL, Machine},
};

impl Machine {
    /// The peer has opened a call; what came with it follows.
    pub(super) fn opened(&mut self, key: CallKey, opened: Box<Opened>) {
        let bell = Bell::new(&self.desk);
        let mailbox = Mailbox::new(Arc::clone(&bell), self.window);
        let call = Call::new(key, bell, mailbox);
        self.calls.insert(key, call);
        self.fresh.push((key, opened));
    }

    /// Has handlers take the calls that the peer has opened.
    pub(super) fn accept_calls(&mut self) {
        let Side::Server(server) = &self.side else {
            return;
        };
        for (key, opened) in self.fresh.drain(..) {
            let Some(call) = self.calls.get_mut(&key) else {
                continue;
            };
            let is_plain = self.endpoint.peer(opened.channel) != Some(PeerKind::Extended);
            if is_plain && !server.services.serves(&opened.path) {
                self.calls.remove(&key);
                self.endpoint.reset(key, Code::NotFound);
                continue;
            }
            // Before the handler looks, so that it finds all that came.
            call.deliver();
            let opened = *opened;
            let headers = RequestHeaders {
                path: opened.path,
                metadata: opened.metadata,
                timeout: opened.timeout,
                wait_for_ready: false,
            };
            let inbound = Box::new(call.mailbox.inbound());
            let stream = AcceptedStream::new(headers, server.peer.clone(), inbound);
            call.send_from(server.acceptor.accept(stream));
            self.queue.push_back(key);
        }
    }

    /// Opens the calls that this side makes.
    pub(super) fn open_calls(&mut self) {
        let Side::Client(ClientSide { shared }) = &self.side else {
            return;
        };
        for opening in shared.take_opening() {
            let Opening {
                headers,
                outbound,
                bell,
                mailbox,
            } = opening;
            let request = Request {
                path: Arc::clone(&headers.path),
                shape: outbound.shape(),
                metadata: headers.metadata,
                timeout: headers.timeout,
            };
            match self.endpoint.call(CHANNEL, request) {
                Ok(key) => {
                    let mut call = Call::new(key, bell, mailbox);
                    call.send_from(outbound);
                    self.calls.insert(key, call);
                    self.queue.push_back(key);
                }
                Err(error) => mailbox.close(unsendable(error, &headers.path)),
            }
        }
    }
}

/// How a call ends of which something cannot be sent.
pub(super) fn unsendable(error: SendError, path: &str) -> Closed {
    let (code, reached) = if error == SendError::GoingAway {
        (Code::Unavailable, Reached::Nothing)
    } else if error == SendError::TooLarge {
        (Code::ResourceExhausted, Reached::Handler)
    } else if error == SendError::Compressed {
        (Code::Unimplemented, Reached::Handler)
    } else {
        (Code::Internal, Reached::Handler)
    };
    let closed = |code, message: String| Closed {
        status: Status::new(code, message),
        by: EndedBy::Local,
        reached,
    };
    if error == SendError::Misuse && !path.is_empty() {
        // A server would say that it has none of this path.
        let message = format!("{path} is not the path of a method");
        return closed(Code::Unimplemented, message);
    }
    closed(code, error.to_string())
}
