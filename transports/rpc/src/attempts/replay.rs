//! What a call has sent so far, from where every attempt of it reads.
//!
//! Nothing is pumped: an attempt that has read all pulls from the call itself, as much as a transport would without a
//! policy, so that the application is held back by the attempt that is furthest. Others read what was kept.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker, ready},
};

use headwater_core::{call::Frame, policy::attempts::AttemptId};
use headwater_proto::Code;
use tokio::time::Instant;

use super::budget::Share;
use crate::{
    shared::register,
    transport::{Outbound, Pulled},
    unsent::one_pull,
};

/// What a message costs beside its own bytes, so that empty ones are bounded too.
pub(super) const FRAME_BYTES: usize = 32;

/// The requests of one call under a policy.
pub(super) struct Replay {
    state: Mutex<State>,
    waiting: Arc<Waiting>,
}

struct State {
    /// The call's own outbound. Gone once the committed attempt has it.
    source: Option<Outbound>,
    /// What was pulled: all of it, until the call is committed, and then what its attempt has not taken.
    frames: Vec<Frame>,
    share: Share,
    /// The half-close was pulled.
    ended: bool,
    full: bool,
    full_told: bool,
    cursors: Vec<Cursor>,
    committed: Option<AttemptId>,
}

struct Cursor {
    id: AttemptId,
    /// How many of the frames this attempt has taken.
    next: usize,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Sending,
    /// The transport has thrown the outbound away: the server reads no more, and may still answer.
    Discarding,
    Cancelled,
}

/// Everyone who waits for something to send, or for what becomes of the call. Apart from the state, because the call wakes
/// it while the state is locked.
#[derive(Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl Waiting {
    fn register(&self, waker: &Waker) {
        register(
            &mut self.0.lock().unwrap_or_else(PoisonError::into_inner),
            waker,
        );
    }

    fn wake_all(&self) {
        let wakers = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl Replay {
    pub(super) fn new(source: Outbound, share: Share) -> Arc<Self> {
        source.set_repeatable();
        Arc::new(Self {
            state: Mutex::new(State {
                source: Some(source),
                frames: Vec::new(),
                share,
                ended: false,
                full: false,
                full_told: false,
                cursors: Vec::new(),
                committed: None,
            }),
            waiting: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outbound of a new attempt. `None` if the call was committed before.
    pub(super) fn begin(self: &Arc<Self>, id: AttemptId) -> Option<Outbound> {
        let mut state = self.lock();
        state.cursors.push(Cursor {
            id,
            next: 0,
            standing: Standing::Sending,
        });
        let replay = Arc::clone(self);
        let source = state.source.as_ref()?;
        Some(source.of_attempt(Attempt { replay, id }))
    }

    /// When the call's time is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().source.as_ref()?.deadline()
    }

    /// This attempt is over, from this side or the other.
    pub(super) fn cancel(&self, id: AttemptId) {
        if let Some(cursor) = self.lock().cursor(id) {
            cursor.standing = Standing::Cancelled;
        }
        self.waiting.wake_all();
    }

    /// Only this attempt goes on, and nothing is kept any more that it has taken.
    pub(super) fn commit(&self, id: AttemptId) {
        let mut state = self.lock();
        state.committed = Some(id);
        let mut discarded = None;
        if let Some(cursor) = state.cursor(id) {
            let taken = mem::take(&mut cursor.next);
            let discarding = cursor.standing == Standing::Discarding;
            state.forget(taken);
            if discarding {
                discarded = state.source.take();
            }
        }
        drop(state);
        // Nobody takes what the application sends: it need not wait for that.
        drop(discarded);
        self.waiting.wake_all();
    }

    /// Ready, once, when more was sent than may be kept: how many messages each attempt has sent.
    pub(super) fn poll_full(&self, cx: &mut Context<'_>) -> Poll<Vec<(AttemptId, usize)>> {
        let mut state = self.lock();
        self.waiting.register(cx.waker());
        if self.pull_discarded(&mut state) {
            drop(state);
            self.waiting.wake_all();
            state = self.lock();
        }
        if !state.full || mem::replace(&mut state.full_told, true) {
            return Poll::Pending;
        }
        let all = state.frames.len();
        let sent = state.cursors.iter().map(|cursor| {
            let discarding = cursor.standing == Standing::Discarding;
            (cursor.id, if discarding { all } else { cursor.next })
        });
        Poll::Ready(sent.collect())
    }

    /// What is sent to an attempt that takes nothing is still kept for the next one, and does not block the application.
    /// Whether there is more for the others.
    fn pull_discarded(&self, state: &mut State) -> bool {
        let discards = |cursor: &Cursor| cursor.standing == Standing::Discarding;
        if state.committed.is_some() || !state.cursors.iter().any(discards) {
            return false;
        }
        let before = state.frames.len();
        while !state.full && !state.ended {
            let Poll::Ready(Pulled::Frames) = self.pull(state) else {
                break;
            };
        }
        state.frames.len() > before
    }

    /// Takes what the application has sent. Whoever waits is woken when the application sends more, so register first;
    /// after this has taken something, the caller wakes them.
    fn pull(&self, state: &mut State) -> Poll<Pulled> {
        let Some(source) = &mut state.source else {
            return Poll::Ready(Pulled::Done);
        };
        let waker = Waker::from(Arc::clone(&self.waiting));
        let mut cx = Context::from_waker(&waker);
        let before = state.frames.len();
        let pulled = ready!(source.poll_frames(&mut cx, &mut state.frames));
        let new = state.frames.get(before..).unwrap_or_default();
        state.ended |= matches!(new.last(), Some(Frame::End(_)));
        let bytes = new.iter().map(cost).sum();
        state.full |= !state.share.take(bytes);
        Poll::Ready(pulled)
    }
}

impl State {
    fn cursor(&mut self, id: AttemptId) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.id == id)
    }

    /// Drops the first frames, which nobody needs again.
    fn forget(&mut self, count: usize) {
        let bytes = self.frames.drain(..count).map(|frame| cost(&frame)).sum();
        self.share.give_back(bytes);
    }

    /// Copies the frames from this one on, up to what one pull takes, and says how many.
    fn copy(&self, from: usize, frames: &mut Vec<Frame>) -> usize {
        let kept = self.frames.iter().skip(from);
        let (count, _) = one_pull(kept.clone().map(Frame::credit));
        frames.extend(kept.take(count).cloned());
        count
    }
}

const fn cost(frame: &Frame) -> usize {
    frame.credit().bytes + FRAME_BYTES
}

/// What makes an [`Outbound`] that of an attempt.
pub(crate) struct Attempt {
    replay: Arc<Replay>,
    id: AttemptId,
}

/// What an attempt sends next.
pub(crate) enum Next {
    Pulled(Pulled),
    /// The call is committed to this attempt, which has sent all that was kept: here is the call's own outbound.
    Direct(Outbound),
}

impl Attempt {
    pub(crate) fn poll_frames(&self, cx: &mut Context<'_>, frames: &mut Vec<Frame>) -> Poll<Next> {
        let replay = &*self.replay;
        let mut state = replay.lock();
        let Some(Cursor { next, standing, .. }) = state.cursor(self.id) else {
            return Poll::Ready(Next::Pulled(Pulled::Done));
        };
        let next = *next;
        if *standing == Standing::Cancelled {
            return Poll::Ready(Next::Pulled(Pulled::Reset(Code::Cancelled)));
        }
        let committed = state.committed == Some(self.id);
        let pulls = next == state.frames.len() && !committed;
        if pulls {
            replay.waiting.register(cx.waker());
            if state.full {
                // Whom the call is committed to is about to be decided.
                return Poll::Pending;
            }
            match ready!(replay.pull(&mut state)) {
                Pulled::Frames => {}
                over @ (Pulled::Reset(_) | Pulled::Done) => return Poll::Ready(Next::Pulled(over)),
            }
        }
        let taken = state.copy(next, frames);
        if taken == 0 {
            let source = state.source.take();
            return Poll::Ready(source.map_or(Next::Pulled(Pulled::Done), Next::Direct));
        }
        if committed {
            state.forget(taken);
        } else if let Some(cursor) = state.cursor(self.id) {
            cursor.next += taken;
        }
        drop(state);
        if pulls {
            replay.waiting.wake_all();
        }
        Poll::Ready(Next::Pulled(Pulled::Frames))
    }

    pub(crate) fn watch(&self) -> AttemptWatch {
        AttemptWatch {
            replay: Arc::downgrade(&self.replay),
            id: self.id,
        }
    }

    /// The transport takes nothing more.
    pub(crate) fn discard(&self) {
        let mut state = self.replay.lock();
        let committed = state.committed == Some(self.id);
        let source = if committed { state.source.take() } else { None };
        if let Some(cursor) = state.cursor(self.id)
            && cursor.standing == Standing::Sending
        {
            cursor.standing = Standing::Discarding;
        }
        drop(state);
        drop(source);
        self.replay.waiting.wake_all();
    }
}

/// Tells when an attempt is given up.
pub(crate) struct AttemptWatch {
    replay: Weak<Replay>,
    id: AttemptId,
}

impl AttemptWatch {
    /// Ready once the attempt was given up. A call that is committed to it is watched by other means.
    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(replay) = self.replay.upgrade() else {
            return Poll::Pending;
        };
        let mut state = replay.lock();
        let standing = state.cursor(self.id).map(|cursor| cursor.standing);
        if standing == Some(Standing::Cancelled) {
            return Poll::Ready(());
        }
        if state.committed.is_none() {
            replay.waiting.register(cx.waker());
        }
        Poll::Pending
    }
}
