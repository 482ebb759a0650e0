//! What a connection's handle, its streams and its driver share.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, task::AtomicWaker};
use headwater_rpc::{Closed, Code, Metadata, Reached, RequestHeaders, Status};
use http::Request;
use quinn::{ConnectionError, RecvStream, SendStream};
use tokio::{
    select,
    sync::{oneshot, watch},
};

use super::driver::Job;
use crate::{
    codes,
    sections::{ClientSections, Memo, Unsent},
};

/// How many calls may wait on one connection for the server to allow them a stream. Further ones fail at once with
/// `UNAVAILABLE`, for a server that allows few or none would else have this side hold any number of them.
const WAITING_CALLS_MAX: usize = 1024;

/// What a call without a deadline is asked with.
#[derive(PartialEq)]
pub(super) struct Asked {
    path: Arc<str>,
    metadata: Metadata,
}

pub(super) struct Shared {
    pub(super) quic: quinn::Connection,
    pub(super) sections: ClientSections,
    /// The frames of requests so far, and the metadata that answers began with.
    pub(super) requests: Memo<Asked, Bytes>,
    pub(super) answers: Memo<Bytes, Metadata>,
    /// Calls that wait for a stream.
    waiting: AtomicUsize,
    /// What the driver does not have yet; `None` once there is no driver.
    jobs: Mutex<Option<Vec<Job>>>,
    has_jobs: AtomicBool,
    driver: AtomicWaker,
    closed: watch::Sender<Option<Status>>,
    /// Streams from this one on are not served (RFC 9114, 5.2).
    unserved_from: AtomicU64,
    /// Who waits for the first word on a stream, by its id.
    expecting: Mutex<HashMap<u64, Waker>>,
}

impl Shared {
    pub(super) fn new(quic: quinn::Connection, sections: ClientSections) -> Arc<Self> {
        Arc::new(Self {
            quic,
            sections,
            requests: Memo::default(),
            answers: Memo::default(),
            waiting: AtomicUsize::new(0),
            jobs: Mutex::new(Some(Vec::new())),
            has_jobs: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            closed: watch::Sender::new(None),
            unserved_from: AtomicU64::new(u64::MAX),
            expecting: Mutex::default(),
        })
    }

    /// The frame that a request begins with.
    pub(super) fn encode_request(
        &self,
        call: &RequestHeaders,
        request: Request<()>,
    ) -> Result<Bytes, Unsent> {
        let frame = self.sections.encode_request(request)?;
        if call.timeout.is_none() {
            let asked = Asked {
                path: Arc::clone(&call.path),
                metadata: call.metadata.clone(),
            };
            self.requests.insert(asked, frame.clone(), frame.len());
        }
        Ok(frame)
    }

    /// The same, if there was such a request before. What is left of a deadline is never the same.
    pub(super) fn known_request(&self, call: &RequestHeaders) -> Option<Bytes> {
        let is_it = |asked: &Asked| asked.path == call.path && asked.metadata == call.metadata;
        let memo = call.timeout.is_none().then_some(&self.requests);
        memo.and_then(|memo| memo.find(is_it))
    }

    /// Opens a stream, waiting while the server allows no further one.
    ///
    /// # Errors
    ///
    /// The connection takes no streams any more, or too many calls wait.
    pub(super) async fn open(&self) -> Result<(SendStream, RecvStream), Refused> {
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        let mut open = pin!(self.quic.open_bi());
        if let Some(opened) = open.as_mut().now_or_never() {
            return opened.map_err(|_| Refused::Closed);
        }
        let _waiting = Waiting::begin(&self.waiting)?;
        select! {
            opened = open => opened.map_err(|_| Refused::Closed),
            _ = self.closed() => Err(Refused::Closed),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Takes no streams from now on. The first reason stays.
    pub(super) fn close(&self, status: Status) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some(status);
            }
            first
        });
    }

    /// Waits until no streams are taken, and says why.
    pub(super) async fn closed(&self) -> Status {
        let mut closed = self.closed.subscribe();
        let closed = closed.wait_for(Option::is_some).await;
        let status = closed.ok().and_then(|closed| closed.clone());
        status.unwrap_or_else(|| Status::new(Code::Unavailable, "the connection is gone"))
    }

    /// The server goes, and serves no stream from this one on.
    pub(super) fn go_away(&self, unserved_from: u64) {
        self.unserved_from
            .fetch_min(unserved_from, Ordering::AcqRel);
        self.close(Status::new(Code::Unavailable, "the server is going away"));
        let mut expecting = lock(&self.expecting);
        let unserved: Vec<_> = expecting
            .extract_if(|id, _| *id >= unserved_from)
            .map(|(_, waker)| waker)
            .collect();
        drop(expecting);
        unserved.into_iter().for_each(Waker::wake);
    }

    /// Whether the server has said that it does not serve this stream. If it says so later, the waker is woken.
    pub(super) fn is_unserved(&self, id: u64, cx: &mut Context<'_>) -> bool {
        let mut expecting = lock(&self.expecting);
        if self.unserved_from.load(Ordering::Acquire) <= id {
            return true;
        }
        match expecting.get_mut(&id) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                expecting.insert(id, cx.waker().clone());
            }
        }
        false
    }

    /// The server has begun to answer, or nobody waits for that any more.
    pub(super) fn expect_no_more(&self, id: u64) {
        lock(&self.expecting).remove(&id);
    }

    /// How a call ended whose connection was lost.
    pub(super) fn lost(&self, id: u64, error: &ConnectionError) -> Closed {
        let closed = codes::closed_by_connection(error);
        if self.unserved_from.load(Ordering::Acquire) <= id {
            return closed.having_reached(Reached::Library);
        }
        closed
    }

    /// Has the driver do this, if there still is one.
    pub(super) fn add_job(&self, job: Job) {
        let mut jobs = lock(&self.jobs);
        let Some(waiting) = &mut *jobs else {
            return;
        };
        waiting.push(job);
        drop(jobs);
        self.has_jobs.store(true, Ordering::Release);
        self.driver.wake();
    }

    /// Done once all was heard that the server has said beside the calls until now, or if there is nobody who hears it.
    pub(super) fn turn(&self) -> oneshot::Receiver<()> {
        let (told, turn) = oneshot::channel();
        // Behind whatever of it waits to be looked at.
        self.add_job(Job::Turn(Some(told)));
        turn
    }

    /// What came since. The driver is woken for more.
    pub(super) fn take_jobs(&self, cx: &Context<'_>) -> Vec<Job> {
        self.driver.register(cx.waker());
        if self.has_jobs.swap(false, Ordering::AcqRel) {
            let mut jobs = lock(&self.jobs);
            return jobs.as_mut().map(std::mem::take).unwrap_or_default();
        }
        Vec::new()
    }

    /// There is no driver any more.
    pub(super) fn end(&self) {
        self.close(Status::new(Code::Unavailable, "the connection was dropped"));
        let jobs = lock(&self.jobs).take();
        drop(jobs);
    }
}

/// The call is not served, and can be sent again elsewhere.
pub(super) fn unserved() -> Closed {
    Closed::broken("the server is going away and has not taken the call")
        .having_reached(Reached::Library)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What it guards is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a call gets no stream.
pub(super) enum Refused {
    /// The connection takes no streams any more.
    Closed,
    /// As many calls wait as may.
    Crowded,
}

/// One of the bounded number of calls that wait for a stream.
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
