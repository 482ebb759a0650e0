//! What a connection's handle, its streams and its driver share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use h2::{Reason, client::SendRequest};
use headwater_rpc::{Code, Payload, Status, http::Alternatives};
use http::HeaderMap;
use tokio::sync::{Semaphore, TryAcquireError, watch};

use super::pipe::Pipe;
use crate::{keepalive::Heard, signal::Turn};

/// How many calls may wait on one connection for the peer to allow them a stream. Further ones fail at once with
/// `UNAVAILABLE`, for a peer that allows few or none would else have this side hold any number of them.
const WAITING_CALLS_MAX: usize = 1024;

pub(crate) struct Shared {
    /// Opens streams; `None` once the connection takes no more, and then `h2` ends it after the last stream.
    sender: Mutex<Option<SendRequest<Payload>>>,
    /// Places for streams, as many as the peer allows (RFC 9113, 5.1.2).
    places: Semaphore,
    /// Calls that wait for a place.
    waiting: AtomicUsize,
    allowed: AtomicUsize,
    /// Places that the peer took back while streams were using them.
    overdrawn: AtomicUsize,
    open: AtomicUsize,
    /// Pipes that the driver does not have yet; `None` once there is no driver.
    pipes: Mutex<Option<Vec<Pipe>>>,
    has_pipes: AtomicBool,
    turn: Arc<Turn>,
    closed: watch::Sender<Option<Status>>,
    /// Who wants to know what the server announces.
    alternatives: Option<Alternatives>,
    heard: Heard,
}

impl Shared {
    pub(crate) fn new(
        sender: SendRequest<Payload>,
        alternatives: Option<Alternatives>,
    ) -> Arc<Self> {
        let allowed = allowed(&sender);
        Arc::new(Self {
            sender: Mutex::new(Some(sender)),
            places: Semaphore::new(allowed),
            waiting: AtomicUsize::new(0),
            allowed: AtomicUsize::new(allowed),
            overdrawn: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            pipes: Mutex::new(Some(Vec::new())),
            has_pipes: AtomicBool::new(false),
            turn: Arc::default(),
            closed: watch::Sender::new(None),
            alternatives,
            heard: Heard::new(),
        })
    }

    /// Waits for a place.
    ///
    /// # Errors
    ///
    /// The connection takes no streams any more, or too many calls wait.
    pub(crate) async fn admit(self: &Arc<Self>) -> Result<Permit, Refused> {
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(TryAcquireError::Closed) => return Err(Refused::Closed),
            Err(TryAcquireError::NoPermits) => {
                let _waiting = Waiting::begin(&self.waiting)?;
                let place = self.places.acquire().await;
                place.map_err(|_| Refused::Closed)?
            }
        };
        place.forget();
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Permit(Arc::clone(self)))
    }

    /// Streams that are open, as far as the application has not let go of them.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// What opens one stream.
    pub(crate) fn sender(&self) -> Option<SendRequest<Payload>> {
        // A clone for each: the original would hold on to a stream that could not be sent at once.
        lock(&self.sender).clone()
    }

    /// Takes no streams from now on. The first reason stays.
    pub(crate) fn close(&self, status: Status) {
        self.places.close();
        drop(lock(&self.sender).take());
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some(status);
            }
            first
        });
    }

    /// Waits until no streams are taken, and says why.
    pub(crate) async fn closed(&self) -> Status {
        let mut closed = self.closed.subscribe();
        let closed = closed.wait_for(Option::is_some).await;
        let status = closed.ok().and_then(|closed| closed.clone());
        status.unwrap_or_else(|| Status::new(Code::Unavailable, "the connection is gone"))
    }

    /// Looks at what the peer allows now, and whether it has said that it will go.
    pub(crate) fn look_at_peer(&self, cx: &mut Context<'_>) {
        self.heard.note();
        let mut slot = lock(&self.sender);
        let Some(sender) = &mut *slot else {
            return;
        };
        self.allow(allowed(sender));
        let ready = sender.poll_ready(cx);
        drop(slot);
        if let Poll::Ready(Err(error)) = ready {
            self.close(ended(&error));
        }
    }

    /// When something was last heard of the peer.
    pub(crate) const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Only the driver calls this.
    fn allow(&self, now: usize) {
        let before = self.allowed.swap(now, Ordering::Relaxed);
        if now < before {
            let taken = self.places.forget_permits(before - now);
            self.overdrawn
                .fetch_add(before - now - taken, Ordering::Relaxed);
        }
        if now > before {
            self.add_places(now - before);
        }
    }

    /// Places that are free again, or new, as far as they are not owed.
    fn add_places(&self, count: usize) {
        let pay = |owed: usize| Some(owed.saturating_sub(count));
        let owed = self
            .overdrawn
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay)
            .unwrap_or_default();
        self.places.add_permits(count.saturating_sub(owed));
    }

    /// Has the driver run a pipe, if there still is one.
    pub(crate) fn add_pipe(&self, pipe: Pipe) {
        let mut pipes = lock(&self.pipes);
        let Some(waiting) = &mut *pipes else {
            return;
        };
        waiting.push(pipe);
        drop(pipes);
        self.has_pipes.store(true, Ordering::SeqCst);
        self.turn.signal();
    }

    /// What wakes the driver's task.
    pub(crate) const fn turn(&self) -> &Arc<Turn> {
        &self.turn
    }

    /// Whether pipes came since.
    pub(crate) fn has_pipes(&self) -> bool {
        self.has_pipes.load(Ordering::SeqCst)
    }

    /// The pipes that came since.
    pub(crate) fn take_pipes(&self) -> Vec<Pipe> {
        self.has_pipes.store(false, Ordering::SeqCst);
        let mut pipes = lock(&self.pipes);
        pipes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// There is no driver any more. Nothing here may lead to the connection, whose waker leads here.
    pub(crate) fn end(&self) {
        self.close(Status::new(Code::Unavailable, "the connection was dropped"));
        let pipes = lock(&self.pipes).take();
        drop(pipes);
    }
}

/// How many streams the peer allows; no more than can be counted.
fn allowed(sender: &SendRequest<Payload>) -> usize {
    sender.current_max_send_streams().min(STREAMS_MAX)
}

/// What a peer is taken to allow that names no bound.
const STREAMS_MAX: usize = 1 << 20;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What it guards is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a connection takes no streams.
pub(crate) fn ended(error: &h2::Error) -> Status {
    let polite = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    let message = if polite && error.is_remote() {
        "the server is going away".to_owned()
    } else {
        format!("the connection ended: {error}")
    };
    Status::new(Code::Unavailable, message)
}

/// Why a call gets no stream.
pub(crate) enum Refused {
    /// The connection takes no streams any more.
    Closed,
    /// As many calls wait as may.
    Crowded,
}

/// One of the bounded number of calls that wait for a place.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, Refused> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(count);
        if before < WAITING_CALLS_MAX {
            return Ok(waiting);
        }
        Err(Refused::Crowded)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream's place among those that the peer allows.
pub(crate) struct Permit(Arc<Shared>);

impl Permit {
    /// These are the headers of the answer on its stream.
    pub(crate) fn answered(&self, headers: &HeaderMap) {
        if let Some(alternatives) = &self.0.alternatives {
            alternatives.announce(headers);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.add_places(1);
    }
}
