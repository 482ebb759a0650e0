//! The one task of a connection.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_util::stream::{FuturesUnordered, Stream as _};
use headwater_rpc::Status;

use super::{
    pipe::Pipe,
    shared::{Shared, unavailable},
    socket::Socket,
};
use crate::batch::Batch;

/// What runs in a connection's task beside the connection. Gives why the connection has to end, if it has to.
pub(crate) enum Job {
    Pipe(Pipe),
    Keepalive(Pin<Box<dyn Future<Output = Status> + Send>>),
}

impl Future for Job {
    type Output = Option<Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        match &mut *self {
            Self::Pipe(pipe) => Pin::new(pipe).poll(cx).map(|()| None),
            Self::Keepalive(keepalive) => keepalive.as_mut().poll(cx).map(Some),
        }
    }
}

/// Drives a connection and all that is sent on it. Runs until the connection has ended, and says why.
///
/// First everybody who has something to send gives it to `h2`, then `h2` writes it all: one wake-up and one write,
/// however many messages on however many streams.
pub(crate) struct Driver {
    connection: h2::client::Connection<Socket, Batch>,
    shared: Arc<Shared>,
    /// Wakes this for the connection, unless it runs anyway.
    waker: Waker,
    jobs: FuturesUnordered<Job>,
    /// Reads of the socket so far, and what of them was looked at.
    reads: Arc<AtomicU64>,
    seen: u64,
}

impl Driver {
    pub(crate) fn new(
        connection: h2::client::Connection<Socket, Batch>,
        shared: Arc<Shared>,
        reads: Arc<AtomicU64>,
        keepalive: Option<Job>,
    ) -> Self {
        Self {
            connection,
            waker: Waker::from(Arc::clone(&shared)),
            shared,
            jobs: keepalive.into_iter().collect(),
            reads,
            seen: 0,
        }
    }

    /// Runs to the end, after which the connection takes no streams.
    pub(crate) async fn run(self) {
        let shared = Arc::clone(&self.shared);
        let why = self.await;
        shared.close(why);
    }
}

impl Future for Driver {
    type Output = Status;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Status> {
        let this = &mut *self;
        this.shared.begin_filling(cx);
        let pipes = this.shared.take_pipes();
        this.jobs.extend(pipes.into_iter().map(Job::Pipe));
        while let Poll::Ready(Some(ended)) = Pin::new(&mut this.jobs).poll_next(cx) {
            if let Some(why) = ended {
                return Poll::Ready(why);
            }
        }
        this.shared.end_filling();
        let mut waked = Context::from_waker(&this.waker);
        let ended = Pin::new(&mut this.connection).poll(&mut waked);
        let reads = this.reads.load(Ordering::Relaxed);
        if reads != this.seen {
            this.seen = reads;
            this.shared.look_at_peer(cx);
        }
        ended.map(|result| match result {
            Ok(()) => unavailable(&"the server closed it"),
            Err(error) => unavailable(&error),
        })
    }
}
