//! The requests of a call that wait for its handler, and the credit for more.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use headwater_proto::zrpc::v2::{WINDOW_BYTES, cost};
use headwater_rpc::{Closed, Frame, Inbound};

/// What was read and not given back, from which on it is.
const FREED_MIN: i64 = WINDOW_BYTES as i64 / 2;

/// Between a session, which fills it, and a handler, which empties it.
pub(super) struct Requests {
    state: Mutex<State>,
    /// Wakes the session when there is credit to give.
    session: Waker,
}

struct State {
    frames: Vec<Frame>,
    /// What the client may send.
    credit: i64,
    /// What was read and not yet given back.
    freed: i64,
    handler: Option<Waker>,
    /// Nobody reads any more: what comes is dropped, and given back at once.
    dropped: bool,
}

/// The client has sent what it had no credit for.
pub(super) struct Overdrawn;

impl Requests {
    pub(super) fn new(session: Waker) -> Arc<Self> {
        let state = State {
            frames: Vec::new(),
            credit: i64::from(WINDOW_BYTES),
            freed: 0,
            handler: None,
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
    pub(super) fn push(&self, frame: Frame) -> Result<(), Overdrawn> {
        let mut state = self.lock();
        if let Some(cost) = cost_of(&frame) {
            if state.credit <= 0 {
                return Err(Overdrawn);
            }
            state.credit -= cost;
        }
        state.frames.push(frame);
        if state.dropped {
            state.empty();
        }
        let handler = state.handler.take();
        let gives = state.freed >= FREED_MIN;
        drop(state);
        if let Some(handler) = handler {
            handler.wake();
        }
        if gives {
            self.session.wake_by_ref();
        }
        Ok(())
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

/// The handler's end.
pub(super) struct RequestStream(pub(super) Arc<Requests>);

impl Inbound for RequestStream {
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.0.lock();
        if state.frames.is_empty() {
            state.handler = Some(cx.waker().clone());
            return Poll::Pending;
        }
        frames.append(&mut state.empty());
        let gives = state.freed >= FREED_MIN;
        drop(state);
        if gives {
            self.0.session.wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.dropped = true;
        state.handler = None;
        state.empty();
        drop(state);
        self.0.session.wake_by_ref();
    }
}
