//! The machine itself.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{fmt, time::Duration};

use headwater_proto::v1::{
    self, ack::Answer, command::Operation, service_frame::Frame as Received,
    upstream_frame::Frame as Sent,
};

use super::{
    AnswerError, CommandError, CommandFailure, CommandId, Config, Delivery, Input, Output,
    Violation,
    commands::Commands,
    events::{event_bytes, shown_state, waited_for, whose},
    lanes::{Finished, Kind, Lanes, Queued, Started},
    ranges::take_ranges,
    states::States,
};
use crate::time::{Deadline, Time, Why};

/// How many commands may wait for results if the service does not say.
const COMMANDS_DEFAULT: u32 = 1024;

/// The application's end of a link, over its breaks: one registration at a time, one call at a time.
///
/// # What it promises
///
/// - At most one handler of a connection runs at once, across breaks too, and its events start in the order in which they
///   came; what still waits when a link breaks is the service's to redeliver, except for notices, which are kept.
/// - An event whose client was told that it failed, because it waited behind a slow handler for longer than the service
///   does ([`v1::Event::time_left_ms`]), is settled and not started.
/// - Acks and commands are numbered from 1 without holes, in the order of the calls.
/// - Each command has one [`Output::Result`]. Those without a result when the link breaks end as
///   [`CommandFailure::Unknown`].
/// - What a service can make it hold is bounded by [`Config::window_events`] and [`Config::window_bytes`].
#[derive(Debug)]
pub struct Link {
    config: Config,
    state: State,
    now: Time,
    outputs: VecDeque<Output>,
    lanes: Lanes,
    states: States,
    commands: Commands,
    limits: v1::Limits,
    /// Counts the calls, so that what belongs to an earlier one is known.
    link: u64,
    seq: u64,
    settled: Vec<u64>,
    held_events: u32,
    held_bytes: u64,
    drain: Drain,
    resume: Option<Secret<v1::Resume>>,
    skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Registering {
        until: Time,
    },
    Registered,
    /// Told to close; waits for that.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    Unasked,
    Asked,
    /// Asked, and the driver was told that nothing is under way.
    Over,
}

/// Kept out of `Debug`.
struct Secret<T>(T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl Link {
    /// A link that is not open yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Closed,
            now: Time::ZERO,
            outputs: VecDeque::new(),
            lanes: Lanes::default(),
            states: States::default(),
            commands: Commands::default(),
            limits: v1::Limits::default(),
            link: 0,
            seq: 0,
            settled: Vec::new(),
            held_events: 0,
            held_bytes: 0,
            drain: Drain::Unasked,
            resume: None,
            skipped: 0,
        }
    }

    /// Takes in what happened. An input that does not fit the state, such as a frame after the call has ended, has no
    /// effect.
    pub fn handle(&mut self, input: Input, now: Time) {
        self.now = now;
        match input {
            Input::Opened => self.opened(),
            Input::Frame(frame) => self.frame(frame),
            Input::Lost { seq } => self.lost(seq),
            Input::Closed => self.closed(),
            Input::Timeout => self.timeout(),
        }
    }

    /// What to do next; `None` says that nothing is left to do.
    ///
    /// What was settled and which results were seen is told here, when all else is drained: drain after a batch of
    /// inputs and verbs, not after each.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.poll_output_in_batch() {
            return Some(output);
        }
        if self.state != State::Registered {
            return None;
        }
        if !self.settled.is_empty() {
            let ranges = take_ranges(&mut self.settled);
            return Some(transmit(Sent::Settled(v1::Settled { ranges })));
        }
        if let Some(seq) = self.commands.take_seen() {
            return Some(transmit(Sent::ResultsThrough(v1::ResultsThrough { seq })));
        }
        let idle = self.lanes.is_empty() && self.commands.is_empty();
        if self.drain != Drain::Asked || !idle {
            return None;
        }
        self.drain = Drain::Over;
        Some(Output::Drained)
    }

    /// As [`Link::poll_output`], without what is told once for a batch: for drivers that drain between the inputs of one,
    /// so that little of it is held at once.
    pub fn poll_output_in_batch(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Link::handle`] with [`Input::Timeout`], and why.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if !self.outputs.is_empty() {
            return Some(Deadline {
                at: self.now,
                why: Why::Drain,
            });
        }
        match self.state {
            State::Registering { until } => Some(Deadline {
                at: until,
                why: Why::Register,
            }),
            State::Closed | State::Registered | State::Failed => None,
        }
    }

    /// Whether a registration is up, so that commands may be given.
    pub fn is_registered(&self) -> bool {
        self.state == State::Registered
    }

    /// Whether [`Link::command`] would not be refused as [`CommandError::TooMany`] now.
    pub fn may_command(&self) -> bool {
        self.state != State::Registered
            || self.commands.unconfirmed() < self.limits.commands
            || self.commands.has_seen()
    }

    /// How many events, and how many bytes of payload, the application holds and has not ended.
    pub const fn held(&self) -> (u32, u64) {
        (self.held_events, self.held_bytes)
    }

    /// How many frames and events were skipped because this version does not know them.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Lets the client of a connect in. Returns the number of the answer.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing is sent then.
    pub fn accept(&mut self, delivery: Delivery, accept: v1::Accept) -> Result<u64, AnswerError> {
        self.answer(delivery, Kind::Connect, Answer::Accept(accept))
    }

    /// Refuses the client of a connect. Returns the number of the answer.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing is sent then.
    pub fn reject(&mut self, delivery: Delivery, status: v1::Status) -> Result<u64, AnswerError> {
        let reject = v1::Reject {
            status: Some(status),
        };
        self.answer(delivery, Kind::Connect, Answer::Reject(reject))
    }

    /// Says that a message was handled. Returns the number of the answer.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing is sent then.
    pub fn reply(&mut self, delivery: Delivery, reply: v1::Reply) -> Result<u64, AnswerError> {
        self.answer(delivery, Kind::Message, Answer::Reply(reply))
    }

    /// Says that a message could not be handled. Returns the number of the answer.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing is sent then.
    pub fn fail(&mut self, delivery: Delivery, status: v1::Status) -> Result<u64, AnswerError> {
        self.answer(delivery, Kind::Message, Answer::Error(status))
    }

    /// Says that the handler has ended: the event is settled, and the next one of its connection starts that is not late
    /// by the time of the latest input; after a while without one, [`Input::Timeout`] brings it. Follows the answer where
    /// there is one to give, at once or later.
    ///
    /// # Errors
    ///
    /// [`AnswerError::NotRunning`], and [`AnswerError::Unanswered`] if the service still waits for the answer: nothing
    /// changes then.
    pub fn done(&mut self, delivery: Delivery) -> Result<(), AnswerError> {
        let link = self.link;
        let running = self
            .lanes
            .running(delivery)
            .ok_or(AnswerError::NotRunning)?;
        if running.link == link && running.kind != Kind::Notice && running.answer.is_none() {
            return Err(AnswerError::Unanswered);
        }
        let finished = self.lanes.finish(delivery, self.now);
        let Finished { ended, late, next } = finished.ok_or(AnswerError::NotRunning)?;
        if ended.link == link {
            self.settle(ended.seq, ended.bytes);
        }
        // What came on an earlier link and was waited for went with it.
        for late in late {
            self.settle(late.event.seq, late.bytes);
        }
        if let Some(next) = next {
            self.start(next);
        }
        Ok(())
    }

    /// Gives a command, which takes effect after all answers and commands before it.
    ///
    /// # Errors
    ///
    /// See [`CommandError`]; nothing is sent then.
    pub fn command(
        &mut self,
        operation: Operation,
        trace: Option<v1::TraceContext>,
    ) -> Result<CommandId, CommandError> {
        if self.state != State::Registered {
            return Err(CommandError::NotRegistered);
        }
        if self.commands.unconfirmed() >= self.limits.commands {
            // What was seen and not told yet frees room, if told first.
            let seq = self.commands.take_seen().ok_or(CommandError::TooMany)?;
            self.transmit(Sent::ResultsThrough(v1::ResultsThrough { seq }));
        }
        let command = Box::new(v1::Command {
            seq: self.seq + 1,
            trace,
            operation: Some(operation),
        });
        if !fits(&*command, self.limits.frame_bytes) {
            return Err(CommandError::TooLarge);
        }
        self.seq = command.seq;
        let id = self.commands.sent(command.seq);
        self.transmit(Sent::Command(command));
        Ok(id)
    }

    /// Presents a fresh token on the live link. Without effect when none is up: the next call brings its own.
    pub fn authenticate(&mut self, token: impl Into<alloc::string::String>) {
        if self.state == State::Registered {
            let token = token.into();
            self.transmit(Sent::Authenticate(v1::Authenticate { token }));
        }
    }

    /// Asks for no new events. What is under way is still answered; [`Output::Drained`] says when that is over.
    /// Idempotent; over with the call, and without effect when no registration is up.
    pub fn drain(&mut self) {
        if self.drain != Drain::Unasked || self.state != State::Registered {
            return;
        }
        self.drain = Drain::Asked;
        self.transmit(Sent::Drain(v1::Drain::default()));
    }

    fn opened(&mut self) {
        if self.state != State::Closed {
            return;
        }
        let until = self.now + self.config.register_timeout;
        self.state = State::Registering { until };
        let register = v1::Register {
            hub: self.config.hub.clone(),
            app: self.config.app.clone(),
            events: self.config.events.clone(),
            window: Some(self.config.window()),
            resume: self.resume.as_ref().map(|secret| secret.0.clone()),
            app_version: self.config.app_version.clone(),
        };
        self.transmit(Sent::Register(Box::new(register)));
    }

    fn frame(&mut self, frame: v1::ServiceFrame) {
        match (self.state, frame.frame) {
            (State::Closed | State::Failed, _) => {}
            (_, None) => self.skipped += 1,
            (State::Registering { .. }, Some(Received::Registered(registered))) => {
                self.registered(*registered);
            }
            (State::Registering { .. }, Some(_))
            | (State::Registered, Some(Received::Registered(_))) => {
                self.violated(Violation::OutOfOrder);
            }
            (State::Registered, Some(Received::Event(event))) => self.event(event),
            (State::Registered, Some(Received::Result(result))) => self.result(result),
            (State::Registered, Some(Received::Refused(refused))) => self.refused(refused),
            (State::Registered, Some(Received::Gap(v1::Gap { from, to }))) => {
                self.outputs.push_back(Output::Gap { from, to });
            }
            (State::Registered, Some(Received::Cancel(cancel))) => self.cancel(&cancel),
            (State::Registered, Some(Received::Drain(drain))) => {
                let reconnect_within = Duration::from_millis(drain.reconnect_within_ms.into());
                self.outputs
                    .push_back(Output::Draining { reconnect_within });
            }
        }
    }

    fn registered(&mut self, registered: v1::Registered) {
        let v1::Registered {
            registration,
            resume_token,
            epoch: _,
            resumed,
            applied,
            limits,
        } = registered;
        let resumed = resumed && self.resume.is_some();
        self.state = State::Registered;
        // Nothing is kept to be sent again: what was not applied is redelivered, or unknown to its caller.
        self.seq = if resumed { applied } else { 0 };
        self.resume = Some(Secret(v1::Resume {
            registration,
            token: resume_token,
        }));
        self.limits = limits.unwrap_or_default();
        if self.limits.commands == 0 {
            self.limits.commands = COMMANDS_DEFAULT;
        }
        if resumed {
            // They come again.
            self.lanes.retain(|_| false);
        }
        self.outputs.push_back(Output::Registered { resumed });
    }

    fn event(&mut self, event: Box<v1::Event>) {
        let bytes = event_bytes(&event);
        let window = self.config.window();
        if self.held_events >= window.events || self.held_bytes >= window.bytes {
            return self.violated(Violation::WindowExceeded);
        }
        self.held_events += 1;
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        let Some((connection, number, kind)) = whose(&event) else {
            self.skipped += 1;
            return self.settle(event.seq, bytes);
        };
        let until = waited_for(&event).filter(|_| kind != Kind::Notice);
        let until = until.map(|left| self.now + left);
        let queued = Queued {
            event,
            connection,
            number,
            kind,
            bytes,
            link: self.link,
            until,
            cancelled: false,
        };
        if self.drain == Drain::Over {
            self.drain = Drain::Asked;
        }
        if let Some(started) = self.lanes.arrive(queued) {
            self.start(started);
        }
    }

    fn result(&mut self, result: v1::Result) {
        let Some(command) = self.commands.ended(result.seq) else {
            self.skipped += 1;
            return;
        };
        let outcome = match result.status {
            None => Ok(result.value),
            Some(status) => Err(CommandFailure::Failed(status.into())),
        };
        self.outputs.push_back(Output::Result { command, outcome });
    }

    fn lost(&mut self, seq: u64) {
        if let Some(command) = self.commands.ended(seq) {
            self.outputs.push_back(Output::Result {
                command,
                outcome: Err(CommandFailure::Unknown),
            });
        }
    }

    fn refused(&mut self, refused: v1::Refused) {
        let link = self.link;
        let delivery = self.lanes.answered_with(refused.seq, link);
        self.states.refused(refused.seq);
        self.outputs.push_back(Output::Refused {
            delivery,
            seq: refused.seq,
            status: refused.status.unwrap_or_default().into(),
        });
    }

    fn cancel(&mut self, cancel: &v1::Cancel) {
        let Some(id) = &cancel.id else {
            self.skipped += 1;
            return;
        };
        if let Some(delivery) = self.lanes.cancel(id, self.link) {
            self.outputs.push_back(Output::Cancelled(delivery));
        }
    }

    fn closed(&mut self) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.drain = Drain::Unasked;
        self.link += 1;
        // Frames that were not sent are for a call that is gone.
        self.outputs
            .retain(|output| !matches!(output, Output::Transmit(_) | Output::Close(_)));
        self.lanes.retain(|queued| queued.kind == Kind::Notice);
        self.settled.clear();
        self.states.clear();
        self.held_events = 0;
        self.held_bytes = 0;
        for command in self.commands.abandon() {
            self.outputs.push_back(Output::Result {
                command,
                outcome: Err(CommandFailure::Unknown),
            });
        }
    }

    fn timeout(&mut self) {
        match self.state {
            State::Registering { until } if until <= self.now => {
                self.violated(Violation::NoAnswerToRegister);
            }
            State::Registering { .. } | State::Closed | State::Registered | State::Failed => {}
        }
    }

    fn violated(&mut self, violation: Violation) {
        self.state = State::Failed;
        self.outputs.push_back(Output::Close(violation));
    }

    fn start(&mut self, started: Started) {
        let Started {
            delivery,
            mut event,
            cancelled,
        } = started;
        let connection = event.id.as_ref().map_or("", |id| &id.connection_id);
        let shown = shown_state(&event);
        if let Some(state) = self.states.instead_of(connection, &shown, self.now) {
            event.context.get_or_insert_default().state = state;
        }
        if matches!(event.event, Some(v1::event::Event::Disconnected(_))) {
            self.states.forget(connection);
        }
        self.outputs.push_back(Output::Start { delivery, event });
        if cancelled {
            self.outputs.push_back(Output::Cancelled(delivery));
        }
    }

    fn answer(
        &mut self,
        delivery: Delivery,
        kind: Kind,
        answer: Answer,
    ) -> Result<u64, AnswerError> {
        let registered = self.state == State::Registered;
        let link = self.link;
        let frame_bytes_max = self.limits.frame_bytes;
        let seq = self.seq + 1;
        let running = self
            .lanes
            .running(delivery)
            .ok_or(AnswerError::NotRunning)?;
        if running.kind != kind {
            return Err(AnswerError::Unfit);
        }
        if running.answer.is_some() {
            return Err(AnswerError::Answered);
        }
        if !registered || running.link != link {
            return Err(AnswerError::LinkLost);
        }
        let ack = Box::new(v1::Ack {
            seq,
            id: Some(running.id()),
            answer: Some(answer),
        });
        if !fits(&*ack, frame_bytes_max) {
            return Err(AnswerError::TooLarge);
        }
        self.seq = seq;
        running.answer = Some(seq);
        if let (Some(state), Some(id)) = (stored_state(&ack), &ack.id) {
            let (connection, shown) = (&id.connection_id, &running.shown);
            self.states.store(connection, seq, shown, state, self.now);
        }
        self.transmit(Sent::Ack(ack));
        Ok(seq)
    }

    fn settle(&mut self, seq: u64, bytes: u64) {
        self.settled.push(seq);
        self.held_events = self.held_events.saturating_sub(1);
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    fn transmit(&mut self, frame: Sent) {
        self.outputs.push_back(transmit(frame));
    }
}

/// Whether the service takes a frame of which this is the only field; without a limit, which is 0, it does.
fn fits(field: &impl prost::Message, frame_bytes_max: u64) -> bool {
    if frame_bytes_max == 0 {
        return true;
    }
    let bytes = field.encoded_len();
    let frame = bytes + 1 + prost::length_delimiter_len(bytes);
    frame as u64 <= frame_bytes_max
}

const fn transmit(frame: Sent) -> Output {
    Output::Transmit(v1::UpstreamFrame { frame: Some(frame) })
}

/// What an answer stores for its connection.
const fn stored_state(ack: &v1::Ack) -> Option<&bytes::Bytes> {
    match &ack.answer {
        Some(Answer::Accept(accept)) => accept.state.as_ref(),
        Some(Answer::Reply(reply)) => reply.state.as_ref(),
        Some(Answer::Reject(_) | Answer::Error(_)) | None => None,
    }
}
