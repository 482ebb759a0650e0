//! The messages of a channel, and who keeps each of them.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::mem;

use bytes::Bytes;

use crate::Time;

/// Slots of messages that are gone may be this many more than the others before these are moved away. Few in tests, so that
/// they come by it.
const GONE_MAX: usize = if cfg!(test) { 4 } else { 1024 };

/// For whom a message is kept: one of these for each group that is not done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// A group that lasts.
    Lasting,
    /// A fan-out consumer.
    Fanout,
    /// A group that lasts, of which a consumer was written it and may not have it.
    Doubt,
}

/// An amount of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) const fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    /// Whether one more of this size keeps within the bounds.
    pub(super) const fn fits(self, bytes: usize, max: Self) -> bool {
        self.messages < max.messages && self.bytes.saturating_add(bytes) <= max.bytes
    }

    pub(super) const fn is_within(self, max: Self) -> bool {
        self.messages <= max.messages && self.bytes <= max.bytes
    }
}

/// What a message is kept for, before all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Waiting,
    Lagging,
    Doubtful,
    Done,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Bytes,
    pub(super) expires_at: Time,
    pub(super) lasting: u32,
    pub(super) fanout: u32,
    pub(super) doubt: u32,
    /// It is in `expiries`, or was.
    own_expiry: bool,
    /// Nobody is pushed it any more; who was may still take it.
    pub(super) expired: bool,
    gone: bool,
}

impl Entry {
    const fn holders(&mut self, holder: Holder) -> &mut u32 {
        match holder {
            Holder::Lasting => &mut self.lasting,
            Holder::Fanout => &mut self.fanout,
            Holder::Doubt => &mut self.doubt,
        }
    }

    const fn class(&self) -> Class {
        if self.lasting > 0 {
            Class::Waiting
        } else if self.fanout > 0 {
            Class::Lagging
        } else if self.doubt > 0 {
            Class::Doubtful
        } else {
            Class::Done
        }
    }

    pub(super) const fn is_held(&self) -> bool {
        !matches!(self.class(), Class::Done)
    }
}

/// See the [module](self). A message is *gone* when nobody holds it and history does not keep it.
#[derive(Debug)]
pub(super) struct Log {
    /// A slot for each offset up to the latest; gone ones are empty.
    recent: VecDeque<Entry>,
    /// Those of `recent` that are not gone.
    kept: usize,
    /// Before those: the few that are kept though most around them are gone.
    old: BTreeMap<u64, Entry>,
    /// The offset of the next message.
    next: u64,
    /// Held by a group that lasts.
    pub(super) waiting: Load,
    /// Held by fan-out consumers alone, but for doubts.
    pub(super) lagging: Load,
    /// None before it is held by a group that lasts.
    waiting_from: u64,
    history_max: Load,
    /// History begins here.
    history_from: u64,
    history_bytes: usize,
    /// Of those that do not expire in the order of offsets.
    expiries: BTreeSet<(Time, u64)>,
    /// The others in `recent` before it have expired.
    expiry_from: u64,
}

impl Log {
    pub(super) const fn new(history_max: Load) -> Self {
        Self {
            recent: VecDeque::new(),
            kept: 0,
            old: BTreeMap::new(),
            next: 1,
            waiting: Load {
                messages: 0,
                bytes: 0,
            },
            lagging: Load {
                messages: 0,
                bytes: 0,
            },
            waiting_from: 1,
            history_max,
            history_from: 1,
            history_bytes: 0,
            expiries: BTreeSet::new(),
            expiry_from: 1,
        }
    }

    /// The offset of the next message.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept == 0 && self.old.is_empty()
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.recent.len() + self.old.len()
    }

    /// Offset of the first slot of `recent`.
    fn first(&self) -> u64 {
        self.next - self.recent.len() as u64
    }

    fn index(&self, offset: u64) -> Option<usize> {
        let index = offset.checked_sub(self.first())?;
        usize::try_from(index).ok()
    }

    /// The message, unless it is gone.
    pub(super) fn get(&self, offset: u64) -> Option<&Entry> {
        let entry = match self.index(offset) {
            Some(index) => self.recent.get(index),
            None => self.old.get(&offset),
        };
        entry.filter(|entry| !entry.gone)
    }

    fn get_mut(&mut self, offset: u64) -> Option<&mut Entry> {
        let entry = match self.index(offset) {
            Some(index) => self.recent.get_mut(index),
            None => self.old.get_mut(&offset),
        };
        entry.filter(|entry| !entry.gone)
    }

    /// Those from here on that are not gone, in order.
    pub(super) fn kept_from(&self, offset: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.first();
        let begin = usize::try_from(offset.saturating_sub(first)).unwrap_or(usize::MAX);
        let begin = begin.min(self.recent.len());
        let recent = (first + begin as u64..).zip(self.recent.range(begin..));
        let old = self
            .old
            .range(offset..)
            .map(|(offset, entry)| (*offset, entry));
        old.chain(recent.filter(|(_, entry)| !entry.gone))
    }

    /// The first from here on that may be pushed.
    pub(super) fn first_from(&self, offset: u64) -> Option<(u64, Bytes)> {
        let mut kept = self.kept_from(offset);
        let (offset, entry) = kept.find(|(_, entry)| !entry.expired)?;
        Some((offset, entry.message.clone()))
    }

    /// Appends a message for so many groups that last, and fan-out consumers. `own_expiry`: it may expire before ones that
    /// came earlier, or after ones that come later.
    pub(super) fn push(
        &mut self,
        message: Bytes,
        expires_at: Time,
        own_expiry: bool,
        holders: [usize; 2],
    ) -> u64 {
        let offset = self.next;
        let bytes = message.len();
        let [lasting, fanout] = holders.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let entry = Entry {
            message,
            expires_at,
            lasting,
            fanout,
            doubt: 0,
            own_expiry,
            expired: false,
            gone: false,
        };
        if own_expiry {
            self.expiries.insert((expires_at, offset));
        }
        if let Some(load) = self.load(entry.class()) {
            load.add(bytes);
        }
        self.recent.push_back(entry);
        self.kept += 1;
        self.next += 1;
        self.history_bytes += bytes;
        self.trim_history();
        self.pass_expiries();
        offset
    }

    const fn load(&mut self, class: Class) -> Option<&mut Load> {
        match class {
            Class::Waiting => Some(&mut self.waiting),
            Class::Lagging => Some(&mut self.lagging),
            Class::Doubtful | Class::Done => None,
        }
    }

    /// Has one more holder.
    fn hold(&mut self, offset: u64, holder: Holder) {
        self.update(offset, |entry| *entry.holders(holder) += 1);
    }

    /// One holder is done with it. `false`: the message is gone.
    pub(super) fn release(&mut self, offset: u64, holder: Holder) -> bool {
        self.update(offset, |entry| {
            let holders = entry.holders(holder);
            *holders = holders.saturating_sub(1);
        })
    }

    /// One holder becomes another. `false`: the message is gone.
    pub(super) fn exchange(&mut self, offset: u64, from: Holder, to: Holder) -> bool {
        self.update(offset, |entry| {
            let holders = entry.holders(from);
            *holders = holders.saturating_sub(1);
            *entry.holders(to) += 1;
        })
    }

    fn update(&mut self, offset: u64, change: impl FnOnce(&mut Entry)) -> bool {
        let Some(entry) = self.get_mut(offset) else {
            return false;
        };
        let before = entry.class();
        change(entry);
        let (after, bytes, expired) = (entry.class(), entry.message.len(), entry.expired);
        if before == after {
            return true;
        }
        if let Some(load) = self.load(before) {
            load.remove(bytes);
        }
        if let Some(load) = self.load(after) {
            load.add(bytes);
        }
        if after == Class::Waiting {
            self.waiting_from = self.waiting_from.min(offset);
        }
        if after == Class::Done && (expired || offset < self.history_from) {
            self.remove(offset);
        }
        true
    }

    /// Makes a message be gone, whoever holds it; gives it as it was, without its content.
    pub(super) fn remove(&mut self, offset: u64) -> Option<Entry> {
        let entry = self.get_mut(offset)?;
        let (class, bytes) = (entry.class(), entry.message.len());
        let removed = Entry {
            message: Bytes::new(),
            gone: true,
            ..*entry
        };
        entry.gone = true;
        drop(mem::take(&mut entry.message));
        if let Some(load) = self.load(class) {
            load.remove(bytes);
        }
        if offset >= self.history_from {
            self.history_bytes -= bytes;
        }
        if removed.own_expiry {
            self.expiries.remove(&(removed.expires_at, offset));
        }
        if self.old.remove(&offset).is_none() {
            self.kept -= 1;
            self.trim();
        }
        Some(removed)
    }

    fn trim(&mut self) {
        while self.recent.pop_front_if(|entry| entry.gone).is_some() {}
        while self.recent.len() > 2 * self.kept + GONE_MAX {
            self.move_first_away();
        }
        // After a rush the memory is given back.
        if self.recent.capacity() > 8 * (self.recent.len() + GONE_MAX) {
            self.recent.shrink_to(2 * self.recent.len() + GONE_MAX);
        }
        self.pass_expiries();
    }

    /// Lest one message that waits long keep the slots of all that came after it.
    fn move_first_away(&mut self) {
        let offset = self.first();
        let Some(mut entry) = self.recent.pop_front() else {
            return;
        };
        if entry.gone {
            return;
        }
        if !entry.own_expiry && offset >= self.expiry_from {
            entry.own_expiry = true;
            self.expiries.insert((entry.expires_at, offset));
        }
        self.kept -= 1;
        self.old.insert(offset, entry);
    }

    fn trim_history(&mut self) {
        while self.history_from < self.next
            && (self.next - self.history_from > self.history_max.messages as u64
                || self.history_bytes > self.history_max.bytes)
        {
            let offset = self.history_from;
            self.history_from += 1;
            let Some(entry) = self.get(offset) else {
                continue;
            };
            let (bytes, is_held) = (entry.message.len(), entry.is_held());
            self.history_bytes -= bytes;
            if !is_held {
                self.remove(offset);
            }
        }
    }

    /// The oldest message that a group that lasts holds.
    pub(super) fn oldest_waiting(&mut self) -> Option<u64> {
        let found = self
            .kept_from(self.waiting_from)
            .find(|(_, entry)| entry.lasting > 0)
            .map(|(offset, _)| offset);
        self.waiting_from = found.unwrap_or(self.next);
        found
    }

    /// Those from here on that may be pushed.
    pub(super) fn offsets_from(&self, offset: u64) -> Vec<u64> {
        let kept = self.kept_from(offset);
        let kept = kept.filter(|(_, entry)| !entry.expired);
        kept.map(|(offset, _)| offset).collect()
    }

    /// Keeps those from here on that may be pushed for one more holder.
    pub(super) fn hold_from(&mut self, offset: u64, holder: Holder) {
        for offset in self.offsets_from(offset) {
            self.hold(offset, holder);
        }
    }

    /// Moves `expiry_from` to what does expire in the order of offsets.
    fn pass_expiries(&mut self) {
        self.expiry_from = self.expiry_from.max(self.first());
        while self
            .slot(self.expiry_from)
            .is_some_and(|entry| entry.own_expiry)
        {
            self.expiry_from += 1;
        }
    }

    /// Gone or not.
    fn slot(&self, offset: u64) -> Option<&Entry> {
        self.recent.get(self.index(offset)?)
    }

    /// When the next one expires. May be too early by one that is gone.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        let own = self.expiries.first().map(|(at, _)| *at);
        let other = self.slot(self.expiry_from).map(|entry| entry.expires_at);
        own.into_iter().chain(other).min()
    }

    /// One that has expired by now and is kept. Given once; the caller releases it where that is due.
    pub(super) fn take_expired(&mut self, now: Time) -> Option<u64> {
        let offset = match self.expiries.first() {
            Some((at, offset)) if *at <= now => {
                let offset = *offset;
                self.expiries.pop_first();
                offset
            }
            Some(_) | None => self.take_expired_in_order(now)?,
        };
        self.get_mut(offset)?.expired = true;
        Some(offset)
    }

    fn take_expired_in_order(&mut self, now: Time) -> Option<u64> {
        loop {
            let offset = self.expiry_from;
            let entry = self.slot(offset)?;
            if entry.expires_at > now {
                return None;
            }
            let gone = entry.gone;
            self.expiry_from += 1;
            self.pass_expiries();
            if !gone {
                return Some(offset);
            }
        }
    }
}
