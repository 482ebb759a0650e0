//! One call to the service: what the engine wants, over a sender and a receiver.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use headwater_core::{Time, link::upstream::Input};
use headwater_proto::{Code, Metadata, Status, v1};
use headwater_rpc::{Receiver, SendError, Sender};
use prost::{DecodeError, Message as _};

use crate::engine::{Engine, Signal};

/// After so many batches in a row, other tasks get their turn.
const BATCHES_A_TURN: usize = 32;

/// Room for at most so many frames is made at once,
const FRAMES_RESERVED: usize = 64;

/// of this size each; larger ones make their own.
const FRAME_BYTES_USUAL: usize = 256;

/// Why a driver has to look at a session.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something that it waits for may have changed.
    Changed(Option<Signal>),
    /// The call is over.
    Ended(Result<(), Status>),
}

/// The call's two halves and what waits between them and the engine.
pub(crate) struct Session {
    sender: Sender,
    receiver: Receiver,
    received: Vec<Bytes>,
    unsent: VecDeque<Bytes>,
    /// The frames that were encoded and are not in `unsent` yet,
    encoded: Vec<u8>,
    /// and where each of them ends.
    ends: Vec<usize>,
    /// The call's window is full: sends wait, reading goes on.
    blocked: bool,
    half_closed: bool,
}

impl Session {
    pub(crate) fn new(sender: Sender, receiver: Receiver) -> Self {
        Self {
            sender,
            receiver,
            received: Vec::new(),
            unsent: VecDeque::new(),
            encoded: Vec::new(),
            ends: Vec::new(),
            blocked: false,
            half_closed: false,
        }
    }

    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(crate) const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Tries again to send.
    pub(crate) const fn unblock(&mut self) {
        self.blocked = false;
    }

    /// No more frames go to the service.
    pub(crate) fn half_close(&mut self) {
        self.half_closed = true;
        // The end of the call tells.
        let _ = self.sender.finish(Ok(()), Metadata::new());
    }

    /// Gives the call up.
    pub(crate) fn abort(&self, status: Status) {
        // The end of the call tells.
        let _ = self.sender.finish(Err(status), Metadata::new());
    }

    /// Takes in all that came, lets the engine work, and sends all of it in one go.
    pub(crate) fn poll(
        &mut self,
        engine: &mut Engine,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Step> {
        for _ in 0..BATCHES_A_TURN {
            let polled = self.receiver.poll_next_batch(cx, &mut self.received);
            if let Err(error) = self.take_in(engine, now, cx) {
                let message = format!("a frame cannot be decoded: {error}");
                self.abort(Status::new(Code::InvalidArgument, message.clone()));
                // Not the service's word on what it was sent, so worth another attempt.
                let status = Status::new(Code::Unavailable, message);
                return Poll::Ready(Step::Ended(Err(status)));
            }
            engine.poll(now, cx);
            let was_blocked = self.blocked;
            self.send(engine);
            match polled {
                Poll::Ready(Ok(0)) => return Poll::Ready(Step::Ended(Ok(()))),
                Poll::Ready(Err(error)) => return Poll::Ready(Step::Ended(Err(error.status))),
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
            if let Some(signal) = engine.signal() {
                return Poll::Ready(Step::Changed(Some(signal)));
            }
            if self.blocked != was_blocked {
                return Poll::Ready(Step::Changed(None));
            }
            if polled.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sees each frame through to its answer, if that comes at once, before it looks at the next one: what a frame holds
    /// is given back while it is still in the caches.
    fn take_in(
        &mut self,
        engine: &mut Engine,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<(), DecodeError> {
        self.reserve(self.received.len());
        let mut received = mem::take(&mut self.received);
        for message in received.drain(..) {
            let frame = v1::ServiceFrame::decode(message)?;
            engine.handle(Input::Frame(frame), now);
            engine.poll_in_batch(cx);
            self.encode(engine);
        }
        self.received = received;
        Ok(())
    }

    fn encode(&mut self, engine: &mut Engine) {
        let frames = engine.take_frames();
        self.reserve(frames.len());
        for frame in frames {
            frame
                .encode(&mut self.encoded)
                .expect("a Vec grows as needed");
            self.ends.push(self.encoded.len());
        }
    }

    fn reserve(&mut self, frames: usize) {
        let frames = frames.min(FRAMES_RESERVED);
        self.encoded.reserve(frames * FRAME_BYTES_USUAL);
    }

    /// What is sent together shares one allocation.
    fn share_encoded(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let encoded = Bytes::from(mem::take(&mut self.encoded));
        let mut start = 0;
        for end in self.ends.drain(..) {
            self.unsent.push_back(encoded.slice(start..end));
            start = end;
        }
    }

    fn send(&mut self, engine: &mut Engine) {
        self.encode(engine);
        self.share_encoded();
        if self.half_closed {
            self.unsent.clear();
        }
        if self.blocked || self.unsent.is_empty() {
            return;
        }
        match self.sender.try_send_all(self.unsent.iter().cloned()) {
            Ok(sent) => {
                self.unsent.drain(..sent);
                self.blocked = !self.unsent.is_empty();
            }
            Err(SendError::Blocked) => self.blocked = true,
            // Then the receiver tells how it ended.
            Err(SendError::Ended) => self.unsent.clear(),
            Err(error) => {
                tracing::error!(%error, "a frame could not be sent");
                self.unsent.clear();
                self.abort(Status::new(Code::Internal, "a frame could not be sent"));
            }
        }
    }
}
