//! What a channel should do, written as simply as possible: every group has its own list of what it is not done with, and
//! everything else is searched for.

use super::*;

/// What a group makes of a message that it is not done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting { again: bool },
    InHand,
    InDoubt,
}

#[derive(Debug)]
struct Group {
    fanout: bool,
    places: BTreeMap<u64, Place>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    offset: u64,
    since: Time,
}

#[derive(Debug)]
struct Consumer {
    group: u64,
    taking: Taking,
    held: Vec<Held>,
    in_doubt: Vec<Held>,
    progress: Time,
}

#[derive(Debug)]
struct Message {
    bytes: usize,
    expires_at: Time,
    dropped: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    config: QueueConfig,
    messages: BTreeMap<u64, Message>,
    groups: BTreeMap<u64, Group>,
    /// The groups that there have been.
    begun: u64,
    names: BTreeMap<Name, u64>,
    consumers: BTreeMap<ConsumerKey, Consumer>,
    history_from: u64,
    pub(super) stored: u64,
    confirmed: u64,
    /// Whom the machine has to end.
    ends: BTreeSet<ConsumerKey>,
    /// By group and offset; no more than one each.
    taken: BTreeSet<(u64, u64)>,
    pub(super) counters: Counters,
    now: Time,
}

impl Model {
    pub(super) fn new(config: QueueConfig) -> Self {
        let mut model = Self {
            messages: BTreeMap::new(),
            groups: BTreeMap::new(),
            begun: 0,
            names: BTreeMap::new(),
            consumers: BTreeMap::new(),
            history_from: 1,
            stored: 0,
            confirmed: 0,
            ends: BTreeSet::new(),
            taken: BTreeSet::new(),
            counters: Counters::default(),
            now: Time::ZERO,
            config,
        };
        if model.config.mode == Mode::Shared {
            model.begin(Some(Name::default()), 1);
        }
        model
    }

    fn next(&self) -> u64 {
        self.messages.len() as u64 + 1
    }

    pub(super) fn last(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(super) fn consumers(&self) -> Vec<ConsumerKey> {
        self.consumers.keys().copied().collect()
    }

    fn is_expired(&self, offset: u64) -> bool {
        self.messages[&offset].expires_at <= self.now
    }

    fn holders(&self, offset: u64) -> impl Iterator<Item = (bool, Place)> {
        let groups = self.groups.values();
        groups.filter_map(move |group| Some((group.fanout, *group.places.get(&offset)?)))
    }

    fn is_kept(&self, offset: u64) -> bool {
        let message = &self.messages[&offset];
        let in_history = offset >= self.history_from && !self.is_expired(offset);
        !message.dropped && (in_history || self.holders(offset).next().is_some())
    }

    /// Messages and bytes of what a group that lasts holds, or only fan-out consumers do.
    fn load(&self, is_waiting: bool) -> (usize, usize) {
        let mut load = (0, 0);
        for (offset, message) in &self.messages {
            let places: Vec<_> = self.holders(*offset).collect();
            let lasting = places
                .iter()
                .any(|(fanout, place)| !fanout && *place != Place::InDoubt);
            let fanout = places.iter().any(|(fanout, _)| *fanout);
            if (is_waiting && lasting) || (!is_waiting && !lasting && fanout) {
                load = (load.0 + 1, load.1 + message.bytes);
            }
        }
        load
    }

    fn has_room(&self, is_waiting: bool, bytes: usize) -> bool {
        let load = self.load(is_waiting);
        load.0 < self.config.messages_max && load.1 + bytes <= self.config.bytes_max
    }

    pub(super) fn submit(&mut self, bytes: usize, ttl: Option<Duration>) -> Result<u64, Refusal> {
        let result = self.admit(bytes);
        if let Err(refusal) = result {
            self.counters.refused += 1;
            return Err(refusal);
        }
        let offset = self.next();
        let message = Message {
            bytes,
            expires_at: self.now + ttl.unwrap_or(self.config.expires_after),
            dropped: false,
        };
        self.messages.insert(offset, message);
        for group in self.groups.values_mut() {
            let place = Place::Waiting { again: false };
            group.places.insert(offset, place);
        }
        self.counters.submitted += 1;
        self.trim_history();
        Ok(offset)
    }

    fn admit(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes > self.config.bytes_max {
            return Err(Refusal::TooLarge(self.config.bytes_max));
        }
        let lasts = !self.names.is_empty();
        if lasts && self.config.full == Full::Refuse && !self.has_room(true, bytes) {
            return Err(Refusal::Full);
        }
        while !self.has_room(false, bytes) {
            let fanouts = self
                .consumers
                .iter()
                .filter(|(_, it)| self.groups[&it.group].fanout);
            let oldest = |it: &Consumer| it.held.iter().map(|held| held.offset).min();
            let places = fanouts.filter_map(|(key, it)| Some((oldest(it)?, *key)));
            let places: Vec<(u64, ConsumerKey)> = places.collect();
            let furthest = places.iter().map(|(place, _)| *place).min();
            let furthest = furthest.ok_or(Refusal::Full)?;
            for (_, key) in places.iter().filter(|(place, _)| *place == furthest) {
                self.end(*key);
            }
        }
        while !self.names.is_empty() && !self.has_room(true, bytes) {
            let mut offsets = self.messages.keys().copied();
            let is_waiting = |offset: &u64| {
                let mut holders = self.holders(*offset);
                holders.any(|(fanout, place)| !fanout && place != Place::InDoubt)
            };
            let oldest = offsets.find(is_waiting);
            match (self.config.full, oldest) {
                (Full::DropOldest, Some(oldest)) => self.drop_message(oldest),
                (Full::DropOldest | Full::Refuse, _) => return Err(Refusal::Full),
            }
        }
        Ok(())
    }

    fn drop_message(&mut self, offset: u64) {
        for group in self.groups.values_mut() {
            match group.places.remove(&offset) {
                Some(Place::InDoubt) => self.counters.taken += 1,
                Some(Place::Waiting { .. } | Place::InHand) => self.counters.dropped += 1,
                None => {}
            }
        }
        let message = self.messages.get_mut(&offset);
        message.expect("it is there").dropped = true;
    }

    fn trim_history(&mut self) {
        let bytes = |from: u64, model: &Self| {
            let kept = model
                .messages
                .range(from..)
                .filter(|(offset, _)| model.is_kept(**offset));
            kept.map(|(_, message)| message.bytes).sum::<usize>()
        };
        while self.history_from < self.next()
            && (self.next() - self.history_from > self.config.history_messages_max as u64
                || bytes(self.history_from, self) > self.config.history_bytes_max)
        {
            self.history_from += 1;
        }
    }

    fn begin(&mut self, name: Option<Name>, from: u64) -> u64 {
        let begin = if from == 0 { self.next() } else { from };
        let offsets = self.messages.range(begin..).map(|(offset, _)| *offset);
        let there = offsets.filter(|offset| self.is_kept(*offset) && !self.is_expired(*offset));
        let places = there
            .map(|offset| (offset, Place::Waiting { again: false }))
            .collect();
        self.begun += 1;
        let id = self.begun;
        let fanout = name.is_none();
        self.groups.insert(id, Group { fanout, places });
        if let Some(name) = name {
            self.names.insert(name, id);
        }
        id
    }

    pub(super) fn subscribe(&mut self, key: Option<ConsumerKey>, new: &NewConsumer) {
        let is_named = !new.group.is_empty();
        let default = if is_named {
            Mode::Shared
        } else {
            self.config.mode
        };
        let mode = new.mode.unwrap_or(default);
        let known = self.names.get(&new.group).copied();
        let is_one_more = known.is_none() && mode == Mode::Shared;
        let is_refused = self.consumers.len() >= self.config.consumers_max
            || (mode == Mode::Fanout && is_named)
            || (is_one_more && self.names.len() >= self.config.groups_max);
        assert_eq!(key.is_none(), is_refused, "{new:?}");
        let Some(key) = key else {
            return;
        };
        let group = match (mode, known) {
            (Mode::Shared, Some(group)) => group,
            (Mode::Shared, None) => self.begin(Some(new.group.clone()), new.from_offset),
            (Mode::Fanout, _) => self.begin(None, new.from_offset),
        };
        let consumer = Consumer {
            group,
            taking: new.taking,
            held: Vec::new(),
            in_doubt: Vec::new(),
            progress: self.now,
        };
        let old = self.consumers.insert(key, consumer);
        assert!(old.is_none(), "{key:?} names two consumers");
    }

    fn group(&mut self, id: u64) -> &mut Group {
        self.groups.get_mut(&id).expect("it is there")
    }

    fn take(&mut self, group: u64, offset: u64) {
        if self.group(group).places.remove(&offset).is_some() {
            assert!(
                self.taken.insert((group, offset)),
                "{offset} is taken twice"
            );
            self.counters.taken += 1;
        }
    }

    fn give_back(&mut self, id: u64, offset: u64) {
        let is_expired = self.is_expired(offset);
        let group = self.group(id);
        let Some(place) = group.places.get_mut(&offset) else {
            return;
        };
        if is_expired {
            group.places.remove(&offset);
            self.counters.expired += 1;
        } else {
            *place = Place::Waiting { again: true };
        }
    }

    pub(super) fn advance(&mut self, now: Time) {
        self.now = now;
        for group in self.groups.values_mut() {
            group.places.retain(|offset, place| {
                let is_late = matches!(place, Place::Waiting { .. })
                    && self.messages[offset].expires_at <= now;
                self.counters.expired += u64::from(is_late);
                !is_late
            });
        }
        for key in self.consumers() {
            self.check(key);
        }
    }

    fn check(&mut self, key: ConsumerKey) {
        let now = self.now;
        let consumer = self.consumers.get_mut(&key).expect("it is there");
        let group = consumer.group;
        if consumer.taking == Taking::Written {
            let timeout = self.config.in_doubt_timeout;
            let is_over = |held: &Held| held.since + timeout <= now;
            let over: Vec<Held> = consumer
                .in_doubt
                .extract_if(.., |held| is_over(held))
                .collect();
            let stalls =
                !consumer.held.is_empty() && consumer.progress + self.config.stall_timeout <= now;
            for held in over {
                self.take(group, held.offset);
            }
            if stalls {
                self.end(key);
            }
            return;
        }
        let timeout = self.config.ack_timeout;
        let is_late = |held: &Held| held.since + timeout <= now;
        let late: Vec<Held> = consumer.held.extract_if(.., |held| is_late(held)).collect();
        for held in late {
            self.give_back(group, held.offset);
        }
    }

    fn end(&mut self, key: ConsumerKey) {
        self.counters.too_slow += 1;
        self.ends.insert(key);
        self.leave(key, Left::Broken);
    }

    pub(super) fn leave(&mut self, key: ConsumerKey, how: Left) {
        let Some(consumer) = self.consumers.remove(&key) else {
            return;
        };
        let id = consumer.group;
        if self.group(id).fanout {
            let group = self.groups.remove(&id).expect("it is there");
            self.counters.left_behind += group.places.len() as u64;
            return;
        }
        for held in consumer.held {
            self.give_back(id, held.offset);
        }
        for held in consumer.in_doubt {
            match how {
                Left::Broken => self.give_back(id, held.offset),
                Left::Cancelled => self.take(id, held.offset),
            }
        }
    }

    pub(super) fn written(&mut self, key: ConsumerKey, messages: usize) {
        let now = self.now;
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        let count = messages.min(consumer.held.len());
        if consumer.taking != Taking::Written || count == 0 {
            return;
        }
        consumer.progress = now;
        let written: Vec<Held> = consumer.held.drain(..count).collect();
        let id = consumer.group;
        for held in written {
            let group = self.group(id);
            if group.fanout {
                self.take(id, held.offset);
            } else if let Some(place) = group.places.get_mut(&held.offset) {
                *place = Place::InDoubt;
                let since = now;
                let consumer = self.consumers.get_mut(&key).expect("it is there");
                consumer.in_doubt.push(Held { since, ..held });
            }
        }
        while self.has_too_many_doubts(key) {
            let consumer = self.consumers.get_mut(&key).expect("it is there");
            if consumer.in_doubt.is_empty() {
                break;
            }
            let oldest = consumer.in_doubt.remove(0);
            self.take(id, oldest.offset);
        }
    }

    fn has_too_many_doubts(&self, key: ConsumerKey) -> bool {
        let load = |consumer: &Consumer| {
            let bytes = consumer
                .in_doubt
                .iter()
                .map(|held| self.messages[&held.offset].bytes);
            (consumer.in_doubt.len(), bytes.sum::<usize>())
        };
        let own = load(&self.consumers[&key]);
        let all = self.consumers.values().map(load);
        let all = all.fold((0, 0), |sum, load| (sum.0 + load.0, sum.1 + load.1));
        own.0 > self.config.in_doubt_messages_max
            || own.1 > self.config.in_doubt_bytes_max
            || all.0 > self.config.messages_max
            || all.1 > self.config.bytes_max
    }

    pub(super) fn answered(
        &mut self,
        key: ConsumerKey,
        ranges: &[RangeInclusive<u64>],
        is_taken: bool,
    ) {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        if consumer.taking == Taking::Written {
            return;
        }
        let id = consumer.group;
        let is_named = |offset: u64| ranges.iter().any(|range| range.contains(&offset));
        let held: Vec<Held> = consumer
            .held
            .extract_if(.., |held| is_named(held.offset))
            .collect();
        for held in held {
            if is_taken {
                self.take(id, held.offset);
            } else {
                self.give_back(id, held.offset);
            }
        }
        if is_taken {
            let places = self.group(id).places.clone();
            let again = places
                .iter()
                .filter(|(_, it)| **it == Place::Waiting { again: true });
            for (offset, _) in again.filter(|(offset, _)| is_named(**offset)) {
                self.take(id, *offset);
            }
        }
    }

    /// Checks one output against what has to come.
    pub(super) fn output(&mut self, output: &Output) {
        match output {
            Output::Persist { offset, .. } => assert!(*offset <= self.last(), "{output:?}"),
            Output::PersistTaken { group, offsets } => {
                let group = self.names[group];
                for offset in offsets.clone() {
                    let is_done = !self.groups[&group].places.contains_key(&offset);
                    assert!(is_done, "{output:?}: the group is not done with it");
                }
            }
            Output::Confirm { through } => {
                assert!(*through > self.confirmed, "{output:?}: confirmed already");
                assert!(*through <= self.stored, "{output:?}: not stored");
                self.confirmed = *through;
            }
            Output::Deliver {
                to,
                offset,
                message,
                redelivered,
            } => {
                assert_eq!(
                    message.len(),
                    self.messages[offset].bytes,
                    "another message"
                );
                self.delivered(*to, *offset, *redelivered);
            }
            Output::End { consumer, .. } => {
                assert!(self.ends.remove(consumer), "{output:?}: it is not slow");
            }
        }
    }

    fn delivered(&mut self, to: ConsumerKey, offset: u64, redelivered: bool) {
        assert!(offset <= self.stored, "{offset} is not stored");
        let room = self.room(to);
        assert!(room, "{to:?} has no room for {offset}");
        let now = self.now;
        let consumer = self.consumers.get_mut(&to).expect("it has not left");
        if consumer.held.is_empty() {
            consumer.progress = now;
        }
        consumer.held.push(Held { offset, since: now });
        let id = consumer.group;
        let expected = self.next_of(id);
        assert_eq!(Some((offset, redelivered)), expected, "first in, first out");
        self.group(id).places.insert(offset, Place::InHand);
        self.counters.delivered += 1;
        self.counters.redelivered += u64::from(redelivered);
    }

    /// What comes next in a group.
    fn next_of(&self, group: u64) -> Option<(u64, bool)> {
        let first = |again: bool| {
            let mut places = self.groups[&group].places.iter();
            let found = places.find(|(_, place)| **place == Place::Waiting { again });
            found.map(|(offset, _)| (*offset, again))
        };
        first(true).or_else(|| first(false).filter(|(offset, _)| *offset <= self.stored))
    }

    fn room(&self, key: ConsumerKey) -> bool {
        let Some(consumer) = self.consumers.get(&key) else {
            return false;
        };
        let window = match consumer.taking {
            Taking::Written | Taking::Acknowledged { window: 0 } => self.config.window_messages,
            Taking::Acknowledged { window } => window.min(self.config.window_messages_max),
        };
        let bytes = consumer
            .held
            .iter()
            .map(|held| self.messages[&held.offset].bytes);
        consumer.held.len() < window as usize && bytes.sum::<usize>() < self.config.window_bytes
    }

    /// Checks a drained machine: nothing is stuck, and all that is counted is as it has to be.
    pub(super) fn check_drained(&self, queue: &Queue) {
        for (key, consumer) in &self.consumers {
            let stuck = self.next_of(consumer.group).filter(|_| self.room(*key));
            assert_eq!(stuck, None, "{key:?} has room");
        }
        assert_eq!(self.ends, BTreeSet::new(), "they read too slowly");
        assert_eq!(self.confirmed, self.stored, "producers wait");
        let (waiting, waiting_bytes) = self.load(true);
        let expected = Counters {
            waiting,
            waiting_bytes,
            consumers: self.consumers.len(),
            groups: self.groups.len(),
            ..self.counters
        };
        assert_eq!(queue.counters(), expected);
        let offsets = self.messages.keys().copied();
        let kept: Vec<u64> = offsets.filter(|offset| self.is_kept(*offset)).collect();
        let shown = kept
            .iter()
            .filter(|it| !self.is_expired(**it) && **it <= self.stored);
        let page = queue.history(0, usize::MAX, usize::MAX);
        let page: Vec<u64> = page.messages.iter().map(|kept| kept.offset).collect();
        assert_eq!(page, shown.copied().collect::<Vec<u64>>(), "history");
        let is_idle = self.consumers.is_empty() && kept.is_empty() && self.stored == self.last();
        assert_eq!(queue.is_idle(), is_idle, "{kept:?}");
        self.check_bounds(queue, &kept);
    }

    fn check_bounds(&self, queue: &Queue, kept: &[u64]) {
        let max = &self.config;
        let most = 3 * max.messages_max + max.history_messages_max;
        assert!(kept.len() <= most, "{} messages are kept", kept.len());
        let bytes: usize = kept.iter().map(|offset| self.messages[offset].bytes).sum();
        let most = 3 * max.bytes_max + max.history_bytes_max;
        assert!(bytes <= most, "{bytes} bytes are kept");
        assert!(
            queue.alarms.len() <= self.consumers.len(),
            "an alarm of nobody"
        );
        assert!(queue.dirty.is_empty(), "something is left to do");
        let turns: usize = queue
            .members
            .groups
            .values()
            .map(|group| group.turn.len())
            .sum();
        assert!(turns <= self.consumers.len(), "a turn of nobody");
    }

    /// Whether every message that came is done with, in every group that lasts.
    pub(super) fn is_done(&self) -> bool {
        self.groups.values().all(|group| group.places.is_empty())
    }
}
