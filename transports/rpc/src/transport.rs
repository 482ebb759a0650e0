//! What a transport is: something that gives and takes streams of frames.
//!
//! A transport is not a connection and may hold many. Objects are at the grain of a call; frames move in batches through
//! polls, so that a message costs no boxed future and no hop between tasks. Sending is *pulled*: the driver hands a
//! transport an [`Outbound`], and the transport takes what is there when it has room, which is the back-pressure.
//! Receiving is pulled as well: the driver polls the transport's [`Inbound`] when the application wants more.

use std::{
    cell::Cell,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::call::{Closed, Credit, Frame, Shape};
use headwater_proto::{Code, Metadata, Status};
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};

use crate::{
    attempts::{Attempt, AttemptWatch, Next},
    payload::Encoded,
    run::messages_of,
    server::Acceptor,
    service::RegisteredMethod,
    service_config::ServiceConfig,
    shared::{Shared, Side, State, register, register_one},
    unsent::Piece,
};

/// What opens a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeaders {
    /// The method, such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// The metadata of the request.
    pub metadata: Metadata,
    /// How long the client gives the call; `grpc-timeout` on the wire.
    pub timeout: Option<std::time::Duration>,
    /// Client: the call waits for a connection, until its deadline, instead of failing while there is none. Not on the
    /// wire.
    pub wait_for_ready: bool,
}

/// What a poll of an [`Inbound`] brought: first the runs, then the frames.
#[derive(Debug, Default)]
pub struct Received {
    /// Uncompressed messages as gRPC lays them on a byte stream, one or more in each run, all of them whole.
    pub runs: Vec<Bytes>,
    /// What came after them.
    pub frames: Vec<Frame>,
}

thread_local! {
    /// Where the next poll of this thread puts what comes.
    static SPARE: Cell<Option<Box<Received>>> = const { Cell::new(None) };
}

/// A spare buffer with room for more runs or frames than this is not kept.
const SPARE_MAX: usize = 256;

impl Received {
    /// An empty one, the thread's spare one if it is there: a stream that waits need hold none.
    pub(crate) fn spare() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Gives it back to the thread, if all of it was taken.
    pub(crate) fn keep_spare(self: Box<Self>) {
        let room = self.runs.capacity().max(self.frames.capacity());
        if self.is_empty() && room <= SPARE_MAX {
            SPARE.set(Some(self));
        }
    }

    /// How many runs and frames there are.
    pub const fn len(&self) -> usize {
        self.runs.len() + self.frames.len()
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.frames.is_empty()
    }

    /// Appends what came later: its runs as they are, unless something came before that is no run.
    pub fn append(&mut self, later: Self) {
        if self.frames.is_empty() {
            self.runs.extend(later.runs);
        } else {
            let messages = later.runs.into_iter().flat_map(messages_of);
            self.frames.extend(messages.map(Frame::Message));
        }
        self.frames.extend(later.frames);
    }
}

/// The receiving direction of a stream, as a transport gives it.
///
/// Dropping it means: nothing more is wanted. On the client that resets a stream whose responses have not ended.
pub trait Inbound: Send {
    /// Appends all that is there, at least one run or frame, up to some tens of KiB.
    ///
    /// A transport that carries gRPC's framing hands over as a run the messages that came together, which spares each of
    /// them its moves; others give frames alone. No run may be added where there are frames already, for runs come first.
    ///
    /// A response stream ends with [`Frame::End`]; after it this is not polled again.
    ///
    /// # Errors
    ///
    /// The stream is gone, and how. An end of the responses without a status is [`Closed::without_status`].
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>>;
}

/// What a pull from an [`Outbound`] gave.
///
/// Exhaustive: a transport has to handle all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Frames were appended.
    Frames,
    /// Reset the stream; nothing more comes.
    Reset(Code),
    /// The last frame was given before.
    Done,
}

/// The sending direction of a stream, as the driver gives it to a transport.
///
/// Dropping it before the end was taken means, on the server, that the peer has cancelled, and ends the call
/// ([`Outbound::close`] says more); on the client, that the server reads no more, and what is sent from then on goes
/// nowhere.
pub struct Outbound {
    call: Arc<Shared>,
    /// This is one of several attempts of the call, and what it sends was or will be sent by others too.
    attempt: Option<Attempt>,
    /// What the call has to send goes to another stream, if this is not the number of its stream.
    stream: u32,
    done: bool,
}

impl Outbound {
    pub(crate) const fn new(call: Arc<Shared>) -> Self {
        Self::on_stream(call, 0)
    }

    /// The outbound of the call's stream of this number.
    pub(crate) const fn on_stream(call: Arc<Shared>, stream: u32) -> Self {
        Self {
            call,
            attempt: None,
            stream,
            done: false,
        }
    }

    /// From here on, what is taken is for attempts, and not counted.
    pub(crate) fn set_repeatable(&self) {
        self.call.look(|state| state.repeatable = true);
    }

    /// The outbound of one attempt of this call.
    pub(crate) fn of_attempt(&self, attempt: Attempt) -> Self {
        Self {
            call: Arc::clone(&self.call),
            attempt: Some(attempt),
            stream: self.stream,
            done: false,
        }
    }

    /// Appends all frames that wait, up to about 64 KiB or 256 pieces, each a frame or a run of messages, and gives
    /// their credit back to the senders.
    ///
    /// One task at a time may wait in this.
    pub fn poll_frames(&mut self, cx: &mut Context<'_>, frames: &mut Vec<Frame>) -> Poll<Pulled> {
        if self.done {
            return Poll::Ready(Pulled::Done);
        }
        if let Some(attempt) = &self.attempt {
            match ready!(attempt.poll_frames(cx, frames)) {
                Next::Pulled(pulled) => {
                    let ended = matches!(frames.last(), Some(Frame::End(_)));
                    self.done = pulled != Pulled::Frames || ended;
                    return Poll::Ready(pulled);
                }
                Next::Direct(outbound) => {
                    self.done = true;
                    *self = outbound;
                    return self.poll_frames(cx, frames);
                }
            }
        }
        let pulled = self.poll_pull(cx, |state| state.transmit.pull(frames));
        self.done |= matches!(frames.last(), Some(Frame::End(_)));
        pulled
    }

    /// [`Outbound::poll_frames`] for a transport that carries gRPC's framing: messages that were encoded when they were
    /// sent are handed over as they are. What `encoded` holds from before stays in front.
    ///
    /// One task at a time may wait in this.
    pub fn poll_encoded(&mut self, cx: &mut Context<'_>, encoded: &mut Encoded) -> Poll<Pulled> {
        if self.attempt.is_some() {
            let mut frames = Vec::new();
            let pulled = ready!(self.poll_frames(cx, &mut frames));
            let bytes = frames.iter().map(|frame| frame.credit().bytes).sum();
            encoded.extend(frames.into_iter().map(Piece::Frame), bytes);
            return Poll::Ready(pulled);
        }
        if self.done {
            return Poll::Ready(Pulled::Done);
        }
        let pulled = self.poll_pull(cx, |state| state.transmit.pull_encoded(encoded));
        self.done |= encoded.end.is_some();
        pulled
    }

    fn poll_pull(
        &mut self,
        cx: &mut Context<'_>,
        pull: impl FnOnce(&mut State) -> Option<Credit>,
    ) -> Poll<Pulled> {
        let (done, stream) = (&mut self.done, self.stream);
        self.call.act_now(|state, now| {
            if state.stream != stream {
                *done = true;
                return Poll::Ready(Pulled::Reset(Code::Cancelled));
            }
            if let Some(code) = state.reset {
                *done = true;
                return Poll::Ready(Pulled::Reset(code));
            }
            if let Some(taken) = pull(state) {
                state.took(taken, now);
                return Poll::Ready(Pulled::Frames);
            }
            if state.ended.is_some() {
                *done = true;
                return Poll::Ready(Pulled::Reset(Code::Cancelled));
            }
            register_one(&mut state.transport_waker, cx.waker());
            Poll::Pending
        })
    }

    /// On the server, ends the call, unless it has ended, and says how its stream came to be gone; of a stream whose
    /// [`Inbound`] was read to its end, nothing else can tell whether the client has cancelled or was lost. On the client
    /// this does nothing, for there the inbound says it.
    pub fn close(&mut self, closed: Closed) {
        if self.call.side == Side::Server && !self.done {
            self.done = true;
            self.call.close(closed);
        }
    }

    /// Tells when this side resets the call, for transports that do not poll this while the peer holds them back. One for
    /// the whole call, for it also knows for how long the peer has.
    pub fn reset_watch(&self) -> ResetWatch {
        ResetWatch {
            call: Arc::downgrade(&self.call),
            attempt: self.attempt.as_ref().map(Attempt::watch),
            stream: self.stream,
            unread: None,
        }
    }

    /// When the call's time is over. For transports that have a timer of their own to beat; the call ends by itself.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline()
    }

    /// How many messages the call has each way, as far as it is known here: of a server's call by its route.
    pub fn shape(&self) -> Shape {
        self.call.shape
    }

    /// The largest message that this call takes from its peer, in bytes.
    pub fn receive_message_bytes_max(&self) -> usize {
        self.call.receive_message_bytes_max
    }
}

/// Tells when this side resets a call, beside its [`Outbound`].
pub struct ResetWatch {
    call: Weak<Shared>,
    attempt: Option<AttemptWatch>,
    stream: u32,
    /// Runs while the client takes nothing of a server's call that has ended.
    unread: Option<Pin<Box<Sleep>>>,
}

impl ResetWatch {
    /// Ready once the call was reset, or on the client is over; an [`Outbound`] that is polled says so too, and one that
    /// is not may be dropped. (A server that has ended a call may still have to send what it said: for that the client has
    /// [`ServerConfig::unread_timeout`](crate::ServerConfig::unread_timeout), from the first poll after the call's end, and
    /// again from each [`ResetWatch::progressed`]; then the call is reset.)
    ///
    /// For a task on tokio's runtime, with time.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(attempt) = &self.attempt
            && attempt.poll_cancelled(cx).is_ready()
        {
            return Poll::Ready(());
        }
        let Some(call) = self.call.upgrade() else {
            return Poll::Pending;
        };
        let standing = call.look(|state| {
            let over = call.side == Side::Client && state.ended.is_some();
            if state.reset.is_some() || over || state.stream != self.stream {
                return Standing::Reset;
            }
            if state.ended.is_some() {
                return Standing::Ended;
            }
            register(&mut state.reset_wakers, cx.waker());
            Standing::Open
        });
        match standing {
            Standing::Open => Poll::Pending,
            Standing::Ended => self.poll_unread(&call, cx),
            Standing::Reset => Poll::Ready(()),
        }
    }

    /// The peer has taken something of the call: it has time again.
    pub fn progressed(&mut self) {
        self.unread = None;
    }

    /// Resets a server's call that has ended, and that its client takes nothing of.
    fn poll_unread(&mut self, call: &Shared, cx: &mut Context<'_>) -> Poll<()> {
        let Some(bound) = call.unread_timeout else {
            return Poll::Pending;
        };
        let unread = self.unread.get_or_insert_with(|| Box::pin(sleep(bound)));
        ready!(unread.as_mut().poll(cx));
        tracing::debug!(target: "headwater_rpc", "an answer that nobody reads is let go");
        call.look(State::give_up);
        Poll::Ready(())
    }
}

/// How far a call is, for who does not pull from it.
enum Standing {
    Open,
    /// What was said may still have to be sent.
    Ended,
    Reset,
}

impl Drop for Outbound {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Some(attempt) = &self.attempt {
            return attempt.discard();
        }
        match self.call.side {
            Side::Client => self.call.discard(self.stream),
            Side::Server => self.call.close(Closed::cancelled(Code::Cancelled)),
        }
    }
}

/// A stream that is being opened: what [`ClientTransport::open`] is, written out.
pub(crate) type Opening<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Inbound>, Status>> + Send + 'a>>;

/// The client's side of a transport.
#[async_trait]
pub trait ClientTransport: Send + Sync + 'static {
    /// Holds the transport's connections. Runs until [`ClientTransport::begin_graceful_shutdown`], which the driver calls
    /// when no stream is open any more, or until it is dropped. Called once.
    ///
    /// # Errors
    ///
    /// The transport can never work.
    async fn connect(&self) -> Result<(), Status>;

    /// Lets [`ClientTransport::connect`] return.
    fn begin_graceful_shutdown(&self);

    /// The client has begun to stop: what waits in [`ClientTransport::open`] for a connection, now or later, fails with
    /// `FAILED_PRECONDITION`, for else a server that is away would hold up the stop. Open streams go on. Does nothing if
    /// the transport has no connections to wait for.
    fn refuse_waiting(&self) {}

    /// The service config that the transport brings, where name resolution knows one; what it holds may change at any
    /// time, and calls that begin later go by it. It comes before the client's own, unless it is empty. Asked once.
    fn service_config(&self) -> Option<watch::Receiver<Arc<ServiceConfig>>> {
        None
    }

    /// Opens a stream. Called only while `connect` runs.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if the transport is closing, `UNAVAILABLE` if there is no stream for now.
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status>;
}

/// The server's side of a transport.
#[async_trait]
pub trait ServerTransport: Send + Sync + 'static {
    /// Tells which methods the server has. Called once, before [`ServerTransport::listen`]; methods may come and go
    /// later. Does nothing by default.
    fn configure(&self, methods: &[RegisteredMethod]) {
        let _ = methods;
    }

    /// Hands every stream that comes to `acceptor`. Runs until it is drained after
    /// [`ServerTransport::begin_graceful_shutdown`]; dropping it is an abrupt stop, after which no peer waits for ever.
    ///
    /// # Errors
    ///
    /// The transport cannot listen.
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status>;

    /// Refuses new streams; [`ServerTransport::listen`] returns when the open ones have ended.
    fn begin_graceful_shutdown(&self);
}
