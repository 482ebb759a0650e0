//! The calls of a shared socket.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use headwater_proto::zrpc::{
    ROOT, close_outcome, method_of,
    v2::{self, Body, Ended},
};
use headwater_rpc::{
    Closed, Code, EndedBy, Frame, Outbound, Pulled, Reached, RequestHeaders, Status, Trailers,
    Violation,
};
use tokio_tungstenite::tungstenite::Message;

use super::{link::NewCall, wire::Outgoing};
use crate::zrpc::{
    inbox::{Inbox, Refused},
    outbox::Outbox,
    woken::Woken,
};

/// The open calls, by their ids. Frames come in and go out; who carries them is not known here.
pub(super) struct LinkCalls {
    open: BTreeMap<u32, Call>,
    woken: Arc<Woken>,
}

struct Call {
    outbound: Outbound,
    waker: Waker,
    requests: Outbox,
    inbox: Arc<Inbox>,
}

/// What becomes of a call that was looked at.
enum Next {
    /// It has more.
    Again,
    /// It wakes when it has more.
    Wait,
    /// It is void.
    Cancel,
}

impl LinkCalls {
    pub(super) const fn new(woken: Arc<Woken>) -> Self {
        Self {
            open: BTreeMap::new(),
            woken,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Opens calls.
    pub(super) fn open(&mut self, new: Vec<NewCall>, out: &mut Outgoing) {
        for call in new {
            let NewCall {
                id,
                headers,
                outbound,
                inbox,
            } = call;
            let RequestHeaders {
                path,
                metadata,
                timeout,
                ..
            } = headers;
            let body = Body::Open {
                method: &method_of(&path, ROOT),
                timeout,
                metadata,
            };
            out.push(encoded(id, body));
            let call = Call {
                outbound,
                waker: self.woken.waker(id),
                requests: Outbox::default(),
                inbox,
            };
            call.waker.wake_by_ref();
            self.open.insert(id, call);
        }
    }

    /// Takes what calls have to say, one pull of each in turn, while there is room.
    pub(super) fn pump(&mut self, out: &mut Outgoing) {
        while out.has_room()
            && let Some(id) = self.woken.pop()
        {
            let Some(call) = self.open.get_mut(&id) else {
                continue;
            };
            match call.pump(id, out) {
                Next::Again => call.waker.wake_by_ref(),
                Next::Wait => {}
                Next::Cancel => {
                    out.push(encoded(id, Body::Cancel));
                    self.open.remove(&id);
                }
            }
        }
    }

    /// Takes what came.
    ///
    /// # Errors
    ///
    /// It is the end of the socket.
    pub(super) fn incoming(&mut self, message: Message, out: &mut Outgoing) -> Result<(), Closed> {
        match message {
            Message::Binary(message) => self.frame(&message, out),
            Message::Text(_) => Err(Closed::violation(Violation::Undecodable)),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
            Message::Close(frame) => {
                let code = frame.as_ref().map(|frame| u16::from(frame.code));
                let reason = frame.as_ref().map_or("", |frame| frame.reason.as_str());
                let outcome = close_outcome(code, reason);
                Err(outcome.map_or_else(by_peer, |()| Closed::broken("the server has left")))
            }
        }
    }

    fn frame(&mut self, message: &Bytes, out: &mut Outgoing) -> Result<(), Closed> {
        let frame = v2::Frame::decode(message);
        let v2::Frame { call: id, body } =
            frame.map_err(|_| Closed::violation(Violation::Undecodable))?;
        if id == 0 {
            let Body::Status(ended) = body else {
                return Ok(());
            };
            let gone = || Status::new(Code::Unavailable, "the server has ended the socket");
            return Err(by_peer(ended.outcome.err().unwrap_or_else(gone)));
        }
        let Some(call) = self.open.get_mut(&id) else {
            // It crossed the end.
            return Ok(());
        };
        let frame = match body {
            Body::Headers(metadata) => Frame::Headers(metadata),
            Body::Message(blob) => Frame::Message(blob),
            Body::Compressed(blob) => Frame::Compressed(blob),
            Body::Status(ended) => {
                let Ended { outcome, metadata } = *ended;
                // It is the first one, and an end needs no credit.
                let _ = call.inbox.push(Frame::end(Trailers { outcome, metadata }));
                self.open.remove(&id);
                return Ok(());
            }
            Body::Credit(bytes) => {
                call.requests.add_credit(bytes);
                call.waker.wake_by_ref();
                return Ok(());
            }
            Body::Call { .. } | Body::Open { .. } | Body::End | Body::Cancel => {
                return Err(Closed::violation(Violation::Undecodable));
            }
        };
        if let Err(refused) = call.inbox.push(frame) {
            let violation = match refused {
                Refused::Overdrawn => Violation::Credit,
                Refused::Late => Violation::Undecodable,
            };
            call.inbox.close(Closed::violation(violation));
            out.push(encoded(id, Body::Cancel));
            self.open.remove(&id);
        }
        Ok(())
    }

    /// The socket is gone.
    pub(super) fn close(&mut self, closed: &Closed) {
        for (_, call) in std::mem::take(&mut self.open) {
            call.inbox.close(closed.clone());
        }
    }
}

impl Call {
    fn pump(&mut self, id: u32, out: &mut Outgoing) -> Next {
        if self.inbox.is_dropped() {
            return Next::Cancel;
        }
        if let Some(freed) = self.inbox.take_freed() {
            out.push(encoded(id, Body::Credit(freed)));
        }
        if self.requests.is_empty() {
            let mut cx = Context::from_waker(&self.waker);
            let mut frames = Vec::new();
            match self.outbound.poll_frames(&mut cx, &mut frames) {
                Poll::Pending | Poll::Ready(Pulled::Done) => return Next::Wait,
                Poll::Ready(Pulled::Reset(_)) => return Next::Cancel,
                Poll::Ready(Pulled::Frames) => self.requests.extend(frames),
            }
        }
        while let Some(frame) = self.requests.next() {
            match frame {
                // Those of a request have opened it.
                Frame::Headers(_) => {}
                Frame::Message(blob) => out.push(encoded(id, Body::Message(blob))),
                Frame::Compressed(blob) => out.push(encoded(id, Body::Compressed(blob))),
                Frame::End(_) => out.push(encoded(id, Body::End)),
            }
        }
        if self.requests.is_empty() {
            return Next::Again;
        }
        // A call that ends while it waits for credit drops its inbox, which wakes the session.
        Next::Wait
    }
}

fn by_peer(status: Status) -> Closed {
    Closed {
        status,
        by: EndedBy::Peer,
        reached: Reached::Handler,
    }
}

fn encoded(call: u32, body: Body<'_>) -> Bytes {
    let mut message = Vec::new();
    v2::Frame { call, body }.encode(&mut message);
    message.into()
}
