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
use headwater_rpc::{
    Closed, Code, Inbound, IncomingCall, Outbound, Received, RequestHeaders, Status,
};
use tokio::sync::{Notify, oneshot, watch};

use crate::session::{Bell, Desk, Mailbox, MailboxInbound, Opening, Unrequested};

pub(crate) struct Shared {
    desk: Arc<Desk>,
    window: Credit,
    state: Mutex<State>,
    /// Calls that somebody holds.
    open: AtomicUsize,
    /// Told when there are none.
    idle: Notify,
    closed: watch::Sender<Option<Status>>,
    /// The socket is over.
    over: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    opening: Vec<Opening>,
    unrequested: Vec<Unrequested>,
    /// No calls are taken any more.
    is_closed: bool,
    /// The socket is over.
    is_over: bool,
}

impl Shared {
    pub(crate) fn new(window: Credit) -> Arc<Self> {
        Arc::new(Self {
            desk: Arc::default(),
            window,
            state: Mutex::default(),
            open: AtomicUsize::new(0),
            idle: Notify::new(),
            closed: watch::Sender::new(None),
            over: watch::Sender::new(false),
        })
    }

    /// Where the session waits.
    pub(crate) const fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Has the session open a call. Gives it back if it takes none.
    pub(crate) fn open(
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

    /// Has the session begin a response that nobody has requested, and gives the call.
    pub(crate) async fn respond_unrequested(
        &self,
        channel: u32,
        path: Arc<str>,
    ) -> Result<IncomingCall, Status> {
        let (call, begun) = oneshot::channel();
        self.push_unrequested(Unrequested {
            channel,
            path,
            call,
        });
        let gone = |_| Status::new(Code::Unavailable, "the socket is over");
        begun.await.map_err(gone)?
    }

    fn push_unrequested(&self, unrequested: Unrequested) {
        let mut state = self.lock();
        if state.is_over {
            // Who waits for it sees it dropped.
            return;
        }
        state.unrequested.push(unrequested);
        drop(state);
        self.desk.wake();
    }

    /// The responses that are to be begun.
    pub(crate) fn take_unrequested(&self) -> Vec<Unrequested> {
        mem::take(&mut self.lock().unrequested)
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

    /// The socket is over: takes nothing from now on, and gives the calls that were to be opened.
    pub(crate) fn end(&self, why: &str) -> Vec<Opening> {
        self.close(why);
        let mut state = self.lock();
        state.is_over = true;
        // Who waits for one of these sees it dropped.
        let _ = mem::take(&mut state.unrequested);
        let opening = mem::take(&mut state.opening);
        drop(state);
        self.over.send_replace(true);
        opening
    }

    /// Waits until the socket is over, and nobody holds a call of it.
    pub(crate) async fn left(&self) {
        let mut over = self.over.subscribe();
        // The sender is part of `self`, so it cannot be gone.
        let _ = over.wait_for(|over| *over).await;
        loop {
            let idle = self.idle.notified();
            if self.open_calls() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Whether no calls are taken any more, and none waits to be opened.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.lock();
        state.is_closed && state.opening.is_empty()
    }

    /// Waits until no calls are taken, and says why.
    pub(crate) async fn closed(&self) -> Status {
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
pub(crate) struct CallInbound {
    inbound: MailboxInbound,
    shared: Arc<Shared>,
}

impl Inbound for CallInbound {
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
        if self.shared.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.idle.notify_waiters();
        }
    }
}
