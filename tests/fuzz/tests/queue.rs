//! The machine of a push channel on lists of what can happen to it, extreme numbers included. What comes of a run in
//! detail is held against a model in the machine's own tests; here are promises that need none.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    ops::RangeInclusive,
    time::Duration,
};

use bytes::Bytes;
use headwater_core::{
    Time,
    queue::{
        ConsumerKey, Full, Input, Left, Mode, Name, NewConsumer, Output, Queue, QueueConfig,
        Refusal, Taking,
    },
};
use headwater_fuzz::{
    corpus,
    machine::{Machine, Ran},
};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};

const WINDOW: u32 = 4;
const MESSAGES_MAX: usize = 8;
const CONSUMERS_MAX: usize = 6;
const GROUPS_MAX: usize = 2;

/// One byte of configuration, and three for each thing that happens: which, and two to choose by.
#[derive(Clone, PartialEq, Eq)]
struct Operations {
    config: u8,
    list: Vec<[u8; 3]>,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&corpus::format(&self.to_bytes()))
    }
}

impl Operations {
    /// Any bytes. What is cut off does not happen.
    fn parse(bytes: &[u8]) -> Self {
        let (config, rest) = bytes.split_first().map_or((0, bytes), |(c, r)| (*c, r));
        let (list, _) = rest.as_chunks::<3>();
        let list = list.to_vec();
        Self { config, list }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let list = self.list.iter().flatten().copied();
        [self.config].into_iter().chain(list).collect()
    }
}

fn operations() -> impl Strategy<Value = Operations> {
    let operation = (0..16_u8, 0..8_u8, any::<u8>()).prop_map(|(what, who, how)| [what, who, how]);
    (any::<u8>(), vec(operation, 0..120)).prop_map(|(config, list)| Operations { config, list })
}

/// What is known of a consumer that is there.
#[derive(Debug)]
struct Consumer {
    /// `None`: it is a group by itself.
    group: Option<Name>,
    taking: Taking,
    /// Pushed, and neither written nor answered.
    held: Vec<u64>,
}

/// A channel, and what its driver knows.
struct Run {
    queue: Queue,
    now: Time,
    /// By offset: when it expires.
    messages: BTreeMap<u64, Time>,
    stored: u64,
    confirmed: u64,
    consumers: BTreeMap<ConsumerKey, Consumer>,
    /// Those that left of themselves; they may have been ended before that was said.
    left: BTreeSet<ConsumerKey>,
    /// What was pushed in each group that lasts, and whether it was taken for certain.
    pushed: BTreeMap<(Name, u64), bool>,
    log: Vec<Output>,
    /// What of the machine was reached.
    reached: BTreeSet<String>,
}

/// A number out of a byte: small ones, and the largest.
fn number(byte: u8) -> u64 {
    match byte {
        255 => u64::MAX,
        254 => u64::MAX - 1,
        small => small.into(),
    }
}

fn time(byte: u8) -> Duration {
    match byte {
        255 => Duration::MAX,
        seconds => Duration::from_secs(seconds.into()),
    }
}

fn config(bits: u8) -> QueueConfig {
    let is_set = |bit: u8| bits >> bit & 1 == 1;
    let pick = |bit, yes, no| if is_set(bit) { yes } else { no };
    QueueConfig {
        mode: if is_set(0) {
            Mode::Fanout
        } else {
            Mode::Shared
        },
        full: if is_set(1) {
            Full::DropOldest
        } else {
            Full::Refuse
        },
        messages_max: pick(2, MESSAGES_MAX, 1),
        bytes_max: if is_set(3) { 20 } else { 1000 },
        expires_after: if is_set(4) {
            Duration::MAX
        } else {
            Duration::from_secs(100)
        },
        history_messages_max: if is_set(5) { 0 } else { 5 },
        groups_max: GROUPS_MAX,
        consumers_max: CONSUMERS_MAX,
        window_messages: if is_set(6) { 0 } else { WINDOW },
        window_messages_max: WINDOW,
        in_doubt_messages_max: if is_set(5) { 0 } else { 3 },
        // All limits at once, or none but those that the consumers bring.
        stall_timeout: if is_set(7) {
            Duration::ZERO
        } else {
            Duration::from_secs(30)
        },
        ack_timeout: if is_set(7) {
            Duration::MAX
        } else {
            Duration::from_secs(40)
        },
        ..QueueConfig::default()
    }
}

impl Run {
    fn new(bits: u8) -> Self {
        Self {
            queue: Queue::new(config(bits)),
            now: Time::ZERO,
            messages: BTreeMap::new(),
            stored: 0,
            confirmed: 0,
            consumers: BTreeMap::new(),
            left: BTreeSet::new(),
            pushed: BTreeMap::new(),
            log: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    fn reach(&mut self, what: impl Into<String>) {
        self.reached.insert(what.into());
    }

    fn who(&self, byte: u8) -> Option<ConsumerKey> {
        let count = self.consumers.len().max(1);
        self.consumers
            .keys()
            .nth(usize::from(byte) % count)
            .copied()
    }

    fn happens(&mut self, [what, who, how]: [u8; 3]) -> Result<(), TestCaseError> {
        let consumer = self.who(who);
        match (what % 16, consumer) {
            (0..=4, _) => self.submit(usize::from(who), how),
            (5, _) => self.subscribe(who, how),
            (6, _) => self.store(number(how)),
            (7, _) => self.pass(time(how))?,
            (8, Some(consumer)) => self.leave(consumer, how & 1 == 0),
            (9..=11, Some(consumer)) => self.written(consumer, how),
            (12 | 13, Some(consumer)) => self.taken(consumer, number(how)),
            (14, Some(consumer)) => self.returned(consumer, number(how)),
            _ => {
                self.store(u64::MAX);
                self.drain()?;
            }
        }
        Ok(())
    }

    fn submit(&mut self, bytes: usize, how: u8) {
        let ttl = (how & 1 == 1).then(|| time(how));
        let message = Bytes::from(vec![7; bytes * 4]);
        let offset = self.queue.next_offset();
        match self.queue.submit(message, ttl, self.now) {
            Ok(given) => assert_eq!(given, offset, "as it was told before"),
            Err(refusal) => self.reach(format!("refused {refusal:?}")),
        }
    }

    fn subscribe(&mut self, who: u8, how: u8) {
        let name = ["", "", "a", "b"][usize::from(who % 4)];
        let group = Name::new(name).expect("it is short");
        let mode = [None, None, Some(Mode::Shared), Some(Mode::Fanout)][usize::from(how % 4)];
        let window = number(how).try_into().unwrap_or(u32::MAX);
        let taking = if how & 4 == 0 {
            Taking::Written
        } else {
            Taking::Acknowledged { window }
        };
        let groups = self.queue.counters().groups;
        let new = NewConsumer {
            group: group.clone(),
            mode,
            from_offset: number(how >> 3),
            taking,
        };
        let consumer = match self.queue.subscribe(new, self.now) {
            Ok(key) => key,
            Err(refusal) => {
                assert_ne!(refusal, Refusal::Full, "this is about messages");
                return self.reach(format!("refused {refusal:?}"));
            }
        };
        // Whether the mode of the channel made it one shows in the groups, unless others ended meanwhile.
        let is_fanout = mode == Some(Mode::Fanout)
            || (mode.is_none() && name.is_empty() && self.queue.counters().groups > groups);
        let group = (!is_fanout).then_some(group);
        let held = Vec::new();
        let new = Consumer {
            group,
            taking,
            held,
        };
        let old = self.consumers.insert(consumer, new);
        assert!(old.is_none(), "{consumer:?} was given before");
    }

    fn store(&mut self, through: u64) {
        self.queue.handle(Input::Persisted { through }, self.now);
        self.stored = self.stored.max(through.min(self.queue.next_offset() - 1));
    }

    fn pass(&mut self, time: Duration) -> Result<(), TestCaseError> {
        self.drain()?;
        let until = self.now + time.min(Duration::from_secs(1000));
        for _ in 0..10_000 {
            let due = self.queue.poll_timeout().filter(|due| due.at <= until);
            let Some(due) = due else {
                self.now = until;
                self.queue.handle(Input::Timeout, self.now);
                return self.drain();
            };
            prop_assert!(due.at > self.now, "due again and again: {due:?}");
            self.now = due.at;
            self.queue.handle(Input::Timeout, self.now);
            self.drain()?;
        }
        Err(TestCaseError::fail("there is always something due"))
    }

    fn leave(&mut self, consumer: ConsumerKey, is_broken: bool) {
        let how = if is_broken {
            Left::Broken
        } else {
            Left::Cancelled
        };
        self.queue.handle(Input::Left { consumer, how }, self.now);
        self.consumers.remove(&consumer);
        self.left.insert(consumer);
    }

    fn written(&mut self, consumer: ConsumerKey, how: u8) {
        let messages = number(how % 8).try_into().unwrap_or(u32::MAX);
        let known = self.consumers.get_mut(&consumer);
        if let Some(known) = known.filter(|known| known.taking == Taking::Written) {
            let count = known.held.len().min(messages as usize);
            known.held.drain(..count);
        }
        self.queue
            .handle(Input::Written { consumer, messages }, self.now);
    }

    fn taken(&mut self, consumer: ConsumerKey, from: u64) {
        let range = from..=from.saturating_add(3);
        self.let_go(consumer, &range, true);
        let ranges = vec![range.clone(), range];
        self.queue
            .handle(Input::Taken { consumer, ranges }, self.now);
    }

    fn returned(&mut self, consumer: ConsumerKey, to: u64) {
        let range = 0..=to;
        self.let_go(consumer, &range, false);
        let ranges = vec![range];
        self.queue
            .handle(Input::Returned { consumer, ranges }, self.now);
    }

    fn let_go(&mut self, consumer: ConsumerKey, range: &RangeInclusive<u64>, is_taken: bool) {
        let Some(known) = self.consumers.get_mut(&consumer) else {
            return;
        };
        if known.taking == Taking::Written {
            return;
        }
        for offset in known.held.extract_if(.., |offset| range.contains(offset)) {
            let pushed = known.group.clone().map(|group| (group, offset));
            if let Some(taken) = pushed.and_then(|key| self.pushed.get_mut(&key)) {
                *taken |= is_taken;
            }
        }
    }

    fn drain(&mut self) -> Result<(), TestCaseError> {
        while let Some(output) = self.queue.poll_output() {
            self.log.push(output.clone());
            self.told(output)?;
        }
        let counters = self.queue.counters();
        prop_assert!(
            counters.waiting <= 2 * MESSAGES_MAX,
            "and what was in doubt"
        );
        prop_assert!(counters.consumers <= CONSUMERS_MAX);
        prop_assert!(counters.groups <= GROUPS_MAX + CONSUMERS_MAX);
        prop_assert_eq!(counters.consumers, self.consumers.len());
        Ok(())
    }

    fn told(&mut self, output: Output) -> Result<(), TestCaseError> {
        match output {
            Output::Persist {
                offset, expires_at, ..
            } => {
                prop_assert_eq!(offset, self.messages.len() as u64 + 1, "no hole");
                self.messages.insert(offset, expires_at);
            }
            Output::PersistTaken { offsets, .. } => {
                self.reach("taken");
                prop_assert!(offsets.start() <= offsets.end() && *offsets.start() > 0);
                prop_assert!(*offsets.end() < self.queue.next_offset());
            }
            Output::Confirm { through } => {
                prop_assert!(self.confirmed < through && through <= self.stored);
                self.confirmed = through;
            }
            Output::Deliver {
                to,
                offset,
                redelivered,
                ..
            } => self.delivered(to, offset, redelivered)?,
            Output::End { consumer, .. } => {
                self.reach("ended");
                let is_there = self.consumers.remove(&consumer).is_some();
                prop_assert!(is_there || self.left.remove(&consumer), "ended twice");
            }
        }
        Ok(())
    }

    fn delivered(
        &mut self,
        to: ConsumerKey,
        offset: u64,
        redelivered: bool,
    ) -> Result<(), TestCaseError> {
        prop_assert!(offset <= self.stored, "{offset} is not stored");
        let is_late = self.messages.get(&offset).is_none_or(|at| *at <= self.now);
        prop_assert!(!is_late, "{offset} has expired");
        let group = self.consumers.get(&to).and_then(|it| it.group.clone());
        if let Some(group) = group {
            // One that held it for too long has lost it, without being told.
            for other in self.consumers.values_mut() {
                if other.group.as_ref() == Some(&group) {
                    other.held.retain(|held| *held != offset);
                }
            }
            match self.pushed.entry((group, offset)) {
                Entry::Occupied(taken) => {
                    prop_assert!(redelivered, "{offset} was pushed before");
                    prop_assert!(!taken.get(), "{offset} was taken");
                }
                Entry::Vacant(new) => {
                    prop_assert!(!redelivered, "{offset} is new");
                    new.insert(false);
                }
            }
        }
        self.reach(if redelivered {
            "redelivered"
        } else {
            "delivered"
        });
        let Some(consumer) = self.consumers.get_mut(&to) else {
            return Err(TestCaseError::fail(format!("{to:?} has left")));
        };
        consumer.held.retain(|held| *held != offset);
        consumer.held.push(offset);
        Ok(())
    }

    /// Once everybody has left, time alone empties the channel.
    fn finish(&mut self, is_timeless: bool) -> Result<(), TestCaseError> {
        self.store(u64::MAX);
        self.drain()?;
        while let Some(consumer) = self.who(0) {
            self.leave(consumer, true);
        }
        self.pass(Duration::from_secs(1000))?;
        let counters = self.queue.counters();
        prop_assert!(is_timeless || self.queue.is_idle(), "{counters:?}");
        prop_assert!(is_timeless || self.queue.poll_timeout().is_none());
        prop_assert_eq!(self.confirmed, counters.submitted);
        Ok(())
    }
}

fn run(operations: &Operations) -> Result<Ran<Output>, TestCaseError> {
    let mut run = Run::new(operations.config);
    for operation in &operations.list {
        run.happens(*operation)?;
    }
    let is_endless = |[what, _, how]: &[u8; 3]| what % 16 <= 4 && *how == 255;
    let is_timeless = operations.config >> 4 & 1 == 1 || operations.list.iter().any(is_endless);
    run.finish(is_timeless)?;
    Ok(Ran {
        log: run.log,
        reached: run.reached,
    })
}

const MACHINE: Machine<Operations, Output> = Machine {
    corpus: "queue",
    parse: Operations::parse,
    to_bytes: Operations::to_bytes,
    run,
};

#[test]
fn the_corpus_of_channels_keeps_its_promises() {
    MACHINE.replay_corpus();
}

/// S3-16, S3-19: nothing is pushed twice without a mark, nor when it has expired or was taken; bounds hold; and nothing is
/// left once all have gone and time has passed.
#[test]
fn s3_16_s3_19_channels_keep_their_promises_whatever_happens() {
    let rare = [
        "delivered",
        "redelivered",
        "taken",
        "ended",
        "refused Full",
        "refused TooLarge(20)",
        "refused TooManyGroups(2)",
        "refused TooManyConsumers(6)",
        "refused GroupOfFanout",
    ];
    MACHINE.check_whatever_happens("channels", 3000, &operations(), &rare);
}

#[test]
fn noise_is_no_danger_to_a_channel() {
    MACHINE.check_noise("noise of channels", 3000, 400);
}
