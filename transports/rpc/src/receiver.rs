//! The receiving half of a call.

use std::{
    fmt,
    future::poll_fn,
    mem,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use headwater_core::call::{Closed, Ended, EndedBy, Frame, Input, Trailers};
use headwater_proto::{Code, Metadata, Status};
use tokio::time::Instant;

use crate::{
    compression::Incoming,
    shared::{Shared, Side, State, register_one},
};

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// What it ended with.
    pub status: Status,
    /// Who ended it.
    pub by: EndedBy,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.status, f)
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        error.status
    }
}

impl CallError {
    pub(crate) const fn local(status: Status) -> Self {
        let by = EndedBy::Local;
        Self { status, by }
    }
}

/// Receives a call's messages in batches.
///
/// On the client, dropping it while a [`crate::Sender`] lives leaves the call running unread; on the server the rest of
/// the request is thrown away.
pub struct Receiver {
    call: Arc<Shared>,
    frames: Vec<Frame>,
    /// What has to be decompressed, as far as there was no room for it in the last batch.
    incoming: Incoming,
    /// Which messages of the last batch came compressed, in order.
    compressed: Vec<usize>,
}

impl Receiver {
    pub(crate) fn new(call: Arc<Shared>) -> Self {
        Self {
            call,
            frames: Vec::new(),
            incoming: Incoming::default(),
            compressed: Vec::new(),
        }
    }

    /// Appends all messages that are there, at least one, waiting for the first, and says how many. 0 is the end: the
    /// client sends no more, or the server has ended the call with OK.
    ///
    /// Not reading is what holds the peer back: at most one such batch is held beside what the transport's window lets in.
    /// Of compressed messages, one batch has up to 64 KiB decompressed, and one message.
    ///
    /// # Errors
    ///
    /// The call failed, after all messages that came before: cancelled, past its deadline, broken, or ended by the server
    /// with a status.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next_batch(&mut self, batch: &mut Vec<Bytes>) -> Result<usize, CallError> {
        poll_fn(|cx| self.poll_next_batch(cx, batch)).await
    }

    /// [`Receiver::next_batch`] as a poll. One task at a time may wait.
    pub fn poll_next_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Vec<Bytes>,
    ) -> Poll<Result<usize, CallError>> {
        loop {
            let compressed = &mut self.compressed;
            let ready = self.call.look(|state| take_batch(state, batch, compressed));
            if let Some(result) = ready {
                return Poll::Ready(result);
            }
            if self.poll_inbound(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Whether a message of the last batch came compressed. The first one that [`Receiver::next_batch`] appended is 0.
    pub fn was_compressed(&self, index: usize) -> bool {
        self.compressed.binary_search(&index).is_ok()
    }

    /// Client: waits for the initial metadata. `None` if the server ended the call without; the end is then with
    /// [`Receiver::next_batch`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn headers(&mut self) -> Option<Metadata> {
        poll_fn(|cx| {
            loop {
                let ready = self.call.look(|state| match &state.headers {
                    Some(headers) => Some(Some(headers.clone())),
                    None => state.ended.as_ref().map(|_| None),
                });
                if let Some(headers) = ready {
                    return Poll::Ready(headers);
                }
                if self.poll_inbound(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Client: the trailing metadata, once the call is over.
    pub fn trailers(&self) -> Option<Metadata> {
        self.call.look(|state| {
            let ended = state.ended.as_ref()?;
            Some(ended.trailers.metadata.clone())
        })
    }

    /// How the call ended, once it is over.
    pub fn ended(&self) -> Option<Ended> {
        self.call.look(|state| state.ended.clone())
    }

    /// Ends the call, because what was received cannot be used; the peer is told.
    pub(crate) fn fail(&self, status: Status) {
        match self.call.side {
            Side::Client => self.call.cancel(status),
            // A call that has ended needs no answer.
            Side::Server => drop(
                self.call
                    .act(|state| state.call.finish(Trailers::failed(status))),
            ),
        }
    }

    /// Takes in what the transport has. Pending only if that is nothing, and then the waker is registered.
    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.incoming.is_empty() {
            self.incoming.unpack(&self.call);
            return Poll::Ready(());
        }
        let mut slot = self
            .call
            .inbound
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let polled = slot
            .as_mut()
            .map(|inbound| inbound.poll_frames(cx, &mut self.frames));
        drop(slot);
        let result = match polled {
            Some(Poll::Ready(result)) => result,
            Some(Poll::Pending) => return self.poll_ended(cx),
            None if self.call.look(|state| state.ended.is_some()) => return Poll::Ready(()),
            // The stream is taken away only from a call that has ended.
            None => Err(Closed::broken("the stream is gone")),
        };
        let is_compressed = |frame: &Frame| matches!(frame, Frame::Compressed(_));
        if self.frames.iter().any(is_compressed) {
            self.incoming.push(self.frames.drain(..), result.err());
            self.incoming.unpack(&self.call);
            return Poll::Ready(());
        }
        let mut frames = mem::take(&mut self.frames);
        self.call.act_now(|state, now| {
            for frame in frames.drain(..) {
                state.call.handle(Input::Frame(frame), now);
            }
            if let Err(closed) = result {
                state.call.handle(Input::Closed(closed), now);
            }
        });
        self.frames = frames;
        Poll::Ready(())
    }

    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.call.look(|state| {
            register_one(&mut state.receiver_waker, cx.waker());
            state.ended.is_some()
        });
        if !ended {
            return Poll::Pending;
        }
        // It ended while the stream was being polled: nobody else could drop it then.
        let mut slot = self
            .call
            .inbound
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let inbound = slot.take();
        drop(slot);
        drop(inbound);
        Poll::Ready(())
    }
}

fn take_batch(
    state: &mut State,
    batch: &mut Vec<Bytes>,
    compressed: &mut Vec<usize>,
) -> Option<Result<usize, CallError>> {
    if !state.messages.is_empty() {
        compressed.clear();
        mem::swap(compressed, &mut state.compressed);
        let count = state.messages.len();
        batch.extend(state.messages.drain(..));
        return Some(Ok(count));
    }
    if let Some(Ended { trailers, by }) = &state.ended {
        let Trailers { outcome, .. } = trailers;
        return Some(match outcome {
            Ok(()) => Ok(0),
            Err(status) => Err(CallError {
                status: status.clone(),
                by: *by,
            }),
        });
    }
    state.half_closed.then_some(Ok(0))
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.call.drop_receiver();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// Why a handler works for nobody any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// The deadline passed.
    Deadline,
    /// The client cancelled, broke the protocol, or its connection broke.
    Peer,
    /// The server is stopping. If it stops gracefully, the handler may still finish.
    Stopping,
}

/// Tells a handler that its call was cancelled, without reading or sending. The handler itself runs on.
#[derive(Clone)]
pub struct Cancellation {
    call: Arc<Shared>,
}

impl Cancellation {
    pub(crate) const fn new(call: Arc<Shared>) -> Self {
        Self { call }
    }

    /// Why the call was cancelled, if it was.
    pub fn reason(&self) -> Option<CancelReason> {
        debug_assert!(self.call.side == Side::Server, "handlers are on the server");
        self.call.look(|state| reason(state))
    }

    /// When the call's time is over, by what the client and the server's configuration give it: to be passed on to the calls
    /// that a handler makes for this one.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline()
    }

    /// Waits until the call is cancelled; for ever, if the handler ends it regularly first.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn cancelled(&self) -> CancelReason {
        poll_fn(|cx| {
            self.call.look(|state| {
                let Some(reason) = reason(state) else {
                    crate::shared::register(&mut state.cancel_wakers, cx.waker());
                    return Poll::Pending;
                };
                Poll::Ready(reason)
            })
        })
        .await
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").finish_non_exhaustive()
    }
}

fn reason(state: &State) -> Option<CancelReason> {
    match state.ended.as_ref().map(|ended| ended.by) {
        Some(EndedBy::Deadline) => Some(CancelReason::Deadline),
        Some(EndedBy::Local) => Some(CancelReason::Stopping),
        Some(EndedBy::Status) => None,
        Some(_) => Some(CancelReason::Peer),
        None => state.stopping.then_some(CancelReason::Stopping),
    }
}

pub(crate) fn unavailable(message: &str) -> Status {
    Status::new(Code::Unavailable, message)
}
