//! A transport that does what a script says.

use std::{
    collections::VecDeque,
    future::{pending, poll_fn},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_rpc::{
    Client, ClientTransport, Closed, Code, Frame, Inbound, Metadata, Outbound, Reached, Received,
    RequestHeaders, ServiceConfig, Status, Trailers,
};
use tokio::sync::watch;

/// What becomes of one stream.
pub(crate) enum Step {
    /// It is not opened.
    Refuse(Code),
    /// It is opened, and gone.
    Gone(Reached),
    /// These are the responses.
    Answer(Vec<Frame>),
    /// These are responses, and then it is gone.
    AnswerAndGone(Vec<Frame>, Reached),
    /// Nothing comes.
    Silence,
    /// Nothing is read, and nothing comes.
    Discard,
    /// Nothing is read, and it is gone.
    DiscardAndGone(Reached),
    /// All that there is is read, and then the stream is gone.
    ReadAndGone(Reached),
    /// It is gone, while something still holds what it was to send.
    LeaveAndGone(Reached),
    /// The stream takes so long to open, and all that there is is read.
    Later(Duration, Box<Self>),
}

/// A transport with a script, and the headers of all streams so far.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    steps: Arc<Mutex<VecDeque<Step>>>,
    opened: Arc<Mutex<Vec<RequestHeaders>>>,
    /// What was read, of each stream that was read from.
    sent: Arc<Mutex<Vec<Vec<Frame>>>>,
    left: Arc<Mutex<Option<Outbound>>>,
    pub(crate) config: Option<watch::Receiver<Arc<ServiceConfig>>>,
}

struct Responses {
    next: VecDeque<Result<Vec<Frame>, Closed>>,
    /// Held for as long as the stream is.
    _outbound: Option<Outbound>,
}

impl Inbound for Responses {
    fn poll_received(
        &mut self,
        _: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        match self.next.pop_front() {
            Some(Ok(next)) => {
                received.frames.extend(next);
                Poll::Ready(Ok(()))
            }
            Some(Err(closed)) => Poll::Ready(Err(closed)),
            None => Poll::Pending,
        }
    }
}

#[async_trait]
impl ClientTransport for Scripted {
    async fn connect(&self) -> Result<(), Status> {
        pending().await
    }

    fn begin_graceful_shutdown(&self) {}

    fn service_config(&self) -> Option<watch::Receiver<Arc<ServiceConfig>>> {
        self.config.clone()
    }

    async fn open(
        &self,
        headers: RequestHeaders,
        mut outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        lock(&self.opened).push(headers);
        let mut step = lock(&self.steps).pop_front().unwrap_or(Step::Silence);
        let mut reads = false;
        if let Step::Later(wait, then) = step {
            tokio::time::sleep(wait).await;
            (step, reads) = (*then, true);
        }
        reads &= !matches!(step, Step::Refuse(_));
        if reads || matches!(step, Step::ReadAndGone(_)) {
            self.read(&mut outbound).await;
        }
        let gone = |reached| Err(Closed::broken("gone").having_reached(reached));
        let mut held = Some(outbound);
        let next = match step {
            Step::Refuse(code) => return Err(Status::new(code, "refused")),
            Step::Gone(reached) | Step::ReadAndGone(reached) => vec![gone(reached)],
            Step::Answer(frames) => vec![Ok(frames)],
            Step::AnswerAndGone(frames, reached) => vec![Ok(frames), gone(reached)],
            Step::Silence | Step::Later(..) => vec![],
            Step::Discard => {
                held = None;
                vec![]
            }
            Step::DiscardAndGone(reached) => {
                held = None;
                vec![gone(reached)]
            }
            Step::LeaveAndGone(reached) => {
                *lock(&self.left) = held.take();
                vec![gone(reached)]
            }
        };
        Ok(Box::new(Responses {
            next: next.into(),
            _outbound: held,
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let scripted = Self::default();
        scripted.then(steps);
        scripted
    }

    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) {
        lock(&self.steps).extend(steps);
    }

    /// A client that runs over this.
    pub(crate) fn client(&self, config: ServiceConfig) -> Client {
        let client = Client::with_service_config(self.clone(), config);
        run(&client);
        client
    }

    async fn read(&self, outbound: &mut Outbound) {
        let mut frames = Vec::new();
        poll_fn(|cx| outbound.poll_frames(cx, &mut frames)).await;
        lock(&self.sent).push(frames);
    }

    pub(crate) fn opened(&self) -> Vec<RequestHeaders> {
        lock(&self.opened).clone()
    }

    pub(crate) fn sent(&self) -> Vec<Vec<Frame>> {
        lock(&self.sent).clone()
    }

    /// What [`Step::LeaveAndGone`] left.
    pub(crate) fn left(&self) -> Option<Outbound> {
        lock(&self.left).take()
    }

    pub(crate) fn previous(&self) -> Vec<Option<String>> {
        let opened = self.opened();
        let previous = opened
            .iter()
            .map(|headers| headers.metadata.text("grpc-previous-rpc-attempts"));
        previous.map(|text| text.map(str::to_owned)).collect()
    }
}

pub(crate) fn run(client: &Client) {
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
}

pub(crate) fn success() -> Step {
    Step::Answer(vec![
        Frame::Headers(Metadata::new()),
        Frame::Message(Bytes::from_static(b"answer")),
        Frame::end(Trailers::ok()),
    ])
}

/// [`success`], of a stream that was read.
pub(crate) fn read_and_success() -> Step {
    Step::Later(Duration::ZERO, success().into())
}

pub(crate) fn unavailable() -> Step {
    let status = Status::new(Code::Unavailable, "busy");
    Step::Answer(vec![Frame::end(Trailers::failed(status))])
}
