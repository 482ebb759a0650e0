//! The one task of a connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, Stream as _};
use headwater_rpc::Payload;
use tokio::time::Instant;

use super::{
    connection::{Ending, at},
    responder::Responder,
    service::Service,
};
use crate::{
    io::WatchedIo,
    signal::{Part, Turn},
};

/// HTTP/2 on one connection.
pub(super) type Http = h2::server::Connection<WatchedIo, Payload>;

/// What runs in a connection's task beside HTTP/2.
enum Job {
    /// Answers a call.
    Responder(Responder),
    /// Decides about the connection.
    Watch(Watch),
}

/// Waits for a reason to do something about a connection.
pub(super) type Watch = Pin<Box<dyn Future<Output = Order> + Send>>;

/// What becomes of a connection.
pub(super) enum Order {
    /// Its client is told to open its next streams elsewhere, and it is cut when the open ones have had this long.
    Retire { grace: Option<Duration> },
    /// It is cut.
    Cut(Ending),
}

impl Future for Job {
    type Output = Option<Order>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Order>> {
        match &mut *self {
            Self::Responder(responder) => Pin::new(responder).poll(cx).map(|()| None),
            Self::Watch(watch) => watch.as_mut().poll(cx).map(Some),
        }
    }
}

/// Rounds of one poll of the driver, after which other tasks get their turn.
const ROUNDS: usize = 4;

/// Drives a connection, the answers to its calls, and what watches over it, until it has ended. Dropping it cuts the
/// connection.
///
/// First everybody who has something to send gives it to `h2`, then `h2` writes it all: one wake-up and one write,
/// however many messages on however many streams. Each part is polled only if something has happened to it.
pub(super) struct Driver {
    http: Http,
    http_part: Part,
    jobs: FuturesUnordered<Job>,
    jobs_part: Part,
    turn: Arc<Turn>,
    service: Service,
}

impl Driver {
    pub(super) fn new(
        http: Http,
        service: Service,
        watches: impl IntoIterator<Item = Watch>,
    ) -> Self {
        let turn = Arc::default();
        Self {
            http,
            http_part: Part::new(&turn),
            jobs: watches.into_iter().map(Job::Watch).collect(),
            jobs_part: Part::new(&turn),
            turn,
            service,
        }
    }

    /// Ready if the connection is cut.
    fn poll_jobs(&mut self) -> Poll<Ending> {
        if !self.jobs_part.take() {
            return Poll::Pending;
        }
        loop {
            let polled = Pin::new(&mut self.jobs).poll_next(&mut self.jobs_part.context());
            match polled {
                Poll::Ready(Some(None)) => {}
                Poll::Ready(Some(Some(Order::Cut(ending)))) => return Poll::Ready(ending),
                Poll::Ready(Some(Some(Order::Retire { grace }))) => self.retire(grace),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn retire(&mut self, grace: Option<Duration>) {
        self.http.graceful_shutdown();
        self.http_part.set();
        if let Some(cut_at) = grace.and_then(|grace| Instant::now().checked_add(grace)) {
            self.jobs.push(Job::Watch(Box::pin(async move {
                at(Some(cut_at)).await;
                Order::Cut(Ending::GraceOver)
            })));
        }
    }

    /// Ready if the connection has ended.
    fn poll_http(&mut self) -> Poll<Ending> {
        if !self.http_part.take() {
            return Poll::Pending;
        }
        let mut cx = self.http_part.context();
        loop {
            let (request, respond) = match ready!(self.http.poll_accept(&mut cx)) {
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => return Poll::Ready(Ending::Failed(error)),
                None => return Poll::Ready(Ending::Closed),
            };
            if let Some(responder) = self.service.accept(request, respond) {
                self.jobs.push(Job::Responder(responder));
                self.jobs_part.set();
            }
        }
    }

    fn poll_rounds(&mut self) -> Poll<Ending> {
        for _ in 0..ROUNDS {
            if let Poll::Ready(ending) = self.poll_jobs() {
                return Poll::Ready(ending);
            }
            if !self.http_part.is_set() {
                break;
            }
            if let Poll::Ready(ending) = self.poll_http() {
                return Poll::Ready(ending);
            }
            if self.http_part.is_set() {
                // It could go on, after those who take what it has read.
                break;
            }
        }
        Poll::Pending
    }
}

impl Future for Driver {
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        self.turn.begin(cx);
        let ending = self.poll_rounds();
        self.turn.end();
        // What signalled while this ran has woken nobody.
        if ending.is_pending() && (self.http_part.is_set() || self.jobs_part.is_set()) {
            cx.waker().wake_by_ref();
        }
        ending
    }
}
