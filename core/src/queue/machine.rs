//! What goes in, and what it leads to.

use core::time::Duration;

use bytes::Bytes;

use super::{
    ConsumerKey, Counters, Input, Kept, Mode, Name, NewConsumer, Output, Page, QueueConfig,
    Refusal,
    consumer::Consumer,
    group::{GroupKey, Kind},
    ledger::Ledger,
    log::{Holder, Load},
    members::{Alarms, Dirty, Members, TIMEOUT_MIN},
};
use crate::{Deadline, Time, Why};

/// The machine of one channel. See the [module](super).
#[derive(Debug)]
pub struct Queue {
    pub(super) config: QueueConfig,
    pub(super) ledger: Ledger,
    pub(super) members: Members,
    /// All messages up to here are stored.
    pub(super) stored: u64,
    pub(super) dirty: Dirty,
    pub(super) alarms: Alarms,
    /// In doubt, over all consumers.
    pub(super) doubts: Load,
    /// Of the latest input or verb.
    pub(super) now: Time,
}

impl Queue {
    /// An empty channel.
    pub fn new(mut config: QueueConfig) -> Self {
        for timeout in [
            &mut config.in_doubt_timeout,
            &mut config.stall_timeout,
            &mut config.ack_timeout,
        ] {
            *timeout = (*timeout).max(TIMEOUT_MIN);
        }
        let mut queue = Self {
            ledger: Ledger::new(&config),
            members: Members::new(),
            stored: 0,
            dirty: Dirty::default(),
            alarms: Alarms::default(),
            doubts: Load::default(),
            now: Time::ZERO,
            config,
        };
        if queue.config.mode == Mode::Shared {
            queue.begin(Kind::Lasting(Name::default()), 0);
        }
        queue
    }

    /// Adds a message; gives its offset, which is [`Queue::next_offset`]. Its producer is answered once
    /// [`Output::Confirm`] comes for it. `expires_after`: how long it may wait; `None` is the default of the channel.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`], [`Refusal::Full`]: it is not in the channel, and nothing else is disturbed.
    pub fn submit(
        &mut self,
        message: Bytes,
        expires_after: Option<Duration>,
        now: Time,
    ) -> Result<u64, Refusal> {
        self.advance(now);
        let bytes_max = self.config.message_bytes_max.min(self.config.bytes_max);
        let room = if message.len() > bytes_max {
            Err(Refusal::TooLarge(bytes_max))
        } else {
            self.make_room(message.len())
        };
        room.inspect_err(|_| self.ledger.counters.refused += 1)?;
        let expires_at = self.now + expires_after.unwrap_or(self.config.expires_after);
        let offset = self.ledger.log.push(
            message.clone(),
            expires_at,
            expires_after.is_some(),
            [self.members.lasting.len(), self.members.fanouts()],
        );
        self.ledger.counters.submitted += 1;
        self.ledger.outputs.push_back(Output::Persist {
            offset,
            message,
            expires_at,
        });
        Ok(offset)
    }

    /// Adds a consumer, and the group that it names if that is not there. It is pushed messages until it has left
    /// ([`Input::Left`], [`Output::End`]).
    ///
    /// # Errors
    ///
    /// [`Refusal::GroupOfFanout`], [`Refusal::TooManyGroups`], [`Refusal::TooManyConsumers`].
    pub fn subscribe(&mut self, new: NewConsumer, now: Time) -> Result<ConsumerKey, Refusal> {
        self.advance(now);
        let default = if new.group.is_empty() {
            self.config.mode
        } else {
            Mode::Shared
        };
        let mode = new.mode.unwrap_or(default);
        if mode == Mode::Fanout && !new.group.is_empty() {
            return Err(Refusal::GroupOfFanout);
        }
        if self.members.consumers.len() >= self.config.consumers_max {
            return Err(Refusal::TooManyConsumers(self.config.consumers_max));
        }
        let lasting = &self.members.lasting;
        let known = lasting.get(&new.group).copied();
        let is_one_more = mode == Mode::Shared && known.is_none();
        if is_one_more && lasting.len() >= self.config.groups_max {
            return Err(Refusal::TooManyGroups(self.config.groups_max));
        }
        let key = self.members.next_consumer();
        let group = match (mode, known) {
            (Mode::Shared, Some(group)) => group,
            (Mode::Shared, None) => self.begin(Kind::Lasting(new.group), new.from_offset),
            (Mode::Fanout, _) => self.begin(Kind::Fanout(key), new.from_offset),
        };
        let consumer = Consumer::new(group, new.taking, &self.config, self.now);
        self.members.consumers.insert(key, consumer);
        if let Some((consumer, group)) = self.members.pair(key) {
            self.dirty.offer(key, consumer, group);
        }
        Ok(key)
    }

    /// Begins a group at this offset; 0, and what has not come yet, is from now on.
    fn begin(&mut self, kind: Kind, from: u64) -> GroupKey {
        let log = &mut self.ledger.log;
        let next = match from {
            0 => log.next(),
            from => from.min(log.next()),
        };
        let holder = match kind {
            Kind::Lasting(_) => Holder::Lasting,
            Kind::Fanout(_) => Holder::Fanout,
        };
        log.hold_from(next, holder);
        self.members.begin(kind, next)
    }

    /// Takes what happened. Drain [`Queue::poll_output`] afterwards; several inputs and verbs may go before.
    ///
    /// What has fallen due by `now` does so first. A `now` before the latest one is that one.
    pub fn handle(&mut self, input: Input, now: Time) {
        self.advance(now);
        match input {
            Input::Persisted { through } => self.persisted(through),
            Input::Written { consumer, messages } => self.written(consumer, messages),
            Input::Taken { consumer, ranges } => self.taken(consumer, &ranges),
            Input::Returned { consumer, ranges } => self.returned(consumer, &ranges),
            Input::Left { consumer, how } => self.leave(consumer, how),
            Input::Timeout => {}
        }
    }

    /// What to do next; `None` when drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.ledger.outputs.is_empty() {
            self.ledger.tell_taken();
        }
        while self.ledger.outputs.is_empty() {
            let group = self.dirty.first()?;
            if !self.push_to_next(group) {
                self.dirty.pop();
            }
        }
        self.ledger.outputs.pop_front()
    }

    /// When to say [`Input::Timeout`], and why; at once while outputs wait. May be early.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let waits = self.ledger.has_outputs() || !self.dirty.is_empty();
        let drain = waits.then_some((self.now, Why::Drain));
        let expiry = self.ledger.log.next_expiry().map(|at| (at, Why::Expiry));
        let consumer = self.alarms.next().map(|at| (at, Why::Consumer));
        let all = drain.into_iter().chain(expiry).chain(consumer);
        let (at, why) = all.min_by_key(|(at, _)| *at)?;
        Some(Deadline { at, why })
    }

    /// A page of what is kept, taken or not, as of the latest input or verb: from an offset on, or from the oldest if that
    /// is gone. At most `limit` messages and, but for the first, `bytes_max` bytes of them.
    pub fn history(&self, from_offset: u64, limit: usize, bytes_max: usize) -> Page {
        let mut page = Page::default();
        let mut bytes = 0;
        let kept = self.ledger.log.kept_from(from_offset);
        let stored = kept.take_while(|(offset, _)| *offset <= self.stored);
        for (offset, entry) in stored.filter(|(_, entry)| !entry.expired) {
            bytes += entry.message.len();
            let is_first = page.messages.is_empty();
            if page.messages.len() >= limit || (bytes > bytes_max && !is_first) {
                page.next_offset = offset;
                break;
            }
            page.messages.push(Kept {
                offset,
                message: entry.message.clone(),
            });
        }
        page
    }

    /// Whether nobody would miss the channel: nobody consumes, nothing is kept, not even as history, and nothing is to be
    /// done. A channel that begins anew has no groups and counts its offsets from 1.
    pub fn is_idle(&self) -> bool {
        self.members.consumers.is_empty()
            && self.ledger.is_empty()
            && self.stored + 1 == self.next_offset()
    }

    /// The offset of the message that is submitted next.
    pub fn next_offset(&self) -> u64 {
        self.ledger.log.next()
    }

    /// What was done so far, and what there is.
    pub fn counters(&self) -> Counters {
        Counters {
            waiting: self.ledger.log.waiting.messages,
            waiting_bytes: self.ledger.log.waiting.bytes,
            consumers: self.members.consumers.len(),
            groups: self.members.groups.len(),
            ..self.ledger.counters
        }
    }

    fn persisted(&mut self, through: u64) {
        let through = through.min(self.next_offset() - 1);
        if through <= self.stored {
            return;
        }
        self.stored = through;
        self.ledger.outputs.push_back(Output::Confirm { through });
        for (key, group) in &mut self.members.groups {
            self.dirty.mark(*key, group);
        }
    }
}
