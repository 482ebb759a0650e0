//! What came for a call and waits for its receiver.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use headwater_core::{call::Credit, packet::INITIAL_WINDOW};
use headwater_rpc::{Closed, Inbound, Received};

use super::{bell::Bell, piece::Piece};

/// Shared by the session, which puts frames in, and the call's receiver. What it holds is bounded by what the session
/// lets in: the window of the call.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    bell: Arc<Bell>,
    /// With this much taken out, the session is told.
    told_from: Credit,
}

#[derive(Debug, Default)]
struct State {
    pieces: Vec<Piece>,
    closed: Option<Closed>,
    receiver: Option<Waker>,
    /// What was taken out since the session looked last.
    taken: Credit,
    /// The session was told of something taken.
    is_told: bool,
    is_dropped: bool,
}

/// What the receiver did since the session looked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looked {
    /// What it took out.
    pub(crate) taken: Credit,
    /// It wants nothing more.
    pub(crate) is_dropped: bool,
}

impl Mailbox {
    pub(crate) fn new(bell: Arc<Bell>, window: Credit) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            bell,
            told_from: half(window),
        })
    }

    /// The receiver's end.
    pub(crate) fn inbound(self: &Arc<Self>) -> MailboxInbound {
        MailboxInbound(Arc::clone(self))
    }

    /// Moves all of these in. If nobody wants them, they are gone, and this much with them.
    pub(crate) fn deliver(&self, pieces: &mut Vec<Piece>) -> Credit {
        let mut state = self.lock();
        if state.is_dropped {
            return sum(pieces.drain(..).as_slice(), Credit::default());
        }
        if state.pieces.is_empty() {
            mem::swap(&mut state.pieces, pieces);
        } else {
            state.pieces.append(pieces);
        }
        wake(state);
        Credit::default()
    }

    /// Nothing more comes; the first reason counts.
    pub(crate) fn close(&self, closed: Closed) {
        let mut state = self.lock();
        state.closed.get_or_insert(closed);
        wake(state);
    }

    /// What the receiver did.
    pub(crate) fn look(&self) -> Looked {
        let mut state = self.lock();
        Looked {
            taken: mem::take(&mut state.taken),
            is_dropped: state.is_dropped,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it guards is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This much, and what these use of a window.
fn sum(pieces: &[Piece], start: Credit) -> Credit {
    pieces.iter().fold(start, |sum, piece| Credit {
        messages: sum.messages + piece.credit().messages,
        bytes: sum.bytes + piece.credit().bytes,
    })
}

fn half(window: Credit) -> Credit {
    Credit {
        messages: (window.messages / 2).max(1),
        bytes: (window.bytes / 2).max(1),
    }
}

/// Wakes the receiver, without the lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.receiver.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The receiver's end. Dropped, it wants nothing more.
pub(crate) struct MailboxInbound(Arc<Mailbox>);

impl Inbound for MailboxInbound {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.0.lock();
        if state.pieces.is_empty() {
            if let Some(closed) = state.closed.clone() {
                return Poll::Ready(Err(closed));
            }
            state.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = sum(&state.pieces, state.taken);
        state.taken = taken;
        for piece in state.pieces.drain(..) {
            piece.receive(received);
        }
        let Credit { messages, bytes } = taken;
        let told_from = match state.is_told {
            true => self.0.told_from,
            // Only then the peer hears that there is more than it begins with.
            false => half(INITIAL_WINDOW),
        };
        let is_much = messages >= told_from.messages || bytes >= told_from.bytes;
        state.is_told |= is_much;
        drop(state);
        if is_much {
            self.0.bell.ring();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for MailboxInbound {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_dropped = true;
        let pieces = mem::take(&mut state.pieces);
        state.taken = sum(&pieces, state.taken);
        drop(state);
        self.0.bell.ring();
    }
}
