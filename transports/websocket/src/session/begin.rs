//! How calls begin: those that this side opens, and those that the peer does.

use std::sync::Arc;

use headwater_core::{
    call::Shape,
    packet::{CallKey, Opened, PeerKind, Request, Role, SendError},
};
use headwater_rpc::{
    AcceptedStream, Closed, Code, EndedBy, IncomingCall, Metadata, Reached, RequestHeaders, Status,
};

use super::{
    Bell, Mailbox, Opening,
    call::Call,
    machine::{CHANNEL, Machine},
};

impl Machine {
    /// The peer has opened a call; what came with it follows.
    pub(super) fn opened(&mut self, key: CallKey, opened: Box<Opened>) {
        let bell = Bell::new(&self.desk);
        let mailbox = Mailbox::new(Arc::clone(&bell), self.window);
        let call = Call::new(key, Role::Server, bell, mailbox);
        self.calls.insert(key, call);
        self.fresh.push((key, opened));
    }

    /// Has handlers take the calls that the peer has opened.
    pub(super) fn accept_calls(&mut self) {
        let Some(server) = &self.side.server else {
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
            let Some(permit) = self.handlers.try_start(&opened.path) else {
                self.calls.remove(&key);
                self.endpoint.reset(key, Code::ResourceExhausted);
                continue;
            };
            // Before the handler looks, so that it finds all that came.
            call.deliver();
            let opened = *opened;
            let peer = server.peer.clone().with_channel(opened.channel);
            let headers = RequestHeaders {
                path: opened.path,
                metadata: opened.metadata,
                timeout: opened.timeout,
                wait_for_ready: false,
            };
            let inbound = Box::new(call.mailbox.inbound());
            let stream = AcceptedStream::new(headers, peer, inbound).permitted(permit);
            call.send_from(server.acceptor.accept(stream));
            self.queue.push_back(key);
        }
    }

    /// Opens the calls that this side makes.
    pub(super) fn open_calls(&mut self) {
        let Some(client) = &self.side.client else {
            return;
        };
        let awaits = client.awaits_unrequested;
        for opening in client.shared.take_opening() {
            let Opening {
                headers,
                outbound,
                bell,
                mailbox,
            } = opening;
            let path = Arc::clone(&headers.path);
            if awaits {
                // Nothing is sent, which the outbound is told by its end.
                self.await_unrequested(&path, outbound.shape(), bell, mailbox);
                continue;
            }
            let request = Request {
                path: Arc::clone(&path),
                shape: outbound.shape(),
                metadata: headers.metadata,
                timeout: headers.timeout,
            };
            match self.endpoint.call(CHANNEL, request) {
                Ok(key) => {
                    let mut call = Call::new(key, Role::Client, bell, mailbox);
                    call.send_from(outbound);
                    self.calls.insert(key, call);
                    self.queue.push_back(key);
                }
                Err(error) => mailbox.close(unsendable(error, &path)),
            }
        }
    }
}

impl Machine {
    /// Waits for responses of this method that nobody has requested.
    fn await_unrequested(
        &mut self,
        path: &str,
        shape: Shape,
        bell: Arc<Bell>,
        mailbox: Arc<Mailbox>,
    ) {
        match self.endpoint.await_unrequested(CHANNEL, path, shape) {
            Ok(key) => {
                let call = Call::new(key, Role::Client, bell, mailbox);
                self.calls.insert(key, call);
                // Who waits may have gone before this was known to have a name.
                self.queue.push_back(key);
            }
            Err(error) => mailbox.close(Closed {
                status: not_begun(error, path),
                by: EndedBy::Local,
                // Waiting again at once, it would fail again.
                reached: Reached::Handler,
            }),
        }
    }

    /// Begins the responses that nobody has requested.
    pub(super) fn begin_unrequested(&mut self) {
        let Some(client) = &self.side.client else {
            return;
        };
        for unrequested in client.shared.take_unrequested() {
            self.update_services();
            let begun = self.respond_unrequested(unrequested.channel, unrequested.path);
            // Who has gone meanwhile does not want the call, and dropping it ends it.
            let _ = unrequested.call.send(begun);
        }
    }

    fn respond_unrequested(
        &mut self,
        channel: u32,
        path: Arc<str>,
    ) -> Result<IncomingCall, Status> {
        if self.is_draining {
            return Err(Status::new(Code::Unavailable, "the server is going away"));
        }
        let Some(server) = &self.side.server else {
            return Err(Status::new(Code::Unimplemented, "this end does not serve"));
        };
        if !server.services.serves(&path) {
            let message = format!("there is no method {path}");
            return Err(Status::new(Code::Unimplemented, message));
        }
        let begun = self.endpoint.respond_unrequested(channel, &path);
        let key = begun.map_err(|error| not_begun(error, &path))?;
        let bell = Bell::new(&self.desk);
        let mailbox = Mailbox::new(Arc::clone(&bell), self.window);
        let headers = RequestHeaders {
            path,
            metadata: Metadata::new(),
            timeout: None,
            wait_for_ready: false,
        };
        let inbound = Box::new(mailbox.inbound());
        let peer = server.peer.clone().with_channel(channel);
        let stream = AcceptedStream::new(headers, peer, inbound);
        let (outbound, incoming) = server.acceptor.begin(stream);
        let mut call = Call::new(key, Role::Server, bell, mailbox);
        call.send_from(outbound);
        self.calls.insert(key, call);
        self.queue.push_back(key);
        Ok(incoming)
    }
}

/// Why a response that nobody has requested does not begin, or is not waited for.
fn not_begun(error: SendError, path: &str) -> Status {
    if error == SendError::Misuse {
        let message = format!("one of {path} is open already, or it is not the path of a method");
        return Status::new(Code::AlreadyExists, message);
    }
    Status::new(error.code(), error.to_string())
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
