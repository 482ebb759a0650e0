//! What a connection's handle, its calls and its session share.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use headwater_core::call::Credit;
use headwater_rpc::{Closed, Code, Frame, Inbound, Outbound, Received, RequestHeaders, Status};
use tokio::sync::watch;

use crate::session::{Bell, Desk, Mailbox, MailboxInbound, Opening};

pub(crate) struct Shared {
    desk: Arc<Desk>,
    window: Credit,
    state: Mutex<State>,
    /// Calls that somebody holds.
    open: AtomicUsize,
    closed: watch::Sender<Option<Status>>,
}

#[derive(Default)]
struct State {
    opening: Vec<Opening>,
    /// No calls are taken any more.
    is_closed: bool,
}

impl Shared {
    pub(super) fn new(window: Credit) -> Arc<Self> {
        Arc::new(Self {
            desk: Arc::default(),
            window,
            state: Mutex::default(),
            open: AtomicUsize::new(0),
            closed: watch::Sender::new(None),
        })
    }

    /// Where the session waits.
    pub(crate) const fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Has the session open a call. Gives it back if it takes none.
    pub(super) fn open(
        self: &Arc<Self>,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<CallInbound, Box<(RequestHeaders, Outbound)>> {
        let bell = Bell::new(&self.desk);
        let mailbox = Mailbox::new(Arc::clone(&bell), self.window);
        let mut state = self.lock();
        if state.is_closed {
            return Err(Box::new((headers, outbound)));
        }
        let inbound = mailbox.inbound();
        state.opening.push(Opening {
            headers,
            outbound,
            bell,
            mailbox,
        });
        drop(state);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.desk.wake();
        Ok(CallInbound {
            inbound,
            shared: Arc::clone(self),
        })
    }

    /// The calls that are to be opened.
    pub(crate) fn take_opening(&self) -> Vec<Opening> {
        mem::take(&mut self.lock().opening)
    }

    /// Takes no calls from now on. The first reason stays.
    pub(crate) fn close(&self, why: &str) {
        self.lock().is_closed = true;
        self.closed.send_if_modified(|closed| {
            let is_first = closed.is_none();
            if is_first {
                *closed = Some(Status::new(Code::Unavailable, why));
            }
            is_first
        });
        self.desk.wake();
    }

    /// Whether no calls are taken any more, and none waits to be opened.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.lock();
        state.is_closed && state.opening.is_empty()
    }

    /// Waits until no calls are taken, and says why.
    pub(super) async fn closed(&self) -> Status {
        let mut closed = self.closed.subscribe();
        let closed = closed.wait_for(Option::is_some).await;
        let status = closed.ok().and_then(|closed| closed.clone());
        status.unwrap_or_else(|| Status::new(Code::Unavailable, "the connection is gone"))
    }

    /// Calls that somebody holds.
    pub(super) fn open_calls(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it guards is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The responses of a call, which counts as held until this is dropped.
pub(super) struct CallInbound {
    inbound: MailboxInbound,
    shared: Arc<Shared>,
}

impl Inbound for CallInbound {
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> Poll<Result<(), Closed>> {
        self.inbound.poll_frames(cx, frames)
    }

    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        self.inbound.poll_received(cx, received)
    }
}

impl Drop for CallInbound {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}
