//! What the peer sent in a call and nobody has read yet, and the credit for more.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use headwater_proto::zrpc::v2::{WINDOW_BYTES, cost};
use headwater_rpc::{Closed, Frame, Inbound, Received};

/// What was read and not given back, from which on it is.
const FREED_MIN: i64 = WINDOW_BYTES as i64 / 2;

/// Between a session, which fills it, and a call's driver, which empties it.
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Wakes the session when there is credit to give, or nobody reads any more.
    session: Waker,
}

struct State {
    frames: Vec<Frame>,
    /// What the peer may send.
    credit: i64,
    /// What was read and not yet given back.
    freed: i64,
    reader: Option<Waker>,
    headers_came: bool,
    end_came: bool,
    /// The stream is gone.
    closed: Option<Closed>,
    /// Nobody reads any more: what comes is dropped, and given back at once.
    dropped: bool,
}

/// What the peer may not send.
pub(super) enum Refused {
    /// It has no credit left.
    Overdrawn,
    /// It has said its end, or this part already. None of these needs credit, so one is all that may wait.
    Late,
}

impl Inbox {
    pub(super) fn new(session: Waker) -> Arc<Self> {
        let state = State {
            frames: Vec::new(),
            credit: i64::from(WINDOW_BYTES),
            freed: 0,
            reader: None,
            headers_came: false,
            end_came: false,
            closed: None,
            dropped: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            session,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what came.
    ///
    /// # Errors
    ///
    /// The peer may not send it, and it is dropped.
    pub(super) fn push(&self, frame: Frame) -> Result<(), Refused> {
        let mut state = self.lock();
        state.check(&frame)?;
        state.frames.push(frame);
        if state.dropped {
            state.empty();
        }
        let reader = state.reader.take();
        let gives = state.freed >= FREED_MIN;
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        if gives {
            self.session.wake_by_ref();
        }
        Ok(())
    }

    /// Nothing more comes: the stream is gone.
    pub(super) fn close(&self, closed: Closed) {
        let mut state = self.lock();
        state.closed.get_or_insert(closed);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_dropped(&self) -> bool {
        self.lock().dropped
    }

    /// The credit to give back, if it is worth a frame.
    pub(super) fn take_freed(&self) -> Option<u32> {
        let mut state = self.lock();
        if state.freed < FREED_MIN {
            return None;
        }
        // What is left for later is given back next time.
        let freed = u32::try_from(state.freed).unwrap_or(u32::MAX);
        state.freed -= i64::from(freed);
        state.credit += i64::from(freed);
        Some(freed)
    }
}

impl State {
    fn check(&mut self, frame: &Frame) -> Result<(), Refused> {
        let is_late = match frame {
            Frame::Headers(_) => mem::replace(&mut self.headers_came, true) || self.end_came,
            Frame::End(_) => mem::replace(&mut self.end_came, true),
            Frame::Message(_) | Frame::Compressed(_) => self.end_came,
        };
        if is_late {
            return Err(Refused::Late);
        }
        if let Some(cost) = cost_of(frame) {
            if self.credit <= 0 {
                return Err(Refused::Overdrawn);
            }
            self.credit -= cost;
        }
        Ok(())
    }

    /// Takes what waits, which frees its credit.
    fn empty(&mut self) -> Vec<Frame> {
        let frames = mem::take(&mut self.frames);
        self.freed += frames.iter().filter_map(cost_of).sum::<i64>();
        frames
    }
}

/// What a frame takes of the credit; `None` if it is no message.
pub(super) fn cost_of(frame: &Frame) -> Option<i64> {
    match frame {
        Frame::Message(blob) | Frame::Compressed(blob) => Some(cost(blob.len())),
        Frame::Headers(_) | Frame::End(_) => None,
    }
}

/// The reading end.
pub(super) struct InboxReader(pub(super) Arc<Inbox>);

impl Inbound for InboxReader {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.0.lock();
        if state.frames.is_empty() {
            if let Some(closed) = &state.closed {
                return Poll::Ready(Err(closed.clone()));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        received.frames.append(&mut state.empty());
        let gives = state.freed >= FREED_MIN;
        drop(state);
        if gives {
            self.0.session.wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for InboxReader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.dropped = true;
        state.reader = None;
        state.empty();
        drop(state);
        self.0.session.wake_by_ref();
    }
}
