//! One call's machine behind its mutex, and everyone who waits for it.
//!
//! Senders push into it from any thread, the transport pulls frames out ([`crate::Outbound`]), and the receiver feeds it
//! what came. Wakers and hooks run after the mutex is released.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use headwater_core::{
    Time,
    call::{
        Call, CallConfig, Closed, Credit, Encoding, Ended, Event, Frame, Input, Output, SendError,
        Shape, Trailers,
    },
};
use headwater_proto::{Code, Metadata, Status, grpc::framing::PREFIX_BYTES};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::Instant};

use crate::{
    after::After, attempts::Kept, clock::Clock, handlers::HandlerPermit, interceptor::Stage,
    registry::Registration, run::Run, transport::Inbound, unsent::Unsent,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

pub(crate) struct Shared {
    pub(crate) side: Side,
    clock: Clock,
    state: Mutex<State>,
    /// Apart from the state, because it is polled without it. Taken when the call ends, which resets the stream.
    pub(crate) inbound: Mutex<Option<Box<dyn Inbound>>>,
    senders: AtomicUsize,
    /// Whether the initial metadata have passed the sender's transforms, if it has any.
    pub(crate) headers_sent: Once,
    /// Tells those who wait for the end of the call, or for the server to stop. It forgets who waits no longer, however
    /// many of them a long call has.
    over: Notify,
    pub(crate) receive_message_bytes_max: usize,
    pub(crate) shape: Shape,
    /// How long the transport may take nothing of a call that has ended.
    pub(crate) unread_timeout: Option<Duration>,
}

pub(crate) struct State {
    pub(crate) call: Call,
    pub(crate) transmit: Unsent,
    /// Client: what was sent so far, while it may have to be sent again.
    pub(crate) kept: Option<Kept>,
    /// Client: the number of the stream on which it is sent.
    pub(crate) stream: u32,
    /// Messages that the transport has taken, of all that were sent.
    pub(crate) taken: u64,
    /// They are not counted: what took them keeps them for more than one attempt.
    pub(crate) repeatable: bool,
    /// It has taken some since the wakers were looked at.
    took: bool,
    pub(crate) reset: Option<Code>,
    /// What is sent goes nowhere: the peer reads no more, and that is its right.
    pub(crate) discarding: bool,
    pub(crate) headers: Option<Metadata>,
    pub(crate) messages: VecDeque<Bytes>,
    /// Which of `messages` came compressed, in order.
    pub(crate) compressed: Vec<usize>,
    pub(crate) half_closed: bool,
    pub(crate) ended: Option<Ended>,
    /// The server is stopping; the handler may still finish.
    pub(crate) stopping: bool,
    /// This side ended the call over the handler's head.
    pub(crate) withdrawn: bool,
    /// Transforms that are told when the call ends, unless they were before.
    pub(crate) end_stages: Vec<Arc<Stage>>,
    pub(crate) receiver_dropped: bool,
    pub(crate) transport_waker: Option<Waker>,
    pub(crate) receiver_waker: Option<Waker>,
    pub(crate) writable_wakers: Vec<Waker>,
    /// For the next time that the transport takes messages.
    pub(crate) taken_wakers: Vec<Waker>,
    /// Of the transport, a task for each attempt.
    pub(crate) reset_wakers: Vec<Waker>,
    timer: Option<AbortHandle>,
    registration: Option<Registration>,
    /// Of the handler, until it has ended the call or itself.
    pub(crate) permit: Option<HandlerPermit>,
}

impl Shared {
    pub(crate) fn new(
        side: Side,
        config: &CallConfig,
        clock: Clock,
        unread_timeout: Option<Duration>,
    ) -> Arc<Self> {
        // What has no deadline has no use for the time.
        let now = config.timeout.map_or(Time::ZERO, |_| clock.now());
        let call = match side {
            Side::Client => Call::client(config, now),
            Side::Server => Call::server(config, now),
        };
        Arc::new(Self {
            receive_message_bytes_max: config.receive_message_bytes_max,
            shape: config.shape,
            unread_timeout,
            side,
            clock,
            state: Mutex::new(State {
                call,
                transmit: Unsent::default(),
                kept: None,
                stream: 0,
                taken: 0,
                repeatable: false,
                took: false,
                reset: None,
                discarding: false,
                headers: None,
                messages: VecDeque::new(),
                compressed: Vec::new(),
                half_closed: false,
                ended: None,
                stopping: false,
                withdrawn: false,
                end_stages: Vec::new(),
                receiver_dropped: false,
                transport_waker: None,
                receiver_waker: None,
                writable_wakers: Vec::new(),
                taken_wakers: Vec::new(),
                reset_wakers: Vec::new(),
                timer: None,
                registration: None,
                permit: None,
            }),
            inbound: Mutex::new(None),
            senders: AtomicUsize::new(0),
            headers_sent: Once::new(),
            over: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that can panic, of which there are none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state without changing the machine.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.lock())
    }

    /// Acts on the machine, does what it says, and wakes who waits.
    pub(crate) fn act<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = act(&mut state);
        let after = state.settle();
        drop(state);
        self.run(after);
        result
    }

    /// Sends a message the shortest way, and takes it, if nothing is to be decided about it. `false` if something is.
    pub(crate) fn send_plain(&self, message: &mut Bytes) -> Result<bool, SendError> {
        let mut state = self.lock();
        let sent = state.send_plain(message)?;
        let waker = sent.then(|| state.transport_waker.take()).flatten();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(sent)
    }

    /// Sends the messages of a run the shortest way, from its front, as far as nothing is to be decided about them.
    /// `false` if something is, of the first that is left.
    pub(crate) fn send_run(&self, run: &mut Run) -> Result<bool, SendError> {
        let mut state = self.lock();
        let sent = state.send_run(run);
        let waker = if state.transmit.is_empty() {
            None
        } else {
            state.transport_waker.take()
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        sent
    }

    /// As [`Shared::act`], with the time; which is read only if the call has a deadline, for else it does not matter.
    pub(crate) fn act_now<R>(&self, act: impl FnOnce(&mut State, Time) -> R) -> R {
        let clock = self.clock;
        self.act(|state| {
            let timed = state.call.deadline().is_some();
            let now = if timed { clock.now() } else { Time::ZERO };
            act(state, now)
        })
    }

    fn run(&self, after: After) {
        if let Some(rare) = after.rare {
            let ended = rare.ended;
            if ended {
                self.drop_inbound();
            }
            rare.run();
            if ended {
                self.over.notify_waiters();
            }
        }
        if let Some(waker) = after.transport {
            waker.wake();
        }
    }

    /// Drops the stream of a call that has ended.
    pub(crate) fn drop_inbound(&self) {
        // Whoever holds this lock is polling, and drops it then, or has just set it, and looks whether the call has ended.
        let inbound = self.inbound.try_lock();
        let inbound = inbound.ok().and_then(|mut slot| slot.take());
        drop(inbound);
    }

    /// Ends the call if it has not ended; the peer is told.
    pub(crate) fn cancel(&self, status: Status) {
        self.act(|state| state.call.cancel(status));
    }

    /// Ends a server's call over its handler's head, if it has not ended; the peer is told the status after all that was
    /// sent before.
    pub(crate) fn withdraw(&self, trailers: Trailers) {
        self.act(|state| {
            if state.call.finish(trailers).is_ok() {
                state.withdrawn = true;
            }
        });
    }

    /// Ends a call that a transform has failed, and tells the peer what can be told.
    pub(crate) fn fail(&self, trailers: Trailers) {
        match (self.side, trailers.outcome) {
            (Side::Client, Err(status)) => self.cancel(status),
            (Side::Client, Ok(())) => {}
            (Side::Server, outcome) => {
                let metadata = trailers.metadata;
                self.withdraw(Trailers { outcome, metadata });
            }
        }
    }

    /// The stream is gone.
    pub(crate) fn close(&self, closed: Closed) {
        self.act_now(|state, now| state.call.handle(Input::Closed(closed), now));
    }

    /// The deadline may have come.
    pub(crate) fn timeout(&self) {
        self.act_now(|state, now| state.call.handle(Input::Timeout, now));
    }

    /// Nobody takes what is sent on this stream from now on; senders do not block on it.
    pub(crate) fn discard(&self, stream: u32) {
        self.act_now(|state, now| {
            if state.stream != stream {
                return;
            }
            state.discarding = true;
            let credit = state.transmit.clear();
            state.call.handle(Input::Credit(credit), now);
        });
    }

    /// The server has begun to stop: handlers are told, and may still finish.
    pub(crate) fn begin_stopping(&self) {
        self.look(|state| state.stopping = true);
        self.over.notify_waiters();
    }

    /// Waits until `look` finds something, which comes with the end of the call or the stopping of the server.
    pub(crate) async fn when_over<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // From here on it is told, also before it is polled.
            let over = self.over.notified();
            if let Some(found) = self.look(|state| look(state)) {
                return found;
            }
            over.await;
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let at = self.look(|state| state.call.deadline())?;
        self.clock.instant(at)
    }

    /// Has the deadline fire whatever else is polled, as long as this runtime lives.
    pub(crate) fn start_timer(self: &Arc<Self>, runtime: &Handle) {
        let Some(at) = self.deadline().filter(|_| !self.is_ended()) else {
            return;
        };
        let call = Arc::downgrade(self);
        let timer = runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(call) = Weak::upgrade(&call) {
                call.end_at(at).await;
            }
        });
        self.act(|state| state.timer = Some(timer.abort_handle()));
    }

    /// Waits for the deadline, which is `at`, and ends the call.
    pub(crate) async fn end_at(&self, at: Instant) {
        tokio::time::sleep_until(at).await;
        loop {
            self.timeout();
            if self.is_ended() {
                return;
            }
            // Timers tick in milliseconds, so one may come a little early.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn is_ended(&self) -> bool {
        self.look(|state| state.ended.is_some())
    }

    pub(crate) fn set_registration(&self, registration: Registration) {
        self.act(|state| state.registration = Some(registration));
    }

    pub(crate) fn set_inbound(&self, inbound: Box<dyn Inbound>) {
        let mut slot = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        let before = slot.replace(inbound);
        drop(slot);
        drop(before);
        // It may have ended in the meantime.
        if self.is_ended() {
            self.drop_inbound();
        }
    }

    pub(crate) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// One sender fewer; the last one leaves nobody who could end the call.
    pub(crate) fn drop_sender(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.abandoned();
        }
    }

    pub(crate) fn drop_receiver(&self) {
        self.look(|state| state.receiver_dropped = true);
        if self.side == Side::Server {
            let mut slot = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
            let inbound = slot.take();
            drop(slot);
            drop(inbound);
            return;
        }
        if self.senders.load(Ordering::Acquire) == 0 {
            self.abandoned();
        }
    }

    fn abandoned(&self) {
        self.act(|state| {
            if state.call.is_ended() {
                return;
            }
            match self.side {
                Side::Client if state.receiver_dropped => {
                    let message = "both halves of the call were dropped";
                    state.call.cancel(Status::new(Code::Cancelled, message));
                }
                Side::Client => {}
                Side::Server => {
                    let message = "the handler ended without a status";
                    let status = Status::new(Code::Unknown, message);
                    // It may have ended its responses otherwise.
                    let _ = state.finish(Trailers::failed(status));
                }
            }
        });
    }
}

impl State {
    /// Gives up what is left of the answer of a call that has ended.
    pub(crate) fn give_up(&mut self) {
        self.transmit.clear();
        self.reset.get_or_insert(Code::Cancelled);
    }

    /// Ends a server's call for its handler, which counts no longer: with the answer, the client knows that it may call
    /// again. The handler of a call that has ended otherwise goes on, and counts until it is done.
    pub(crate) fn finish(&mut self, trailers: Trailers) -> Result<(), SendError> {
        self.call.finish(trailers)?;
        self.permit = None;
        Ok(())
    }

    /// [`Shared::send_plain`], without waking the transport.
    pub(crate) fn send_plain(&mut self, message: &mut Bytes) -> Result<bool, SendError> {
        if self.discarding || self.call.send_encoding() != Encoding::Identity {
            return Ok(false);
        }
        if !self.send_aside(message.len())? {
            return Ok(false);
        }
        let message = Frame::Message(mem::take(message));
        self.keep(&message);
        self.transmit.push(message);
        Ok(true)
    }

    /// Counts a message that goes to the transport from here. `false` if something is to be decided about it.
    fn send_aside(&mut self, message_bytes: usize) -> Result<bool, SendError> {
        let aside = self.call.send_aside(message_bytes)?;
        if aside && let Some(Output::Transmit(headers)) = self.call.poll_output() {
            self.transmit.push(headers);
        }
        Ok(aside)
    }

    /// Keeps what is sent, if it may have to be sent again.
    fn keep(&mut self, frame: &Frame) {
        if let Some(kept) = &mut self.kept
            && !kept.keep(frame)
        {
            self.kept = None;
        }
    }

    /// [`Shared::send_run`], without waking the transport.
    fn send_run(&mut self, run: &mut Run) -> Result<bool, SendError> {
        if self.discarding || self.call.send_encoding() != Encoding::Identity {
            return Ok(run.is_empty());
        }
        let (mut messages, mut bytes) = (0, 0);
        let mut sent = Ok(true);
        for length in run.lengths() {
            match self.send_aside(length) {
                Ok(true) => (messages, bytes) = (messages + 1, bytes + PREFIX_BYTES + length),
                other => {
                    sent = other;
                    break;
                }
            }
        }
        if messages > 0 {
            self.kept = None;
            self.transmit.push_run(run, messages, bytes);
        }
        sent
    }

    /// The transport has taken this much.
    pub(crate) fn took(&mut self, taken: Credit, now: Time) {
        if !self.repeatable {
            self.taken = self.taken.saturating_add(taken.messages as u64);
            self.took = taken.messages > 0;
        }
        self.call.handle(Input::Credit(taken), now);
    }

    /// Takes the initial metadata, if the machine has just been given them.
    pub(crate) fn take_headers(&mut self) {
        let headers = |output: &Output| matches!(output, Output::Event(Event::Headers(_)));
        if let Some(Output::Event(Event::Headers(headers))) = self.call.poll_output_if(headers) {
            self.headers = Some(headers);
        }
    }

    /// Does what the machine says, as far as it can be done under the mutex.
    fn settle(&mut self) -> After {
        let mut after = After::default();
        loop {
            let discarded = self.drain(&mut after);
            if discarded.messages == 0 {
                break;
            }
            // Without the time: credit is told only what it was told before.
            self.call.handle(Input::Credit(discarded), Time::ZERO);
        }
        if mem::take(&mut self.took) {
            after.wake(&mut self.taken_wakers);
        }
        if !self.transmit.is_empty() || self.reset.is_some() || self.ended.is_some() {
            after.transport = self.transport_waker.take();
        }
        if self.ended.is_some() {
            self.settle_ended(&mut after);
        }
        after
    }

    /// Gives away what a call that has ended has no use for.
    fn settle_ended(&mut self, after: &mut After) {
        if self.registration.is_some() {
            after.rare().registration = self.registration.take();
        }
        if self.timer.is_some() {
            after.rare().timer = self.timer.take();
        }
        if let Some(ended) = &self.ended
            && !self.end_stages.is_empty()
        {
            let stages = mem::take(&mut self.end_stages);
            after.rare().end_stages = Some((stages, ended.trailers.clone()));
        }
    }

    /// Does what the machine says, and says how much was thrown away.
    fn drain(&mut self, after: &mut After) -> Credit {
        let mut discarded = Credit::default();
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::Transmit(frame) => {
                    self.keep(&frame);
                    if self.discarding {
                        discarded = sum(discarded, frame.credit());
                    } else {
                        self.transmit.push(frame);
                    }
                }
                // Only a call with a receive window has these, and no transport so far carries them.
                Output::Credit(_) => {}
                Output::Reset(code) => {
                    self.transmit.clear();
                    self.reset = Some(code);
                }
                Output::Event(event) => self.on_event(event, after),
            }
        }
        discarded
    }

    fn on_event(&mut self, event: Event, after: &mut After) {
        match event {
            Event::Headers(metadata) => self.headers = Some(metadata),
            Event::Message(message) => self.messages.push_back(message),
            Event::Decompressed { message, .. } => {
                self.compressed.push(self.messages.len());
                self.messages.push_back(message);
            }
            Event::HalfClosed => self.half_closed = true,
            Event::Writable => after.wake(&mut self.writable_wakers),
            Event::Ended(ended) => {
                self.ended = Some(*ended);
                self.kept = None;
                let rare = after.rare();
                rare.ended = true;
                rare.receiver = self.receiver_waker.take();
                after.wake(&mut self.writable_wakers);
                after.wake(&mut self.taken_wakers);
                after.wake(&mut self.reset_wakers);
            }
            // Events of a later core that this driver does not know change nothing here.
            _ => {}
        }
    }
}

pub(crate) const fn sum(one: Credit, other: Credit) -> Credit {
    Credit {
        messages: one.messages.saturating_add(other.messages),
        bytes: one.bytes.saturating_add(other.bytes),
    }
}

/// Registers a waker once.
pub(crate) fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// Registers the only waker of its kind.
pub(crate) fn register_one(slot: &mut Option<Waker>, waker: &Waker) {
    if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
        *slot = Some(waker.clone());
    }
}
