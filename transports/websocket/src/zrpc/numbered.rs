//! The frames of `zrpc.v2`: each has a call id.

use std::{collections::BTreeMap, sync::Arc, task::Poll};

use bytes::Bytes;
use headwater_proto::zrpc::{
    FrameError, close_code,
    v2::{self, Body, Ended, call_of},
};
use headwater_rpc::{Code, Frame, Metadata, Pulled, Status, Trailers};

use super::{
    calls::{Calls, Opening},
    inbox::{Inbox, InboxReader, Refused},
    out::Out,
    outbox::Outbox,
    plain::{OneRequest, reset, too_long},
    session::Dialect,
};

/// A session with call ids.
#[derive(Default)]
pub(super) struct Numbered {
    /// What calls that were opened with `OPEN` have beside the others.
    streams: BTreeMap<u32, Stream>,
}

struct Stream {
    requests: Arc<Inbox>,
    replies: Outbox,
}

impl Numbered {
    fn frame(&mut self, call: u32, body: Body<'_>, calls: &mut Calls) -> Result<(), Failed> {
        match body {
            Body::Call { method, blob } => {
                let opening = Opening {
                    method,
                    metadata: Metadata::new(),
                    timeout: None,
                    inbound: Box::new(OneRequest(Some(blob))),
                };
                unused(call, calls)?;
                Ok(calls.open(call, opening)?)
            }
            Body::Open {
                method,
                timeout,
                metadata,
            } => {
                let requests = Inbox::new(calls.woken.waker(call));
                let opening = Opening {
                    method,
                    metadata,
                    timeout,
                    inbound: Box::new(InboxReader(Arc::clone(&requests))),
                };
                unused(call, calls)?;
                calls.open(call, opening)?;
                let stream = Stream {
                    requests,
                    replies: Outbox::default(),
                };
                self.streams.insert(call, stream);
                Ok(())
            }
            Body::Message(blob) => self.request(call, Frame::Message(blob), calls),
            Body::Compressed(blob) => self.request(call, Frame::Compressed(blob), calls),
            Body::End => self.request(call, Frame::end(Trailers::ok()), calls),
            Body::Cancel => {
                self.remove(call, calls);
                Ok(())
            }
            Body::Credit(bytes) => {
                if let Some(stream) = self.streams.get_mut(&call) {
                    stream.replies.add_credit(bytes);
                    calls.again(call);
                }
                Ok(())
            }
            Body::Headers(_) | Body::Status(_) => Err(FrameError::Kind.status().into()),
        }
    }

    fn request(&self, call: u32, frame: Frame, calls: &Calls) -> Result<(), Failed> {
        let pushed = match self.streams.get(&call) {
            Some(stream) => stream.requests.push(frame),
            // A `CALL` brought its only one.
            None if calls.contains(call) => Err(Refused::Late),
            None => return Ok(()),
        };
        let (code, message) = match pushed {
            Ok(()) => return Ok(()),
            Err(Refused::Late) => (Code::InvalidArgument, "the call takes no more requests"),
            Err(Refused::Overdrawn) => (Code::ResourceExhausted, "requests came without credit"),
        };
        Err(Status::new(code, message).into())
    }

    fn remove(&mut self, call: u32, calls: &mut Calls) {
        self.streams.remove(&call);
        calls.remove(call);
    }

    fn ended(&mut self, call: u32, ended: Ended, calls: &mut Calls, out: &mut Out) {
        self.remove(call, calls);
        say(call, Body::Status(Box::new(ended)), out);
    }
}

/// What a client did wrong.
enum Failed {
    /// It ends the call.
    Call(Status),
    /// It ends the socket.
    Socket(Status),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

fn unused(call: u32, calls: &Calls) -> Result<(), Failed> {
    if !calls.contains(call) {
        return Ok(());
    }
    // To end the call would end the one that runs.
    let status = Status::new(Code::InvalidArgument, "the call id is in use");
    Err(Failed::Socket(status))
}

impl Dialect for Numbered {
    fn binary(&mut self, message: Bytes, calls: &mut Calls, out: &mut Out) {
        let call = call_of(&message).unwrap_or(0);
        let outcome = match v2::Frame::decode(&message) {
            Ok(frame) => self.frame(call, frame.body, calls),
            Err(error) => Err(error.status().into()),
        };
        match outcome {
            Ok(()) => {}
            Err(Failed::Call(status)) if call != 0 => {
                self.ended(call, failed(status), calls, out);
            }
            Err(Failed::Call(status) | Failed::Socket(status)) => fail(status, out),
        }
    }

    fn text(&mut self, _: &mut Calls, out: &mut Out) {
        let status = Status::new(Code::InvalidArgument, "a frame is a binary message");
        fail(status, out);
    }

    fn too_long(&mut self, out: &mut Out) {
        say(0, Body::Status(Box::new(failed(too_long()))), out);
    }

    fn pump(&mut self, call: u32, calls: &mut Calls, out: &mut Out) {
        let Some(stream) = self.streams.get_mut(&call) else {
            return self.pump_without_credit(call, calls, out);
        };
        if let Some(freed) = stream.requests.take_freed() {
            say(call, Body::Credit(freed), out);
        }
        let is_reset = !stream.replies.is_empty() && calls.is_reset(call);
        if is_reset || stream.replies.is_empty() {
            // What waits of a call that was reset is void.
            stream.replies.clear();
            let mut frames = Vec::new();
            match calls.pull(call, &mut frames) {
                Poll::Pending => return,
                // Its end was among what waited.
                Poll::Ready(Pulled::Done) if is_reset => {
                    return self.ended(call, failed(reset(Code::Cancelled)), calls, out);
                }
                Poll::Ready(Pulled::Done) => return self.remove(call, calls),
                Poll::Ready(Pulled::Reset(code)) => {
                    return self.ended(call, failed(reset(code)), calls, out);
                }
                Poll::Ready(Pulled::Frames) => stream.replies.extend(frames),
            }
        }
        let before = stream.replies.len();
        let ended = say_waiting(call, &mut stream.replies, out);
        if stream.replies.len() < before {
            calls.progressed(call);
        }
        if let Some(ended) = ended {
            return self.ended(call, ended, calls, out);
        }
        if stream.replies.is_empty() {
            calls.again(call);
        } else if calls.is_reset(call) {
            // From here on the watch wakes the session; it might have been reset in between.
            calls.again(call);
        }
    }

    fn settle(&mut self, _: &Calls, _: &mut Out) {}
}

impl Numbered {
    /// A call that was made with `CALL`.
    fn pump_without_credit(&mut self, call: u32, calls: &mut Calls, out: &mut Out) {
        let mut frames = Vec::new();
        match calls.pull(call, &mut frames) {
            Poll::Pending => return,
            Poll::Ready(Pulled::Done) => return self.remove(call, calls),
            Poll::Ready(Pulled::Reset(code)) => {
                return self.ended(call, failed(reset(code)), calls, out);
            }
            Poll::Ready(Pulled::Frames) => {}
        }
        for frame in frames {
            match frame {
                // Of no use to a simple client.
                Frame::Headers(metadata) if metadata.is_empty() => {}
                Frame::Headers(metadata) => say(call, Body::Headers(metadata), out),
                Frame::Message(blob) => say(call, Body::Message(blob), out),
                Frame::Compressed(blob) => say(call, Body::Compressed(blob), out),
                Frame::End(trailers) => return self.ended(call, ended(*trailers), calls, out),
            }
        }
        calls.again(call);
    }
}

/// Says what the credit is enough for; how the call ended, if that comes next.
fn say_waiting(call: u32, replies: &mut Outbox, out: &mut Out) -> Option<Ended> {
    while let Some(frame) = replies.next() {
        match frame {
            Frame::Headers(metadata) => say(call, Body::Headers(metadata), out),
            Frame::Message(blob) => say(call, Body::Message(blob), out),
            Frame::Compressed(blob) => say(call, Body::Compressed(blob), out),
            Frame::End(trailers) => return Some(ended(*trailers)),
        }
    }
    None
}

/// The end of the socket.
fn fail(status: Status, out: &mut Out) {
    let (code, reason) = (close_code(Err(status.code)), status.message.clone());
    say(0, Body::Status(Box::new(failed(status))), out);
    out.close(code, &reason);
}

fn say(call: u32, body: Body<'_>, out: &mut Out) {
    out.encoded(|message| v2::Frame { call, body }.encode(message));
}

fn ended(trailers: Trailers) -> Ended {
    Ended {
        outcome: trailers.outcome,
        metadata: trailers.metadata,
    }
}

const fn failed(status: Status) -> Ended {
    Ended {
        outcome: Err(status),
        metadata: Metadata::new(),
    }
}
