//! The open calls of a socket.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use headwater_proto::zrpc::path_of;
use headwater_rpc::{
    AcceptedStream, Acceptor, Code, Frame, HandlerLimit, Inbound, Metadata, Outbound, Peer, Pulled,
    RequestHeaders, ResetWatch, Status,
};
use http::HeaderMap;

use super::{config::ZrpcConfig, metadata::OfSocket, woken::Woken};

/// What a client asks for.
pub(super) struct Opening<'a> {
    pub(super) method: &'a str,
    pub(super) metadata: Metadata,
    pub(super) timeout: Option<Duration>,
    pub(super) inbound: Box<dyn Inbound>,
}

/// The open calls of a socket, by their ids, and how more are opened.
pub(super) struct Calls {
    acceptor: Acceptor,
    peer: Peer,
    of_socket: OfSocket,
    /// As many as calls may be open.
    handlers: HandlerLimit,
    pub(super) config: ZrpcConfig,
    /// New calls are refused.
    pub(super) stopping: bool,
    open: BTreeMap<u32, OpenCall>,
    /// The calls that may have something to say.
    pub(super) woken: Arc<Woken>,
}

struct OpenCall {
    outbound: Outbound,
    reset: ResetWatch,
    waker: Waker,
}

impl Calls {
    pub(super) fn new(
        acceptor: Acceptor,
        peer: Peer,
        headers: &HeaderMap,
        config: ZrpcConfig,
    ) -> Self {
        Self {
            acceptor,
            peer,
            of_socket: OfSocket::new(headers),
            handlers: HandlerLimit::new(config.calls_max),
            config,
            stopping: false,
            open: BTreeMap::new(),
            woken: Arc::default(),
        }
    }

    /// Hands a call to the server. No open call has its id.
    ///
    /// # Errors
    ///
    /// What the client is told: there is no such method, there are too many calls, or the server is stopping.
    pub(super) fn open(&mut self, id: u32, opening: Opening<'_>) -> Result<(), Status> {
        if self.stopping {
            return Err(Status::new(Code::Unavailable, "the server is stopping"));
        }
        let too_many = || {
            let message = "too many calls are open on this socket";
            Status::new(Code::ResourceExhausted, message)
        };
        if self.open.len() >= self.config.calls_max {
            return Err(too_many());
        }
        let Opening {
            method,
            mut metadata,
            mut timeout,
            inbound,
        } = opening;
        let Some(path) = path_of(method, &self.config.root) else {
            let message = format!("there is no method {method:?}");
            return Err(Status::new(Code::Unimplemented, message));
        };
        let path = path.into();
        let permit = self.handlers.try_start(&path).ok_or_else(too_many)?;
        self.of_socket.complete(&mut metadata, &mut timeout);
        let headers = RequestHeaders {
            path,
            metadata,
            timeout,
            wait_for_ready: false,
        };
        let stream = AcceptedStream::new(headers, self.peer.clone(), inbound).permitted(permit);
        let outbound = self.acceptor.accept(stream);
        let call = OpenCall {
            reset: outbound.reset_watch(),
            outbound,
            waker: self.woken.waker(id),
        };
        call.waker.wake_by_ref();
        self.open.insert(id, call);
        Ok(())
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.open.contains_key(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Lets go of a call. If it has not ended, its handler is told that nobody waits for it any more.
    pub(super) fn remove(&mut self, id: u32) {
        self.open.remove(&id);
    }

    /// The next call that was woken or asked for.
    pub(super) fn next_woken(&self) -> Option<u32> {
        loop {
            let id = self.woken.pop()?;
            if self.open.contains_key(&id) {
                return Some(id);
            }
        }
    }

    /// Asks for a call after the others.
    pub(super) fn again(&self, id: u32) {
        if let Some(call) = self.open.get(&id) {
            call.waker.wake_by_ref();
        }
    }

    /// What the call has to say, see [`Outbound::poll_frames`]. While it has nothing it is not asked for again; it wakes
    /// the session.
    pub(super) fn pull(&mut self, id: u32, frames: &mut Vec<Frame>) -> Poll<Pulled> {
        let Some(call) = self.open.get_mut(&id) else {
            return Poll::Ready(Pulled::Done);
        };
        let mut cx = Context::from_waker(&call.waker);
        call.outbound.poll_frames(&mut cx, frames)
    }

    /// Whether a call was reset, for one that is not pulled from. If not, it wakes the session then.
    pub(super) fn is_reset(&mut self, id: u32) -> bool {
        self.open.get_mut(&id).is_some_and(|call| {
            let mut cx = Context::from_waker(&call.waker);
            call.reset.poll_reset(&mut cx).is_ready()
        })
    }

    /// The client has taken something of a call.
    pub(super) fn progressed(&mut self, id: u32) {
        if let Some(call) = self.open.get_mut(&id) {
            call.reset.progressed();
        }
    }
}
