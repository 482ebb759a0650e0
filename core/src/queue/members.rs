//! Who consumes, in which group, and who is to be looked at when.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use hashbrown::HashMap;
use indexmap::IndexMap;

use super::{
    ConsumerKey, Name,
    consumer::Consumer,
    group::{Group, GroupKey, Kind},
};
use crate::{Time, hash::Hasher};

/// The keys of the maps are minted here, one after the other: nobody can choose colliding ones.
const HASHER: Hasher = Hasher::new(0);

/// The shortest time limit, lest one of 0 be due for ever.
pub(super) const TIMEOUT_MIN: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Members {
    pub(super) groups: IndexMap<GroupKey, Group, Hasher>,
    /// The groups that last.
    pub(super) lasting: BTreeMap<Name, GroupKey>,
    pub(super) consumers: HashMap<ConsumerKey, Consumer, Hasher>,
    keys: u64,
}

impl Members {
    pub(super) const fn new() -> Self {
        Self {
            groups: IndexMap::with_hasher(HASHER),
            lasting: BTreeMap::new(),
            consumers: HashMap::with_hasher(HASHER),
            keys: 0,
        }
    }

    pub(super) const fn next_consumer(&mut self) -> ConsumerKey {
        self.keys += 1;
        ConsumerKey(self.keys)
    }

    /// Adds a group that begins at this offset.
    pub(super) fn begin(&mut self, kind: Kind, next: u64) -> GroupKey {
        self.keys += 1;
        let key = GroupKey(self.keys);
        if let Kind::Lasting(name) = &kind {
            self.lasting.insert(name.clone(), key);
        }
        self.groups.insert(key, Group::new(kind, next));
        key
    }

    /// Groups that end with their consumer.
    pub(super) fn fanouts(&self) -> usize {
        self.groups.len() - self.lasting.len()
    }

    /// A consumer and its group.
    pub(super) fn pair(&mut self, key: ConsumerKey) -> Option<(&mut Consumer, &mut Group)> {
        let consumer = self.consumers.get_mut(&key)?;
        let group = self.groups.get_mut(&consumer.group)?;
        Some((consumer, group))
    }
}

/// Groups that may have something to push and a consumer to push it to.
#[derive(Debug, Default)]
pub(super) struct Dirty(VecDeque<GroupKey>);

impl Dirty {
    /// Has a group looked at before the outputs are drained.
    pub(super) fn mark(&mut self, key: GroupKey, group: &mut Group) {
        if !group.turn.is_empty() && !group.is_dirty {
            group.is_dirty = true;
            self.0.push_back(key);
        }
    }

    /// A consumer may have room again, and its group something to push.
    pub(super) fn offer(&mut self, key: ConsumerKey, consumer: &mut Consumer, group: &mut Group) {
        if !consumer.has_turn && consumer.has_room() {
            consumer.has_turn = true;
            group.turn.push_back(key);
        }
        self.mark(consumer.group, group);
    }

    pub(super) fn first(&self) -> Option<GroupKey> {
        self.0.front().copied()
    }

    /// The first one is clean now.
    pub(super) fn pop(&mut self) {
        self.0.pop_front();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// When to look at which consumer. At most one a consumer: it may be early, and is then set anew.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeSet<(Time, ConsumerKey)>);

impl Alarms {
    /// Has a consumer looked at now at the latest.
    pub(super) fn set(&mut self, at: Time, key: ConsumerKey, consumer: &mut Consumer) {
        match consumer.alarm {
            Some(alarm) if alarm <= at => return,
            Some(alarm) => {
                self.0.remove(&(alarm, key));
            }
            None => {}
        }
        self.0.insert((at, key));
        consumer.alarm = Some(at);
    }

    /// The consumer is no more.
    pub(super) fn remove(&mut self, key: ConsumerKey, consumer: &Consumer) {
        if let Some(at) = consumer.alarm {
            self.0.remove(&(at, key));
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    /// One that is due.
    pub(super) fn take_due(&mut self, now: Time) -> Option<ConsumerKey> {
        let (at, _) = self.0.first()?;
        if *at > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
