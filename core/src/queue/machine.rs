//! What goes in, and what it leads to.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::{ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use hashbrown::HashMap;
use indexmap::IndexMap;

use super::{
    ConsumerKey, Counters, Full, Input, Kept, Mode, Name, NewConsumer, Output, Page, QueueConfig,
    Refusal,
    consumer::Consumer,
    group::{Group, GroupKey, Kind},
    log::{Holder, Load, Log},
};
use crate::{Deadline, Time, Why, hash::Hasher};

/// The keys of the maps are minted here, one after the other: nobody can choose colliding ones.
const HASHER: Hasher = Hasher::new(0);

/// The machine of one channel. See the [module](super).
#[derive(Debug)]
pub struct Queue {
    pub(super) config: QueueConfig,
    pub(super) log: Log,
    pub(super) groups: IndexMap<GroupKey, Group, Hasher>,
    /// The groups that last.
    pub(super) lasting: BTreeMap<Name, GroupKey>,
    pub(super) consumers: HashMap<ConsumerKey, Consumer, Hasher>,
    next_key: u64,
    /// All messages up to here are stored.
    pub(super) stored: u64,
    /// Groups that may have something to push and a consumer to push it to.
    pub(super) dirty: VecDeque<GroupKey>,
    /// When to look at a consumer; one entry a consumer at most.
    pub(super) alarms: BTreeSet<(Time, ConsumerKey)>,
    /// In doubt, over all consumers.
    pub(super) doubts: Load,
    /// What a group has taken lately and the driver was not told yet.
    unreported: Option<(GroupKey, RangeInclusive<u64>)>,
    /// Empty; kept for its memory.
    pub(super) scratch: Vec<u64>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) counters: Counters,
    /// Of the latest input or verb.
    pub(super) now: Time,
}

impl Queue {
    /// An empty channel.
    pub fn new(config: QueueConfig) -> Self {
        let history_max = Load {
            messages: config.history_messages_max,
            bytes: config.history_bytes_max,
        };
        let mut queue = Self {
            log: Log::new(history_max),
            groups: IndexMap::with_hasher(HASHER),
            lasting: BTreeMap::new(),
            consumers: HashMap::with_hasher(HASHER),
            next_key: 0,
            stored: 0,
            dirty: VecDeque::new(),
            alarms: BTreeSet::new(),
            doubts: Load::default(),
            unreported: None,
            scratch: Vec::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            now: Time::ZERO,
            config,
        };
        if queue.config.mode == Mode::Shared {
            queue.begin_lasting(Name::default(), 1);
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
        room.inspect_err(|_| self.counters.refused += 1)?;
        let expires_at = self.now + expires_after.unwrap_or(self.config.expires_after);
        let lasting = self.lasting.len();
        let fanout = self.groups.len() - lasting;
        let own_expiry = expires_after.is_some();
        let shared = message.clone();
        let offset = self
            .log
            .push(shared, expires_at, own_expiry, lasting, fanout);
        self.counters.submitted += 1;
        self.outputs.push_back(Output::Persist {
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
        if self.consumers.len() >= self.config.consumers_max {
            return Err(Refusal::TooManyConsumers(self.config.consumers_max));
        }
        let key = ConsumerKey(self.mint());
        let group = match (mode, self.lasting.get(&new.group)) {
            (Mode::Fanout, _) => self.begin(Kind::Fanout(key), new.from_offset),
            (Mode::Shared, Some(group)) => *group,
            (Mode::Shared, None) if self.lasting.len() >= self.config.groups_max => {
                return Err(Refusal::TooManyGroups(self.config.groups_max));
            }
            (Mode::Shared, None) => self.begin_lasting(new.group, new.from_offset),
        };
        let consumer = Consumer::new(group, new.taking, &self.config, self.now);
        self.consumers.insert(key, consumer);
        if let Some(group) = self.groups.get_mut(&group) {
            group.turn.push_back(key);
        }
        self.mark(group);
        Ok(key)
    }

    fn mint(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    fn begin_lasting(&mut self, name: Name, from: u64) -> GroupKey {
        let key = self.begin(Kind::Lasting(name.clone()), from);
        self.lasting.insert(name, key);
        key
    }

    /// Begins a group at this offset; 0, and what has not come yet, is from now on.
    fn begin(&mut self, kind: Kind, from: u64) -> GroupKey {
        let key = GroupKey(self.mint());
        let next = match from {
            0 => self.log.next(),
            from => from.min(self.log.next()),
        };
        let group = Group::new(kind, next);
        self.log.hold_from(next, group.holder());
        self.groups.insert(key, group);
        key
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
        if self.outputs.is_empty() {
            self.report_taken();
        }
        while self.outputs.is_empty() {
            let group = *self.dirty.front()?;
            if !self.push_to_next(group) {
                self.dirty.pop_front();
                if let Some(group) = self.groups.get_mut(&group) {
                    group.is_dirty = false;
                }
            }
        }
        self.outputs.pop_front()
    }

    /// When to say [`Input::Timeout`], and why; at once while outputs wait. May be early.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let waits = !self.outputs.is_empty() || !self.dirty.is_empty() || self.unreported.is_some();
        let drain = waits.then_some((self.now, Why::Drain));
        let expiry = self.log.next_expiry().map(|at| (at, Why::Expiry));
        let consumer = self.alarms.first().map(|(at, _)| (*at, Why::Consumer));
        let all = drain.into_iter().chain(expiry).chain(consumer);
        let (at, why) = all.min_by_key(|(at, _)| *at)?;
        Some(Deadline { at, why })
    }

    /// A page of what is kept, taken or not, as of the latest input or verb: from an offset on, or from the oldest if that
    /// is gone. At most `limit` messages and, but for the first, `bytes_max` bytes of them.
    pub fn history(&self, from_offset: u64, limit: usize, bytes_max: usize) -> Page {
        let mut page = Page::default();
        let mut bytes = 0;
        let kept = self.log.kept_from(from_offset);
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
        self.consumers.is_empty()
            && self.log.is_empty()
            && self.stored + 1 == self.log.next()
            && self.outputs.is_empty()
            && self.unreported.is_none()
    }

    /// The offset of the message that is submitted next.
    pub fn next_offset(&self) -> u64 {
        self.log.next()
    }

    /// What was done so far, and what there is.
    pub fn counters(&self) -> Counters {
        Counters {
            waiting: self.log.waiting.messages,
            waiting_bytes: self.log.waiting.bytes,
            consumers: self.consumers.len(),
            groups: self.groups.len(),
            ..self.counters
        }
    }

    fn persisted(&mut self, through: u64) {
        let through = through.min(self.log.next() - 1);
        if through <= self.stored {
            return;
        }
        self.stored = through;
        self.outputs.push_back(Output::Confirm { through });
        for (key, group) in &mut self.groups {
            if !group.turn.is_empty() && !group.is_dirty {
                group.is_dirty = true;
                self.dirty.push_back(*key);
            }
        }
    }

    /// Has a group looked at before the outputs are drained.
    pub(super) fn mark(&mut self, key: GroupKey) {
        let Some(group) = self.groups.get_mut(&key) else {
            return;
        };
        if !group.turn.is_empty() && !group.is_dirty {
            group.is_dirty = true;
            self.dirty.push_back(key);
        }
    }

    /// A group is done with a message. Ignored if it is gone.
    pub(super) fn take(&mut self, group: GroupKey, offset: u64, holder: Holder) {
        if !self.log.release(offset, holder) {
            return;
        }
        self.counters.taken += 1;
        if holder != Holder::Fanout {
            self.note_taken(group, offset);
        }
    }

    /// To be reported, together with its neighbours.
    pub(super) fn note_taken(&mut self, group: GroupKey, offset: u64) {
        if let Some((last, range)) = &mut self.unreported
            && *last == group
            && *range.end() + 1 == offset
        {
            *range = *range.start()..=offset;
            return;
        }
        self.report_taken();
        self.unreported = Some((group, offset..=offset));
    }

    fn report_taken(&mut self) {
        let Some((group, offsets)) = self.unreported.take() else {
            return;
        };
        if let Some(Group {
            kind: Kind::Lasting(group),
            ..
        }) = self.groups.get(&group)
        {
            let group = group.clone();
            self.outputs
                .push_back(Output::PersistTaken { group, offsets });
        }
    }

    pub(super) fn bounds(&self) -> Load {
        Load {
            messages: self.config.messages_max,
            bytes: self.config.bytes_max,
        }
    }

    /// Whether one more message of this size may come.
    fn make_room(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bounds = self.bounds();
        self.end_laggards(bytes);
        if !self.log.lagging.fits(bytes, bounds) {
            return Err(Refusal::Full);
        }
        if self.lasting.is_empty() {
            return Ok(());
        }
        while !self.log.waiting.fits(bytes, bounds) {
            match self.config.full {
                Full::Refuse => return Err(Refusal::Full),
                Full::DropOldest => {
                    let oldest = self.log.oldest_waiting().ok_or(Refusal::Full)?;
                    self.drop_message(oldest);
                }
            }
        }
        Ok(())
    }
}
