//! The task of one call under a policy: opens its attempts, and ends once one of them counts.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use headwater_core::{
    call::{Closed, EndedBy, Frame, Reached},
    policy::attempts::{AttemptEnd, AttemptId, Attempts, Input, Output, Start},
};
use headwater_proto::Status;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep},
};

use super::{
    budget::Share,
    policies::{Policies, Totals},
    replay::Replay,
    response::{Answer, Response, Tally},
};
use crate::{
    clock::Clock,
    transport::{ClientTransport, Inbound, Outbound, Received, RequestHeaders},
};

/// What a call under a policy needs.
pub(super) struct Driver {
    attempts: Attempts,
    replay: Arc<Replay>,
    headers: RequestHeaders,
    transport: Arc<dyn ClientTransport>,
    tally: Tally,
    totals: Arc<Totals>,
    clock: Clock,
    answer: Option<oneshot::Sender<Answer>>,
    running: Vec<Running>,
    timer: Option<Pin<Box<Sleep>>>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn Inbound>, Status>> + Send>>;

/// An attempt that is under way.
struct Running {
    id: AttemptId,
    stream: Stream,
    committed: bool,
}

enum Stream {
    Opening(Opening),
    Open(Answer),
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            while let Some(output) = this.attempts.poll_output() {
                this.perform(output);
            }
            let Some(answer) = &mut this.answer else {
                return Poll::Ready(());
            };
            let input = match answer.poll_closed(cx) {
                Poll::Ready(()) => {
                    // Nobody waits for the call any more.
                    this.answer = None;
                    Input::Cancelled
                }
                Poll::Pending => ready!(this.poll_input(cx)),
            };
            this.handle(input);
        }
    }
}

impl Driver {
    /// What is to be run, and what is received of the call.
    pub(super) fn new(
        policies: &Policies,
        attempts: Attempts,
        tally: Tally,
        share: Share,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> (Self, Box<dyn Inbound>) {
        let (answer, response) = oneshot::channel();
        let driver = Self {
            attempts,
            replay: Replay::new(outbound, share),
            headers,
            transport: Arc::clone(&policies.transport),
            tally,
            totals: Arc::clone(&policies.totals),
            clock: policies.clock,
            answer: Some(answer),
            running: Vec::new(),
            timer: None,
        };
        (driver, Box::new(Response::Waiting(response)))
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        self.attempts.handle(input, &mut self.tally.throttle(), now);
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Start(start) => self.start(start),
            Output::Cancel(id) => self.forget(id),
            Output::Commit(id) => {
                self.replay.commit(id);
                for attempt in self.running.iter_mut().filter(|it| it.id == id) {
                    attempt.committed = true;
                }
                self.hand_over();
            }
            Output::End(end) => {
                self.reply(match end {
                    AttemptEnd::Status(trailers) => Answer::ended(trailers),
                    AttemptEnd::Closed(closed) => Answer::closed(closed),
                });
            }
        }
    }

    fn start(&mut self, start: Start) {
        let Start { id, previous } = start;
        let Some(outbound) = self.replay.begin(id) else {
            return;
        };
        let mut headers = self.headers.clone();
        if previous > 0 {
            headers.metadata.remove(Start::PREVIOUS_KEY);
            // A number under a valid key is valid.
            let _ = headers
                .metadata
                .append(Start::PREVIOUS_KEY, previous.to_string());
        }
        if id != AttemptId(0)
            && let Some(deadline) = self.replay.deadline()
        {
            headers.timeout = Some(deadline.saturating_duration_since(Instant::now()));
        }
        let transport = Arc::clone(&self.transport);
        let opening = async move { transport.open(headers, outbound).await };
        self.running.push(Running {
            id,
            stream: Stream::Opening(Box::pin(opening)),
            committed: false,
        });
    }

    /// This attempt is over; its stream is reset, if that has not ended.
    fn forget(&mut self, id: AttemptId) {
        self.replay.cancel(id);
        self.running.retain(|attempt| attempt.id != id);
    }

    /// Gives the application the committed attempt, once its stream is there.
    fn hand_over(&mut self) {
        let is_ready = |it: &Running| it.committed && matches!(it.stream, Stream::Open(_));
        let Some(index) = self.running.iter().position(is_ready) else {
            return;
        };
        let Stream::Open(mut answer) = self.running.swap_remove(index).stream else {
            return;
        };
        // The machine does not hear of what comes from here on, so the end is counted apart.
        self.tally
            .count(&answer.received.frames, answer.closed.as_ref());
        let inbound = answer.inbound.take();
        answer.inbound = inbound.map(|inbound| self.tally.clone().counting(inbound));
        self.reply(answer);
    }

    fn reply(&mut self, answer: Answer) {
        // Before the application can see that the call is over.
        self.totals.add(self.attempts.take_counters());
        if let Some(waiting) = self.answer.take() {
            // If nobody waits, the stream is dropped, which resets it.
            let _ = waiting.send(answer);
        }
    }

    /// The next thing that happens to an attempt, to the buffer or to the clock.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        if let Poll::Ready(sent) = self.replay.poll_full(cx) {
            for (attempt, messages) in sent {
                self.handle(Input::Sent { attempt, messages });
            }
            return Poll::Ready(Input::BufferFull);
        }
        for attempt in &mut self.running {
            if let Poll::Ready(input) = attempt.poll(cx) {
                return Poll::Ready(self.heard(input));
            }
        }
        self.poll_timer(cx)
    }

    fn heard(&mut self, heard: Heard) -> Input {
        match heard {
            Heard::Headers(id) => Input::Headers(id),
            Heard::Ended(id, end) => {
                self.forget(id);
                Input::Ended(id, end)
            }
            Heard::Committed => {
                self.hand_over();
                Input::Timeout
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let due = self.attempts.poll_timeout();
        let Some(at) = due.and_then(|due| self.clock.instant(due.at)) else {
            self.timer = None;
            return Poll::Pending;
        };
        let now = Instant::now();
        if at <= now {
            self.timer = None;
            return Poll::Ready(Input::Timeout);
        }
        // Timers tick in milliseconds, so one may come a little early.
        let early = self.timer.as_ref().is_some_and(|timer| timer.is_elapsed());
        let wake = if early { now + TICK } else { at };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
        if timer.deadline() != wake {
            timer.as_mut().reset(wake);
        }
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

const TICK: Duration = Duration::from_millis(1);

impl Drop for Driver {
    /// Also when the call was cancelled, or the runtime stops.
    fn drop(&mut self) {
        for attempt in mem::take(&mut self.running) {
            self.replay.cancel(attempt.id);
        }
        self.totals.add(self.attempts.take_counters());
    }
}

/// What became of an attempt.
enum Heard {
    Headers(AttemptId),
    Ended(AttemptId, AttemptEnd),
    /// The call was committed to it before it was open, and now it is, or cannot be.
    Committed,
}

impl Running {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        if let Stream::Opening(opening) = &mut self.stream {
            let opened = ready!(opening.as_mut().poll(cx));
            self.stream = Stream::Open(match opened {
                Ok(inbound) => Answer::open(inbound),
                Err(status) => Answer::closed(unopened(status)),
            });
            if self.committed {
                return Poll::Ready(Heard::Committed);
            }
        }
        let Stream::Open(answer) = &mut self.stream else {
            return Poll::Pending;
        };
        if let Some(inbound) = &mut answer.inbound {
            answer.closed = ready!(inbound.poll_received(cx, &mut answer.received)).err();
        }
        let Received { runs, frames } = &answer.received;
        Poll::Ready(match frames.first() {
            _ if !runs.is_empty() => Heard::Headers(self.id),
            Some(Frame::Headers(_) | Frame::Message(_) | Frame::Compressed(_)) => {
                Heard::Headers(self.id)
            }
            Some(Frame::End(trailers)) => {
                Heard::Ended(self.id, AttemptEnd::Status((**trailers).clone()))
            }
            None => {
                let closed = answer.closed.take();
                let closed = closed.unwrap_or_else(Closed::without_status);
                Heard::Ended(self.id, AttemptEnd::Closed(closed))
            }
        })
    }
}

/// A transport that opens no stream has a reason, which the policy judges by its code. It is not tried again without end:
/// what can be opened elsewhere, the transport has opened elsewhere.
const fn unopened(status: Status) -> Closed {
    Closed {
        status,
        by: EndedBy::Transport,
        reached: Reached::Handler,
    }
}
