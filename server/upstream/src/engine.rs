//! One link with its handlers, without a transport.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
    vec::Drain,
};

use foldhash::fast::FixedState;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use headwater_core::{
    Deadline, Time,
    link::upstream::{AnswerError, CommandId, Config, Delivery, Input, Link, Output, Violation},
};
use headwater_proto::{Code, Status, v1};
use tokio::sync::watch;

use crate::{
    CommandError, Context, Failure, Handler, Hub, Reject,
    answer::Answer,
    handler,
    mailbox::{Action, Bounds, Freed, Mailbox, ResultSender},
};

/// What the driver of an engine must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Registered,
    Draining { reconnect_within: Duration },
    Drained,
    Close(Violation),
}

/// Feeds events to handlers and carries back what they answer and command, all in one task.
pub(crate) struct Engine {
    link: Link,
    handler: Arc<dyn Handler>,
    /// Not polled yet.
    started: Vec<BoxFuture<'static, ()>>,
    /// Polled once, and still waiting.
    handlers: FuturesUnordered<BoxFuture<'static, ()>>,
    hub: Hub,
    registered: watch::Sender<bool>,
    running: HashMap<Delivery, Context, FixedState>,
    results: HashMap<CommandId, ResultSender, FixedState>,
    /// Taken out of the mailbox and not done yet: the first one waits for room.
    actions: VecDeque<Action>,
    freed: Freed,
    frames: Vec<v1::UpstreamFrame>,
    signals: VecDeque<Signal>,
}

impl Engine {
    pub(crate) fn new(config: Config, bounds: Bounds, handler: Arc<dyn Handler>) -> Self {
        let (registered, watch) = watch::channel(false);
        let hub = Hub::new(config.hub.clone(), Mailbox::new(bounds), watch);
        Self {
            link: Link::new(config),
            handler,
            started: Vec::new(),
            handlers: FuturesUnordered::new(),
            hub,
            registered,
            running: HashMap::default(),
            results: HashMap::default(),
            actions: VecDeque::new(),
            freed: Freed::default(),
            frames: Vec::new(),
            signals: VecDeque::new(),
        }
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Tells the link what happened. [`Engine::poll`] does the rest.
    pub(crate) fn handle(&mut self, input: Input, now: Time) {
        let closed = input == Input::Closed;
        self.link.handle(input, now);
        if closed {
            self.registered.send_replace(false);
            self.frames.clear();
            self.signals.clear();
        }
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.link.poll_timeout()
    }

    /// Runs handlers, answers and commands until all of them wait for something. What is to be sent is in
    /// [`Engine::take_frames`], what the driver must know in [`Engine::signal`].
    pub(crate) fn poll(&mut self, now: Time, cx: &mut TaskContext<'_>) {
        // A handler that ends late leaves late what waits behind it.
        self.link.handle(Input::Timeout, now);
        self.hub.mailbox().attend();
        loop {
            self.drain_link();
            if !self.work(cx) {
                break;
            }
        }
    }

    /// Does the same once, for a part of a batch of inputs: [`Engine::poll`] follows when all of it is there. What is
    /// handled before the next part comes need not be held beside it.
    pub(crate) fn poll_in_batch(&mut self, cx: &mut TaskContext<'_>) {
        self.hub.mailbox().attend();
        while let Some(output) = self.link.poll_output_in_batch() {
            self.perform(output);
        }
        self.work(cx);
    }

    /// Says whether anything was done for the link.
    fn work(&mut self, cx: &mut TaskContext<'_>) -> bool {
        self.run_handlers(cx);
        let freed = std::mem::take(&mut self.freed);
        let more = self.hub.mailbox().take(&mut self.actions, freed, cx);
        let moved = self.act();
        more || moved
    }

    pub(crate) fn take_frames(&mut self) -> Drain<'_, v1::UpstreamFrame> {
        self.frames.drain(..)
    }

    pub(crate) fn signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    /// Does what the link wants done, without running handlers.
    pub(crate) fn drain_link(&mut self) {
        while let Some(output) = self.link.poll_output() {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Transmit(frame) => self.frames.push(frame),
            Output::Start { delivery, event } => self.start(delivery, event),
            Output::Cancelled(delivery) => {
                if let Some(context) = self.running.get(&delivery) {
                    context.cancel();
                }
            }
            Output::Refused {
                delivery,
                seq,
                status,
            } => {
                tracing::debug!(seq, %status, "the service refused an answer");
                if let Some(context) = delivery.and_then(|it| self.running.get(&it)) {
                    context.refuse(status);
                }
            }
            Output::Result { command, outcome } => {
                if let Some(result) = self.results.remove(&command) {
                    // Nobody may be waiting for it.
                    let _ = result.send(outcome.map_err(Into::into));
                }
            }
            Output::Registered { resumed } => {
                tracing::info!(hub = self.hub.name(), resumed, "registered");
                self.registered.send_replace(true);
                self.signals.push_back(Signal::Registered);
            }
            Output::Gap { from, to } => {
                tracing::warn!(
                    from,
                    to,
                    "notices are lost: more of them than the service keeps"
                );
            }
            Output::Draining { reconnect_within } => {
                self.signals
                    .push_back(Signal::Draining { reconnect_within });
            }
            Output::Drained => self.signals.push_back(Signal::Drained),
            Output::Close(violation) => self.signals.push_back(Signal::Close(violation)),
        }
    }

    /// Most handlers are done when they are polled first; only the others are worth keeping track of.
    fn run_handlers(&mut self, cx: &mut TaskContext<'_>) {
        for mut handler in self.started.drain(..) {
            if handler.as_mut().poll(cx).is_pending() {
                // Polls it again, with the waker by which it is found.
                self.handlers.push(handler);
            }
        }
        while let Poll::Ready(Some(())) = self.handlers.poll_next_unpin(cx) {}
    }

    fn start(&mut self, delivery: Delivery, event: Box<v1::Event>) {
        let hub = self.hub.clone();
        let Some((context, event)) = Context::take(hub, delivery, event) else {
            // The link gives out whole events only.
            return;
        };
        self.running.insert(delivery, context.clone());
        let handler = Arc::clone(&self.handler);
        self.started
            .push(Box::pin(handler::run(handler, context, event)));
    }

    /// Does what was asked for, in order, until something has to wait. Says whether anything was done.
    fn act(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.actions.pop_front() {
            if let Some(waits) = self.act_one(action) {
                self.actions.push_front(waits);
                break;
            }
            moved = true;
        }
        moved
    }

    fn act_one(&mut self, action: Action) -> Option<Action> {
        match action {
            Action::Answer { delivery, answer } => self.answer(delivery, answer),
            Action::Finish { delivery, answer } => {
                if let Some(answer) = answer {
                    self.answer(delivery, answer);
                }
                self.running.remove(&delivery);
                if let Err(error) = self.link.done(delivery) {
                    tracing::error!(%error, "an event could not be ended");
                }
            }
            Action::Command {
                operation,
                bytes,
                result,
            } => return self.command(operation, bytes, result),
        }
        None
    }

    fn command(
        &mut self,
        operation: Box<v1::command::Operation>,
        bytes: usize,
        result: ResultSender,
    ) -> Option<Action> {
        if !self.link.may_command() {
            return Some(Action::Command {
                operation,
                bytes,
                result,
            });
        }
        self.freed.commands += 1;
        self.freed.bytes += bytes;
        match self.link.command(*operation, None) {
            Ok(command) => {
                self.results.insert(command, result);
            }
            // Nobody may be waiting for it.
            Err(error) => drop(result.send(Err(error.into()))),
        }
        None
    }

    fn answer(&mut self, delivery: Delivery, answer: Answer) {
        let (outcome, connect) = match answer {
            Answer::Accept(accept) => (self.link.accept(delivery, accept.into()), true),
            Answer::Reject(Reject(status)) => (self.link.reject(delivery, status.into()), true),
            Answer::Reply(reply) => (self.link.reply(delivery, reply.into()), false),
            Answer::Fail(Failure(status)) => (self.link.fail(delivery, status.into()), false),
        };
        match outcome {
            Ok(_) => {}
            Err(AnswerError::TooLarge) => {
                let message = "the answer is larger than the service takes";
                let status = Status::new(Code::ResourceExhausted, message);
                tracing::error!("{message}");
                let shorter = if connect {
                    self.link.reject(delivery, status.into())
                } else {
                    self.link.fail(delivery, status.into())
                };
                if let Err(error) = shorter {
                    tracing::error!(%error, "an event could not be answered");
                }
            }
            Err(error) => tracing::debug!(%error, "an answer went nowhere"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.registered.send_replace(false);
        self.actions.append(&mut self.hub.mailbox().close());
        for action in self.actions.drain(..) {
            if let Action::Command { result, .. } = action {
                // Never sent. Nobody may be waiting for it.
                let _ = result.send(Err(CommandError::NotRegistered));
            }
        }
    }
}
