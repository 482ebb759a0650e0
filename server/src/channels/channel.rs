//! Drives one channel's [machine](headwater_core::queue) by turns.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use headwater_core::{
    Time,
    queue::{
        ConsumerKey, Counters, EPOCH, Input, Name, NewConsumer, Output, Page, Queue, QueueConfig,
    },
};
use headwater_proto::{Metadata, Status};

use super::{
    Consumer,
    message::{Pushed, Submission},
    total::Total,
};
use crate::random::unguessable_id;

/// One channel.
pub(super) struct Channel {
    name: Name,
    /// Which of the channels of this name it is, those of services before this one included.
    epoch: String,
    total: Arc<Total>,
    state: Mutex<State>,
}

struct State {
    queue: Queue,
    consumers: HashMap<ConsumerKey, Arc<Consumer>>,
    /// The alarm that is set for the channel.
    alarm: Option<Time>,
    /// What is counted of this channel in the total of all.
    waiting_bytes: usize,
    /// The service is leaving, and says so to everybody.
    leaving: Option<Status>,
    /// It was empty, and another one has its name now or will have.
    gone: bool,
}

/// What a turn leaves to be done without the channel's lock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leftover {
    /// Ring for this channel at that time, and no more at the other one.
    pub(super) alarm: Option<(Time, Option<Time>)>,
    /// Nobody would miss the channel.
    pub(super) idle: bool,
}

impl Channel {
    pub(super) fn new(name: Name, config: QueueConfig, total: Arc<Total>) -> Self {
        let state = State {
            queue: Queue::new(config),
            consumers: HashMap::new(),
            alarm: None,
            waiting_bytes: 0,
            leaving: None,
            gone: false,
        };
        Self {
            name,
            epoch: unguessable_id(),
            total,
            state: Mutex::new(state),
        }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    /// Adds messages, and to `results` the offset of each, or why it was refused. Nothing is stored elsewhere, so that the
    /// channel has them when this is done. `None` if the channel is gone; then the messages are still there.
    pub(super) fn submit(
        &self,
        messages: &mut Vec<Submission>,
        results: &mut Vec<Result<u64, Status>>,
        now: Time,
    ) -> (Option<Result<(), Status>>, Leftover) {
        self.turn(now, |state| {
            state.check_stays()?;
            let messages = messages.drain(..);
            results.extend(messages.map(|message| self.add(state, message, now)));
            Ok(())
        })
    }

    fn add(&self, state: &mut State, submission: Submission, now: Time) -> Result<u64, Status> {
        let Submission {
            message,
            expires_after,
        } = submission;
        self.total.check(message.len())?;
        let message = message.at(state.queue.next_offset());
        let offset = state.queue.submit(message, expires_after, now)?;
        // Those that come with it find it counted.
        self.count(state);
        Ok(offset)
    }

    /// Adds a consumer, whose offset is of this epoch, or of whichever if it is empty. `None` if the channel is gone.
    pub(super) fn subscribe(
        &self,
        mut new: NewConsumer,
        epoch: &str,
        consumer: Arc<Consumer>,
        now: Time,
    ) -> (Option<Result<ConsumerKey, Status>>, Leftover) {
        self.turn(now, |state| {
            state.check_stays()?;
            if !epoch.is_empty() && epoch != self.epoch {
                new.from_offset = 1;
            }
            let key = state.queue.subscribe(new, now)?;
            // Its headers say that it is there, before any message.
            let _ = consumer.sender().send_headers(self.headers());
            state.consumers.insert(key, consumer);
            Ok(key)
        })
    }

    fn headers(&self) -> Metadata {
        let mut headers = Metadata::new();
        // What is minted here can stand in metadata.
        let _ = headers.append(EPOCH, self.epoch.as_str());
        headers
    }

    /// Tells what happened, all of it together.
    pub(super) fn tell(&self, inputs: impl IntoIterator<Item = Input>, now: Time) -> Leftover {
        let told = |state: &mut State| {
            for input in inputs {
                if let Input::Left { consumer, .. } = &input {
                    state.consumers.remove(consumer);
                }
                if input == Input::Timeout {
                    state.alarm = None;
                }
                state.queue.handle(input, now);
            }
        };
        self.turn(now, told).1
    }

    pub(super) fn history(&self, from_offset: u64, limit: usize, bytes_max: usize) -> Page {
        self.lock().queue.history(from_offset, limit, bytes_max)
    }

    pub(super) fn counters(&self) -> Counters {
        self.lock().queue.counters()
    }

    /// Ends every consumer, and refuses everybody from now on.
    pub(super) fn shut_down(&self, status: &Status) {
        let mut state = self.lock();
        state.leaving = Some(status.clone());
        // Each of them leaves by itself, upon this.
        for consumer in state.consumers.values() {
            consumer.end(Err(status.clone()));
        }
    }

    /// Lets the channel go, if it is empty still. Whether it is gone.
    pub(super) fn retire(&self) -> bool {
        let mut state = self.lock();
        state.gone |= state.queue.is_idle();
        state.gone
    }

    /// One turn: under the channel's lock the machine acts, and the consumers' calls get what it says.
    fn turn<T>(&self, now: Time, act: impl FnOnce(&mut State) -> T) -> (Option<T>, Leftover) {
        let mut state = self.lock();
        if state.gone {
            return (None, Leftover::default());
        }
        let result = act(&mut state);
        state.drain(now);
        self.count(&mut state);
        let leftover = Leftover {
            alarm: state.next_alarm(),
            idle: state.queue.is_idle(),
        };
        (Some(result), leftover)
    }

    /// Counts what waits here in the total of all channels.
    fn count(&self, state: &mut State) {
        let waiting_bytes = state.queue.counters().waiting_bytes;
        self.total.move_from(state.waiting_bytes, waiting_bytes);
        state.waiting_bytes = waiting_bytes;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a turn is a bug of ours; the other users of the channel are served on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_stays(&self) -> Result<(), Status> {
        self.leaving.clone().map_or(Ok(()), Err)
    }

    fn drain(&mut self, now: Time) {
        // What goes to one consumer goes together.
        let mut run: Option<(ConsumerKey, Vec<Bytes>)> = None;
        while let Some(output) = self.queue.poll_output() {
            match output {
                // Nothing is stored elsewhere.
                Output::Persist { offset, .. } => {
                    let through = offset;
                    self.queue.handle(Input::Persisted { through }, now);
                }
                Output::PersistTaken { .. } | Output::Confirm { .. } => {}
                Output::Deliver {
                    to,
                    message,
                    redelivered,
                    ..
                } => {
                    let message = if redelivered {
                        Pushed::again(&message)
                    } else {
                        message
                    };
                    match &mut run {
                        Some((key, messages)) if *key == to => messages.push(message),
                        Some(_) | None => self.send(run.replace((to, vec![message]))),
                    }
                }
                Output::End { consumer, status } => {
                    self.send(run.take());
                    if let Some(consumer) = self.consumers.remove(&consumer) {
                        consumer.end(Err(status));
                    }
                }
            }
        }
        self.send(run);
    }

    fn send(&self, run: Option<(ConsumerKey, Vec<Bytes>)>) {
        if let Some((key, messages)) = run
            && let Some(consumer) = self.consumers.get(&key)
        {
            consumer.send(messages);
        }
    }

    /// The alarm that has to be set, if none is that rings in time.
    fn next_alarm(&mut self) -> Option<(Time, Option<Time>)> {
        let at = self.queue.poll_timeout()?.at;
        if self.alarm.is_some_and(|alarm| alarm <= at) {
            return None;
        }
        Some((at, self.alarm.replace(at)))
    }
}
