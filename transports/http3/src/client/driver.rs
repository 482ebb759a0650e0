//! The one task of a connection.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream as _};
use h3::{
    proto::frame::{Frame, PayloadLen},
    quic::StreamId,
};
use headwater_rpc::{Code, Status};
use quinn::ConnectionError;
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use super::{pipe::Pipe, shared::Shared};
use crate::{
    codes,
    qpack::QpackWatch,
    quic::{self, Quic},
    stream::FrameReader,
};

pub(super) type H3 = h3::client::Connection<Quic, Bytes>;

/// What is read of a response after its status, for its end to come without a word of this side.
const LINGER_BYTES: usize = 64 << 10;
/// How long that may take.
const LINGER: Duration = Duration::from_secs(1);

/// What runs in a connection's task. Gives why the connection has ended, if it has.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every job is a pipe, and a box would cost each an allocation"
)]
pub(super) enum Job {
    Pipe(Pipe),
    Linger(Box<Linger>),
    /// Tells that all was heard that the server had said before.
    Turn(Option<oneshot::Sender<()>>),
    Watch(Pin<Box<dyn Future<Output = Status> + Send>>),
}

impl Future for Job {
    type Output = Option<Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        match &mut *self {
            Self::Pipe(pipe) => Pin::new(pipe).poll(cx).map(|()| None),
            Self::Linger(linger) => Pin::new(linger).poll(cx).map(|()| None),
            Self::Turn(waiting) => {
                // Who does not wait any more needs not to be told.
                let _ = waiting.take().map(|waiting| waiting.send(()));
                Poll::Ready(None)
            }
            Self::Watch(watch) => watch.as_mut().poll(cx).map(Some),
        }
    }
}

/// Drives all that is sent on a connection, and listens to what its server says beside the calls. Runs until the
/// connection has ended.
pub(super) struct Driver {
    shared: Arc<Shared>,
    jobs: FuturesUnordered<Job>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, control: Control) -> Self {
        let lost = shared.quic.clone();
        let lost = async move {
            let why = codes::lost(&lost.closed().await);
            Status::new(Code::Unavailable, why)
        };
        let jobs = FuturesUnordered::new();
        jobs.push(Job::Watch(Box::pin(lost)));
        jobs.push(Job::Watch(Box::pin(control.listen(Arc::clone(&shared)))));
        Self { shared, jobs }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let jobs = self.shared.take_jobs(cx);
        self.jobs.extend(jobs);
        while let Poll::Ready(Some(done)) = Pin::new(&mut self.jobs).poll_next(cx) {
            if let Some(why) = done {
                self.shared.close(why);
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// What a server says beside the calls.
pub(super) struct Control {
    h3: Arc<Mutex<H3>>,
    qpack: QpackWatch,
    quic: quinn::Connection,
    unserved_from: Option<u64>,
}

impl Control {
    pub(super) const fn new(
        h3: Arc<Mutex<H3>>,
        qpack: QpackWatch,
        quic: quinn::Connection,
    ) -> Self {
        Self {
            h3,
            qpack,
            quic,
            unserved_from: None,
        }
    }

    /// Waits for the server's settings, by which it speaks HTTP/3 and has taken the client's certificate.
    pub(super) async fn settings(&mut self) -> Result<(), ConnectionError> {
        match self.next().await {
            Ok(Frame::Settings(_)) => Ok(()),
            // `h3` takes nothing before them, and closes the connection.
            Ok(_) | Err(_) => Err(self.quic.closed().await),
        }
    }

    async fn next(&mut self) -> Result<Frame<PayloadLen>, h3::error::ConnectionError> {
        poll_fn(|cx| {
            let frame = lock(&self.h3).inner.poll_control(cx);
            self.qpack.poll(cx);
            frame
        })
        .await
    }

    /// Listens until the connection ends.
    async fn listen(mut self, shared: Arc<Shared>) -> Status {
        loop {
            let fault = match self.next().await {
                Ok(Frame::Goaway(id)) => self.go_away(StreamId::from(id), &shared).err(),
                // It comes once, and `h3` sees to that.
                Ok(Frame::Settings(_)) => None,
                Ok(Frame::CancelPush(_)) => Some(codes::ID_ERROR),
                Ok(_) => Some(codes::FRAME_UNEXPECTED),
                // `h3` has closed the connection, or it was lost.
                Err(_) => Some(codes::INTERNAL_ERROR),
            };
            if let Some(code) = fault {
                // Nothing happens if it is closed.
                quic::close(&self.quic, code, "the control stream is not valid");
                let why = codes::lost(&self.quic.closed().await);
                return Status::new(Code::Unavailable, why);
            }
        }
    }

    /// RFC 9114, 5.2 and 7.2.6.
    fn go_away(&mut self, id: StreamId, shared: &Shared) -> Result<(), quinn::VarInt> {
        let from = id.into_inner();
        if !id.is_request() || self.unserved_from.is_some_and(|before| before < from) {
            return Err(codes::ID_ERROR);
        }
        self.unserved_from = Some(from);
        shared.go_away(from);
        Ok(())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // `h3` has no state that a panic would leave half changed and anybody would use.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the rest of a response after its status, within bounds; then the server is told that nobody wants it.
pub(super) struct Linger {
    reader: FrameReader,
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Linger {
    /// `None` if the end is there, as nearly always.
    pub(super) fn begin(mut reader: FrameReader) -> Option<Self> {
        let mut left = LINGER_BYTES;
        // Its first poll registers a waker that wakes.
        let mut cx = Context::from_waker(Waker::noop());
        if reader.poll_discard(&mut cx, &mut left).is_ready() {
            reader.stop(codes::NO_ERROR);
            return None;
        }
        Some(Self {
            reader,
            left,
            until: Box::pin(sleep(LINGER)),
        })
    }
}

impl Future for Linger {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.reader.poll_discard(cx, &mut this.left).is_pending() {
            ready!(this.until.as_mut().poll(cx));
        }
        this.reader.stop(codes::NO_ERROR);
        Poll::Ready(())
    }
}
