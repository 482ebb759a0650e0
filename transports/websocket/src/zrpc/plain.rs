//! The original's frames, without call ids.

use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_proto::{
    websocket::MessageKind,
    zrpc::{CLOSE_TEXT, Ending, Request, close_code, error_text},
};
use headwater_rpc::{Closed, Code, Frame, Inbound, Metadata, Pulled, Received, Status, Trailers};

use super::{
    calls::{Calls, Opening},
    out::Out,
    session::Dialect,
};

/// A session without call ids. Ids are given to the calls all the same, and nobody outside sees them.
pub(super) struct Plain {
    ending: Ending,
    last_id: u32,
    /// Whether a call has ended, so that the socket ends when none is open.
    any_ended: bool,
    /// The first failure, which the close frame repeats.
    failed: Option<Status>,
}

impl Plain {
    pub(super) const fn new(ending: Ending) -> Self {
        Self {
            ending,
            last_id: 0,
            any_ended: false,
            failed: None,
        }
    }

    fn open(&mut self, message: &Bytes, calls: &mut Calls) -> Result<(), Status> {
        let Request { method, blob } = Request::decode(message).map_err(|error| error.status())?;
        let opening = Opening {
            method,
            metadata: Metadata::new(),
            timeout: None,
            inbound: Box::new(OneRequest(Some(blob))),
        };
        // One may still be open when the numbers have gone round.
        self.last_id = self.last_id.wrapping_add(1);
        while calls.contains(self.last_id) {
            self.last_id = self.last_id.wrapping_add(1);
        }
        calls.open(self.last_id, opening)
    }

    fn ended(&mut self, outcome: Result<(), Status>, out: &mut Out) {
        if let Err(status) = outcome {
            out.message(MessageKind::Text, error_text(&status).as_bytes());
            self.failed.get_or_insert(status);
        }
        self.any_ended = true;
        if self.ending == Ending::CloseText {
            out.message(MessageKind::Text, CLOSE_TEXT.as_bytes());
        }
    }
}

impl Dialect for Plain {
    fn binary(&mut self, message: Bytes, calls: &mut Calls, out: &mut Out) {
        if let Err(status) = self.open(&message, calls) {
            self.ended(Err(status), out);
        }
    }

    fn text(&mut self, _: &mut Calls, out: &mut Out) {
        let status = Status::new(Code::InvalidArgument, "a call is a binary message");
        self.ended(Err(status), out);
    }

    fn too_long(&mut self, out: &mut Out) {
        self.ended(Err(too_long()), out);
    }

    fn pump(&mut self, call: u32, calls: &mut Calls, out: &mut Out) {
        let mut frames = Vec::new();
        let ended = match calls.pull(call, &mut frames) {
            Poll::Pending => return,
            Poll::Ready(Pulled::Done) => return calls.remove(call),
            Poll::Ready(Pulled::Reset(code)) => Some(Err(reset(code))),
            Poll::Ready(Pulled::Frames) => say(frames, out),
        };
        match ended {
            None => calls.again(call),
            Some(outcome) => {
                calls.remove(call);
                self.ended(outcome, out);
            }
        }
    }

    fn settle(&mut self, calls: &Calls, out: &mut Out) {
        if self.ending == Ending::CloseText || !self.any_ended || !calls.is_empty() {
            return;
        }
        match &self.failed {
            None => out.close(close_code(Ok(())), ""),
            Some(status) => out.close(close_code(Err(status.code)), &status.message),
        }
    }
}

/// Sends what can be told without call ids, which is no metadata; the outcome, if the call has ended.
fn say(frames: Vec<Frame>, out: &mut Out) -> Option<Result<(), Status>> {
    for frame in frames {
        match frame {
            Frame::Headers(_) => {}
            // No encoding is ever agreed on, so that none is compressed.
            Frame::Message(blob) | Frame::Compressed(blob) => {
                out.message(MessageKind::Binary, &blob);
            }
            Frame::End(trailers) => return Some(trailers.outcome),
        }
    }
    None
}

pub(super) fn reset(code: Code) -> Status {
    Status::new(code, "the server has ended the call")
}

pub(super) fn too_long() -> Status {
    Status::new(Code::ResourceExhausted, "the message is too long")
}

/// The only request of a call.
pub(super) struct OneRequest(pub(super) Option<Bytes>);

impl Inbound for OneRequest {
    fn poll_received(
        &mut self,
        _: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let Some(blob) = self.0.take() else {
            return Poll::Pending;
        };
        let frames = [Frame::Message(blob), Frame::end(Trailers::ok())];
        received.frames.extend(frames);
        Poll::Ready(Ok(()))
    }
}
