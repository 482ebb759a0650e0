//! The receiving half of a call.

use std::{
    fmt,
    future::poll_fn,
    mem,
    sync::{Arc, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use headwater_core::{
    Time,
    call::{Closed, Ended, EndedBy, Frame, Input, Trailers},
};
use headwater_proto::{Metadata, Status, grpc::framing::PREFIX_BYTES};

use crate::{
    attempts::send_again,
    compression::Incoming,
    interceptor::{Stages, Transform},
    run::{lengths_of, messages_of},
    shared::{Shared, Side, State, register_one},
    transport::Received,
};

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// What it ended with.
    pub status: Status,
    /// Who ended it.
    pub by: EndedBy,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.status, f)
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        error.status
    }
}

/// The call failed on this side.
impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::local(status)
    }
}

impl CallError {
    pub(crate) const fn local(status: Status) -> Self {
        let by = EndedBy::Local;
        Self { status, by }
    }
}

/// Receives a call's messages in batches.
///
/// On the client, dropping it while a [`crate::Sender`] lives leaves the call running unread; on the server the rest of
/// the request is thrown away.
pub struct Receiver {
    call: Arc<Shared>,
    compressed: Option<Box<Compressed>>,
    through: Option<Box<Through>>,
}

/// What a call has whose messages come compressed.
#[derive(Default)]
struct Compressed {
    /// What has to be decompressed, as far as there was no room for it in the last batch.
    incoming: Incoming,
    /// Which messages of the last batch came compressed, in order.
    last: Vec<usize>,
}

/// Where messages go.
struct Target<'a> {
    batch: &'a mut Vec<Bytes>,
    /// For those that may stay together, in front of the batch.
    runs: Option<&'a mut Vec<Bytes>>,
}

/// The transforms of what is received, and what they made of it.
#[derive(Default)]
struct Through {
    stages: Stages,
    headers: Option<Metadata>,
    failed: Option<CallError>,
    /// Client: the end, as they changed it.
    ended: OnceLock<Ended>,
}

impl Receiver {
    pub(crate) fn new(call: Arc<Shared>) -> Self {
        Self {
            call,
            compressed: None,
            through: None,
        }
    }

    /// Has all that is received from here on pass `transform`, after those that were attached before.
    #[must_use]
    pub fn through(mut self, transform: Arc<dyn Transform>) -> Self {
        let through = self.through.get_or_insert_default();
        through.stages.push_inner(transform);
        self
    }

    /// Appends all messages that are there, at least one, waiting for the first, and says how many. 0 is the end: the
    /// client sends no more, or the server has ended the call with OK.
    ///
    /// Not reading is what holds the peer back: at most one such batch is held beside what the transport's window lets in.
    /// Of compressed messages, one batch has up to 64 KiB decompressed, and one message.
    ///
    /// # Errors
    ///
    /// The call failed, after all messages that came before: cancelled, past its deadline, broken, or ended by the server
    /// with a status.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next_batch(&mut self, batch: &mut Vec<Bytes>) -> Result<usize, CallError> {
        poll_fn(|cx| self.poll_next_batch(cx, batch)).await
    }

    /// [`Receiver::next_batch`] as a poll. One task at a time may wait.
    pub fn poll_next_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Vec<Bytes>,
    ) -> Poll<Result<usize, CallError>> {
        self.poll_next(cx, Target { batch, runs: None })
    }

    /// [`Receiver::poll_next_batch`], with what came together still together in `runs`, which precede the batch. Both
    /// have to be empty.
    pub(crate) fn poll_next_runs(
        &mut self,
        cx: &mut Context<'_>,
        runs: &mut Vec<Bytes>,
        batch: &mut Vec<Bytes>,
    ) -> Poll<Result<usize, CallError>> {
        // A transform takes one message at a time.
        let runs = self.through.is_none().then_some(runs);
        self.poll_next(cx, Target { batch, runs })
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        mut target: Target<'_>,
    ) -> Poll<Result<usize, CallError>> {
        let before = target.batch.len();
        loop {
            let compressed = &mut self.compressed;
            let ready = self
                .call
                .look(|state| take_batch(state, target.batch, compressed));
            let result = match ready {
                Some(result) => result,
                None => match ready!(self.poll_inbound(cx, Some(&mut target))) {
                    0 => continue,
                    count => {
                        if let Some(compressed) = &mut self.compressed {
                            compressed.last.clear();
                        }
                        Ok(count)
                    }
                },
            };
            return Poll::Ready(match &mut self.through {
                Some(through) => through.received(&self.call, result, target.batch, before),
                None => result,
            });
        }
    }

    /// Whether a message of the last batch came compressed. The first one that [`Receiver::next_batch`] appended is 0.
    pub fn was_compressed(&self, index: usize) -> bool {
        let compressed = self.compressed.as_ref();
        compressed.is_some_and(|compressed| compressed.last.binary_search(&index).is_ok())
    }

    /// Client: waits for the initial metadata. `None` if the server ended the call without; the end is then with
    /// [`Receiver::next_batch`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn headers(&mut self) -> Option<Metadata> {
        poll_fn(|cx| {
            loop {
                let ready = self.call.look(|state| match &state.headers {
                    Some(headers) => Some(Some(headers.clone())),
                    None => state.ended.as_ref().map(|_| None),
                });
                if let Some(headers) = ready {
                    return Poll::Ready(match &mut self.through {
                        Some(through) => through.headers(&self.call).cloned(),
                        None => headers,
                    });
                }
                if self.poll_inbound(cx, None).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Client: the trailing metadata, once the call is over.
    pub fn trailers(&self) -> Option<Metadata> {
        self.ended().map(|ended| ended.trailers.metadata)
    }

    /// How the call ended, once it is over.
    pub fn ended(&self) -> Option<Ended> {
        match &self.through {
            Some(through) if self.call.side == Side::Client => through.ended(&self.call),
            Some(_) | None => self.call.look(|state| state.ended.clone()),
        }
    }

    /// Ends the call, because what was received cannot be used; the peer is told.
    pub(crate) fn fail(&self, status: Status) {
        self.call.fail(Trailers::failed(status));
    }

    /// Takes in what the transport has, messages straight to where they go, as far as they come first, and says how many
    /// these are. Pending only if there is nothing, and then the waker is registered.
    fn poll_inbound(
        &mut self,
        cx: &mut Context<'_>,
        mut target: Option<&mut Target<'_>>,
    ) -> Poll<usize> {
        if let Some(Compressed { incoming, .. }) = self.compressed.as_deref_mut()
            && !incoming.is_empty()
        {
            incoming.unpack(&self.call);
            return Poll::Ready(0);
        }
        let mut slot = self
            .call
            .inbound
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut received = Received::spare();
        let polled = slot
            .as_mut()
            .map(|inbound| inbound.poll_received(cx, &mut received));
        drop(slot);
        let result = match polled {
            Some(Poll::Ready(result)) => result,
            Some(Poll::Pending) if received.is_empty() => {
                received.keep_spare();
                return self.poll_ended(cx).map(|()| 0);
            }
            Some(Poll::Pending) => Ok(()),
            None if self.call.look(|state| state.ended.is_some()) => return Poll::Ready(0),
            // The stream is taken away only from a call that has ended.
            None => Err(Closed::broken("the stream is gone")),
        };
        if let Err(closed) = &result
            && received.is_empty()
            && send_again(&self.call, closed)
        {
            return Poll::Ready(0);
        }
        let Received { runs, frames } = &mut *received;
        let is_compressed = |frame: &Frame| matches!(frame, Frame::Compressed(_));
        if frames.iter().any(is_compressed) {
            let had_ended = self.call.look(|state| {
                state.kept = None;
                state.ended.is_some()
            });
            let messages = runs.drain(..).flat_map(messages_of).map(Frame::Message);
            let incoming = &mut self.compressed.get_or_insert_default().incoming;
            incoming.push(messages.chain(frames.drain(..)), result.err());
            incoming.unpack(&self.call);
            received.keep_spare();
            if had_ended {
                self.call.drop_inbound();
            }
            return Poll::Ready(0);
        }
        let (count, had_ended) = self.call.act_now(|state, now| {
            let had_ended = state.ended.is_some();
            state.kept = None;
            let mut count = 0;
            for mut run in runs.drain(..) {
                count += take_run(state, &mut run, target.as_deref_mut(), now);
                for message in messages_of(run) {
                    count += take_frame(state, Frame::Message(message), target.as_deref_mut(), now);
                }
            }
            for frame in frames.drain(..) {
                count += take_frame(state, frame, target.as_deref_mut(), now);
            }
            if let Err(closed) = result {
                state.call.handle(Input::Closed(closed), now);
            }
            (count, had_ended)
        });
        received.keep_spare();
        // While it was being polled: nobody else could drop it then.
        if had_ended {
            self.call.drop_inbound();
        }
        Poll::Ready(count)
    }

    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.call.look(|state| {
            register_one(&mut state.receiver_waker, cx.waker());
            state.ended.is_some()
        });
        if !ended {
            return Poll::Pending;
        }
        self.call.drop_inbound();
        Poll::Ready(())
    }
}

/// Takes in the messages of a run, from its front, as far as nothing is to be decided about them and they may stay
/// together; says how many, and leaves the others.
fn take_run(
    state: &mut State,
    run: &mut Bytes,
    target: Option<&mut Target<'_>>,
    now: Time,
) -> usize {
    let Some(Target {
        batch,
        runs: Some(runs),
    }) = target
    else {
        return 0;
    };
    if !batch.is_empty() || !state.messages.is_empty() {
        return 0;
    }
    let (mut count, mut bytes) = (0, 0);
    for length in lengths_of(run) {
        if !state.call.receive_aside(length, now) {
            break;
        }
        (count, bytes) = (count + 1, bytes + PREFIX_BYTES + length);
    }
    if count > 0 {
        runs.push(run.split_to(bytes.min(run.len())));
    }
    count
}

/// Takes in a frame, and says whether it was a message that went straight to where it goes.
fn take_frame(
    state: &mut State,
    frame: Frame,
    target: Option<&mut Target<'_>>,
    now: Time,
) -> usize {
    match (frame, target) {
        (Frame::Message(message), Some(target))
            if state.messages.is_empty() && state.call.receive_aside(message.len(), now) =>
        {
            target.batch.push(message);
            return 1;
        }
        (frame @ Frame::Headers(_), _) => {
            state.call.handle(Input::Frame(frame), now);
            // Taken at once, so that messages behind them need not wait for it.
            state.take_headers();
        }
        (frame, _) => state.call.handle(Input::Frame(frame), now),
    }
    0
}

fn take_batch(
    state: &mut State,
    batch: &mut Vec<Bytes>,
    compressed: &mut Option<Box<Compressed>>,
) -> Option<Result<usize, CallError>> {
    if !state.messages.is_empty() {
        if compressed.is_some() || !state.compressed.is_empty() {
            let last = &mut compressed.get_or_insert_default().last;
            last.clear();
            mem::swap(last, &mut state.compressed);
        }
        let count = state.messages.len();
        batch.extend(state.messages.drain(..));
        return Some(Ok(count));
    }
    if let Some(Ended { trailers, by }) = &state.ended {
        let Trailers { outcome, .. } = trailers;
        return Some(match outcome {
            Ok(()) => Ok(0),
            Err(status) => Err(CallError {
                status: status.clone(),
                by: *by,
            }),
        });
    }
    state.half_closed.then_some(Ok(0))
}

impl Through {
    /// What became of a batch, whose messages are those from `before` on.
    fn received(
        &mut self,
        call: &Shared,
        result: Result<usize, CallError>,
        batch: &mut Vec<Bytes>,
        before: usize,
    ) -> Result<usize, CallError> {
        if let Some(failed) = &self.failed {
            batch.truncate(before);
            return Err(failed.clone());
        }
        self.headers(call);
        match result {
            Ok(count) if count > 0 => self.messages(call, batch, before),
            end if call.side == Side::Client => match self.ended(call) {
                Some(Ended { trailers, by }) => match trailers.outcome {
                    Ok(()) => Ok(0),
                    Err(status) => Err(CallError { status, by }),
                },
                None => end,
            },
            end => {
                let outcome = end.clone().map(|_| ()).map_err(Status::from);
                let metadata = Metadata::new();
                let trailers = self.stages.end(Trailers { outcome, metadata });
                match (end, trailers.outcome) {
                    (Ok(_), Err(status)) => Err(self.fail(call, status)),
                    (end, _) => end,
                }
            }
        }
    }

    fn messages(
        &mut self,
        call: &Shared,
        batch: &mut Vec<Bytes>,
        before: usize,
    ) -> Result<usize, CallError> {
        for index in before..batch.len() {
            match self.stages.message(mem::take(&mut batch[index])) {
                Ok(message) => batch[index] = message,
                Err(status) => {
                    batch.truncate(index);
                    let failed = self.fail(call, status);
                    if index > before {
                        break;
                    }
                    return Err(failed);
                }
            }
        }
        Ok(batch.len() - before)
    }

    /// Ends the call; everything that is read later is this failure.
    fn fail(&mut self, call: &Shared, status: Status) -> CallError {
        let trailers = self.stages.fail(status.clone());
        let told = trailers.outcome.clone().err().unwrap_or(status);
        call.fail(trailers);
        let failed = CallError::local(told);
        self.failed = Some(failed.clone());
        failed
    }

    fn headers(&mut self, call: &Shared) -> Option<&Metadata> {
        if self.headers.is_none() {
            let headers = call.look(|state| state.headers.clone());
            self.headers = headers.map(|headers| self.stages.headers(headers));
        }
        self.headers.as_ref()
    }

    fn ended(&self, call: &Shared) -> Option<Ended> {
        if let Some(ended) = self.ended.get() {
            return Some(ended.clone());
        }
        let Ended { trailers, by } = call.look(|state| state.ended.clone())?;
        let ended = self.ended.get_or_init(|| {
            let trailers = self.stages.end(trailers);
            Ended { trailers, by }
        });
        Some(ended.clone())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(through) = self.through.take() {
            let stages = through.stages.into_stages();
            self.call.act(|state| state.end_stages.extend(stages));
        }
        self.call.drop_receiver();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
