//! The one task of a connection.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::stream::{FuturesUnordered, Stream as _};
use headwater_rpc::{Code, Payload, Status};

use super::{
    pipe::Pipe,
    shared::{Shared, ended},
    socket::Socket,
};
use crate::signal::Part;

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

/// Rounds of one poll of the driver, after which other tasks get their turn.
const ROUNDS: usize = 4;

/// Drives a connection and all that is sent on it. Runs until the connection has ended, after which it takes no streams.
///
/// First everybody who has something to send gives it to `h2`, then `h2` writes it all: one wake-up and one write,
/// however many messages on however many streams. Each part is polled only if something has happened to it.
pub(crate) struct Driver {
    connection: h2::client::Connection<Socket, Payload>,
    connection_part: Part,
    jobs: FuturesUnordered<Job>,
    jobs_part: Part,
    shared: Arc<Shared>,
    /// Reads of the socket so far, and what of them was looked at.
    reads: Arc<AtomicU64>,
    seen: u64,
}

impl Driver {
    pub(crate) fn new(
        connection: h2::client::Connection<Socket, Payload>,
        shared: Arc<Shared>,
        reads: Arc<AtomicU64>,
        keepalive: Option<Job>,
    ) -> Self {
        Self {
            connection,
            connection_part: Part::new(shared.turn()),
            jobs: keepalive.into_iter().collect(),
            jobs_part: Part::new(shared.turn()),
            shared,
            reads,
            seen: 0,
        }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.shared.turn().begin(cx);
        for _ in 0..ROUNDS {
            if let Poll::Ready(why) = self.poll_jobs() {
                return Poll::Ready(why);
            }
            if !self.connection_part.take() {
                break;
            }
            if let Poll::Ready(why) = self.poll_connection(cx) {
                return Poll::Ready(why);
            }
            if self.connection_part.is_set() {
                // It could go on, after those who take what it has read.
                break;
            }
        }
        self.shared.turn().end();
        // What signalled while this ran has woken nobody.
        let parts = [&self.connection_part, &self.jobs_part];
        if self.shared.has_pipes() || parts.iter().any(|part| part.is_set()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ready if a job says that the connection has to end.
    fn poll_jobs(&mut self) -> Poll<Status> {
        let signalled = self.jobs_part.take();
        if self.shared.has_pipes() {
            let pipes = self.shared.take_pipes();
            self.jobs.extend(pipes.into_iter().map(Job::Pipe));
        } else if !signalled {
            return Poll::Pending;
        }
        let mut cx = self.jobs_part.context();
        while let Poll::Ready(Some(done)) = Pin::new(&mut self.jobs).poll_next(&mut cx) {
            if let Some(why) = done {
                return Poll::Ready(why);
            }
        }
        Poll::Pending
    }

    /// Ready if the connection has ended.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let mut waked = self.connection_part.context();
        let polled = Pin::new(&mut self.connection).poll(&mut waked);
        let reads = self.reads.load(Ordering::Relaxed);
        if reads != self.seen {
            self.seen = reads;
            self.shared.look_at_peer(cx);
        }
        polled.map(|result| match result {
            Ok(()) => Status::new(Code::Unavailable, "the server closed the connection"),
            Err(error) => ended(&error),
        })
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let why = ready!(self.poll_ended(cx));
        self.shared.close(why);
        Poll::Ready(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end();
    }
}

#[cfg(test)]
mod tests {
    use h2::client::SendRequest;
    use http::Request;

    use super::*;

    async fn connect(stream: tokio::io::DuplexStream) -> (Arc<Shared>, Driver) {
        let reads = Arc::new(AtomicU64::new(0));
        let socket = Socket::new(Box::new(stream), Arc::clone(&reads));
        let builder = h2::client::Builder::new();
        let handshake = builder.handshake::<_, Payload>(socket).await;
        let (sender, connection) = handshake.expect("the stream is open");
        let shared = Shared::new(sender, None);
        let driver = Driver::new(connection, Arc::clone(&shared), reads, None);
        (shared, driver)
    }

    /// The connection's waker leads to what opens its streams, which leads to the connection: however it ends, neither
    /// keeps the other.
    #[tokio::test]
    async fn nothing_is_left_of_a_connection_that_ended() {
        for lost in [true, false] {
            let (here, there) = tokio::io::duplex(64 << 10);
            let server = tokio::spawn(async move {
                let mut connection = h2::server::handshake(there).await.expect("HTTP/2");
                let accepted = connection.accept().await;
                (accepted, connection)
            });
            let (shared, driver) = connect(here).await;
            let driver = tokio::spawn(driver);
            let sender = shared.sender();
            let mut sender: SendRequest<Payload> = sender.expect("it is up");
            let request = Request::post("http://test/").body(()).expect("valid");
            let stream = sender.send_request(request, false).expect("it is up");
            let (accepted, connection) = server.await.expect("no panic");
            assert!(accepted.is_some(), "the stream came");
            if lost {
                drop((accepted, connection));
                driver.await.expect("no panic");
            } else {
                driver.abort();
                assert!(driver.await.is_err(), "it was stopped");
                // A pipe in memory keeps its other end's waker.
                drop((accepted, connection));
            }
            drop((stream, sender));
            let left = Arc::downgrade(&shared);
            drop(shared);
            assert!(left.upgrade().is_none(), "lost: {lost}");
        }
    }
}
