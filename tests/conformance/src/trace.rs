//! What both ends of a call see of it, so that two transports can be compared part by part.
//!
//! A [`Recorder`] is an interceptor of both ends. It keeps each half of a call as a lane of lines, with the
//! bytes of every part: what one half saw is in order, whereas how the halves interleave is a matter of time and no
//! promise. Batches, credit and timers leave no line.

use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_rpc::{
    CallError, CancelReason, Code, IncomingCall, Metadata, Receiver, Sender, Status, Trailers,
    interceptor::{
        ClientInterceptor, ClientNext, OutgoingCall, ServerInterceptor, ServerNext, Transform,
    },
};
use tokio::sync::Notify;

/// The last line of what a client receives of a call that never ends.
pub const NO_END: &str = "it does not end";

/// One half of a call, as one end sees it; and what the handler hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What the client sends.
    ClientSends,
    /// What the client receives, and how the call ended for it.
    ClientReceives,
    /// What the server receives, from the request's headers on.
    ServerReceives,
    /// What the server sends.
    ServerSends,
    /// Why the handler was cancelled, if it was.
    Handler,
}

const LANES: [Lane; 5] = [
    Lane::ClientSends,
    Lane::ClientReceives,
    Lane::ServerReceives,
    Lane::ServerSends,
    Lane::Handler,
];

/// What was seen of one call, a line for each part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    lanes: [Vec<String>; LANES.len()],
}

/// Where two traces part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The half in which they do.
    pub lane: Lane,
    /// The first part in which they do, counted from 0.
    pub part: usize,
    /// What one has there; `None` after its last.
    pub expected: Option<String>,
    /// What the other has there.
    pub found: Option<String>,
}

impl Trace {
    /// The lines of one half.
    pub fn lane(&self, lane: Lane) -> &[String] {
        &self.lanes[lane as usize]
    }

    /// The first difference to `expected`, lane by lane.
    pub fn difference(&self, expected: &Self) -> Option<Difference> {
        LANES.into_iter().find_map(|lane| {
            let (found, expected) = (self.lane(lane), expected.lane(lane));
            let longest = found.len().max(expected.len());
            let part = (0..longest).find(|&part| found.get(part) != expected.get(part))?;
            Some(Difference {
                lane,
                part,
                expected: expected.get(part).cloned(),
                found: found.get(part).cloned(),
            })
        })
    }
}

/// Records one call at both ends. Clones write to the same trace.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

struct Inner {
    /// Both ends have the same deadline, and whichever comes first ends the call on the server.
    deadline_races: bool,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    trace: Trace,
    /// How much is left of the call on the server: two halves and the handler.
    server_ends: usize,
}

impl Recorder {
    /// Nothing is recorded yet. `deadline_races`: the client's deadline ends the call, and whether the server hears of it
    /// by its own timer or by the client's reset is not recorded.
    pub fn new(deadline_races: bool) -> Self {
        let inner = Inner {
            deadline_races,
            state: Mutex::default(),
            changed: Notify::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What was recorded so far.
    pub fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    /// Adds a line.
    pub fn note(&self, lane: Lane, line: String) {
        self.state().trace.lanes[lane as usize].push(line);
    }

    /// Waits until a call has ended on the server: both halves, and its handler.
    pub async fn server_ended(&self) {
        loop {
            let changed = self.inner.changed.notified();
            if self.state().server_ends == 3 {
                return;
            }
            changed.await;
        }
    }

    fn tap(&self, lane: Lane) -> Arc<Tap> {
        let recorder = self.clone();
        Arc::new(Tap { recorder, lane })
    }

    fn note_server_end(&self, lane: Lane, line: String) {
        self.note(lane, line);
        self.state().server_ends += 1;
        self.inner.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = &self.inner.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel_reason(&self, reason: Option<CancelReason>) -> String {
        match reason {
            Some(CancelReason::Deadline | CancelReason::Peer) if self.inner.deadline_races => {
                "cancelled: out of time".to_owned()
            }
            Some(reason) => format!("cancelled: {reason:?}"),
            None => "not cancelled".to_owned(),
        }
    }
}

#[async_trait]
impl ClientInterceptor for Recorder {
    async fn intercept(
        &self,
        call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        let (sender, receiver) = next.run(call).await.inspect_err(|error| {
            let line = format!("not opened: {} by {:?}", status(&error.status), error.by);
            self.note(Lane::ClientReceives, line);
        })?;
        let sender = sender.through(self.tap(Lane::ClientSends));
        Ok((sender, receiver.through(self.tap(Lane::ClientReceives))))
    }
}

#[async_trait]
impl ServerInterceptor for Recorder {
    async fn intercept(&self, mut call: IncomingCall, next: ServerNext) {
        let cancellation = call.cancellation.clone();
        let timed = cancellation.deadline().is_some();
        let line = format!(
            "request {} {:?} timed: {timed} {}",
            call.path,
            call.shape,
            metadata(&call.metadata)
        );
        self.note(Lane::ServerReceives, line);
        call.sender = call.sender.through(self.tap(Lane::ServerSends));
        call.receiver = call.receiver.through(self.tap(Lane::ServerReceives));
        next.run(call).await;
        let reason = self.cancel_reason(cancellation.reason());
        self.note_server_end(Lane::Handler, reason);
    }
}

/// Notes what passes through one half.
struct Tap {
    recorder: Recorder,
    lane: Lane,
}

impl Transform for Tap {
    fn headers(&self, headers: Metadata) -> Metadata {
        let line = format!("headers {}", metadata(&headers));
        self.recorder.note(self.lane, line);
        headers
    }

    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        let line = format!("message {}", content(&message));
        self.recorder.note(self.lane, line);
        Ok(message)
    }

    fn end(&self, trailers: Trailers) -> Trailers {
        match self.lane {
            Lane::ClientSends | Lane::ClientReceives => {
                self.recorder.note(self.lane, end(&trailers));
            }
            Lane::ServerReceives | Lane::ServerSends | Lane::Handler => {
                let line = self.server_end(&trailers);
                self.recorder.note_server_end(self.lane, line);
            }
        }
        trailers
    }
}

impl Tap {
    fn server_end(&self, trailers: &Trailers) -> String {
        match trailers.outcome.as_ref().map_err(|status| status.code) {
            Err(Code::DeadlineExceeded | Code::Cancelled) if self.recorder.inner.deadline_races => {
                "end out of time".to_owned()
            }
            _ => end(trailers),
        }
    }
}

fn end(trailers: &Trailers) -> String {
    let metadata = metadata(&trailers.metadata);
    match &trailers.outcome {
        Ok(()) => format!("end OK {metadata}"),
        Err(error) => format!("end {} {metadata}", status(error)),
    }
}

fn status(status: &Status) -> String {
    let details = content(&status.details);
    format!("{} {:?} details {details}", status.code, status.message)
}

/// By keys: gRPC promises the order of values under one key, and none between keys.
fn metadata(metadata: &Metadata) -> String {
    let mut entries: Vec<_> = metadata.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
        .iter()
        .fold(String::new(), |mut line, (key, value)| {
            // A string takes everything.
            let _ = write!(line, "[{key}: {}]", value.to_wire());
            line
        })
}

/// Short bytes as they are, long ones by their number and hash.
fn content(bytes: &Bytes) -> String {
    if bytes.len() <= 64 {
        return format!("{bytes:?}");
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{} bytes, hash {:x}", bytes.len(), hasher.finish())
}
