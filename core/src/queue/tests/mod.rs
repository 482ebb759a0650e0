//! A channel with a driver that keeps messages in memory and pushes at once.

extern crate std;

mod delivery;
mod groups;
mod interleavings;
mod limits;
mod model;
mod random;
mod storage;
mod taking;

use std::{
    collections::{BTreeMap, BTreeSet},
    format,
    ops::RangeInclusive,
    string::String,
    time::Duration,
    vec,
    vec::Vec,
};

use super::*;
use crate::{Time, Why};

/// A message that a consumer was pushed: its content, and whether it was pushed before.
type Pushed = (String, bool);

pub(super) struct Channel {
    pub(super) queue: Queue,
    pub(super) now: Time,
    /// What each consumer was pushed, and was not looked at yet.
    pushed: BTreeMap<ConsumerKey, Vec<(u64, Pushed)>>,
    ended: BTreeSet<ConsumerKey>,
    confirmed: u64,
}

impl Channel {
    fn new(config: QueueConfig) -> Self {
        Self {
            queue: Queue::new(config),
            now: Time::ZERO,
            pushed: BTreeMap::new(),
            ended: BTreeSet::new(),
            confirmed: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.queue.poll_output() {
            match output {
                Output::Persist { offset, .. } => self
                    .queue
                    .handle(Input::Persisted { through: offset }, self.now),
                Output::PersistTaken { .. } => {}
                Output::Confirm { through } => self.confirmed = through,
                Output::Deliver {
                    to,
                    offset,
                    message,
                    redelivered,
                } => {
                    let text = String::from_utf8(message.to_vec()).expect("tests push text");
                    let pushed = self.pushed.entry(to).or_default();
                    pushed.push((offset, (text, redelivered)));
                }
                Output::End { consumer, .. } => {
                    self.ended.insert(consumer);
                }
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.queue.handle(input, self.now);
        self.drain();
    }

    fn submit(&mut self, message: &str) -> Result<u64, Refusal> {
        let message = bytes::Bytes::copy_from_slice(message.as_bytes());
        let offset = self.queue.submit(message, None, self.now)?;
        self.drain();
        assert_eq!(self.confirmed, offset, "the producer waits for its answer");
        Ok(offset)
    }

    fn submit_all(&mut self, messages: &[&str]) {
        for message in messages {
            self.submit(message).expect("the channel has room");
        }
    }

    fn subscribe(&mut self, new: NewConsumer) -> ConsumerKey {
        let key = self.queue.subscribe(new, self.now).expect("there is room");
        self.drain();
        key
    }

    /// One of `PushMessageStream` that names nothing.
    fn plain(&mut self) -> ConsumerKey {
        self.subscribe(NewConsumer::default())
    }

    /// One of `Consume` that names nothing, with the default window.
    fn acknowledging(&mut self) -> ConsumerKey {
        self.subscribe(NewConsumer {
            taking: Taking::Acknowledged { window: 0 },
            ..NewConsumer::default()
        })
    }

    fn written(&mut self, consumer: ConsumerKey, messages: u32) {
        self.handle(Input::Written { consumer, messages });
    }

    fn taken(&mut self, consumer: ConsumerKey, range: RangeInclusive<u64>) {
        let ranges = vec![range];
        self.handle(Input::Taken { consumer, ranges });
    }

    fn returned(&mut self, consumer: ConsumerKey, range: RangeInclusive<u64>) {
        let ranges = vec![range];
        self.handle(Input::Returned { consumer, ranges });
    }

    fn leave(&mut self, consumer: ConsumerKey, how: Left) {
        self.handle(Input::Left { consumer, how });
    }

    /// Lets time pass, with a timeout at each moment that the machine asks for.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.queue.poll_timeout()
            && deadline.at <= until
        {
            assert_ne!(deadline.why, Why::Drain, "all was drained");
            assert!(deadline.at > self.now, "it is due again and again");
            self.now = deadline.at;
            self.handle(Input::Timeout);
        }
        self.now = until;
        self.handle(Input::Timeout);
    }

    /// What this consumer was pushed since it was asked last.
    fn pushed(&mut self, consumer: ConsumerKey) -> Vec<Pushed> {
        let pushed = self.pushed.remove(&consumer).unwrap_or_default();
        pushed.into_iter().map(|(_, pushed)| pushed).collect()
    }

    /// The same, of which all must be new.
    fn fresh(&mut self, consumer: ConsumerKey) -> Vec<String> {
        let mut fresh = Vec::new();
        for (text, redelivered) in self.pushed(consumer) {
            assert!(!redelivered, "{text} was not pushed before");
            fresh.push(text);
        }
        fresh
    }

    /// The same, of which all must be redelivered.
    fn again(&mut self, consumer: ConsumerKey) -> Vec<String> {
        let mut again = Vec::new();
        for (text, redelivered) in self.pushed(consumer) {
            assert!(redelivered, "{text} was pushed before");
            again.push(text);
        }
        again
    }
}

fn numbers(range: RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("{number}")).collect()
}
