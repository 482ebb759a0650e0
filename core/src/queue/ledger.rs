//! The messages, what has become of them, and what the driver is told of it.

use alloc::collections::VecDeque;
use core::ops::RangeInclusive;

use super::{
    Counters, Name, Output, QueueConfig,
    group::{Group, Kind},
    log::{Holder, Load, Log},
};

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) log: Log,
    pub(super) counters: Counters,
    pub(super) outputs: VecDeque<Output>,
    /// What a group has taken lately and the driver was not told yet.
    taken: Option<(Name, RangeInclusive<u64>)>,
}

impl Ledger {
    pub(super) fn new(config: &QueueConfig) -> Self {
        let history_max = Load {
            messages: config.history_messages_max,
            bytes: config.history_bytes_max,
        };
        Self {
            log: Log::new(history_max),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            taken: None,
        }
    }

    /// Nothing is kept, and nothing is to be told.
    pub(super) fn is_empty(&self) -> bool {
        self.log.is_empty() && !self.has_outputs()
    }

    pub(super) fn has_outputs(&self) -> bool {
        !self.outputs.is_empty() || self.taken.is_some()
    }

    /// A group is done with a message. Ignored if it is gone.
    pub(super) fn take(&mut self, group: &Group, offset: u64, holder: Holder) {
        if self.log.release(offset, holder) {
            self.counters.taken += 1;
            self.note_taken(group, offset);
        }
    }

    /// To be told, together with its neighbours. Nothing is told of fan-out consumers.
    pub(super) fn note_taken(&mut self, group: &Group, offset: u64) {
        let Kind::Lasting(name) = &group.kind else {
            return;
        };
        if let Some((last, range)) = &mut self.taken
            && *range.end() + 1 == offset
            && last == name
        {
            *range = *range.start()..=offset;
            return;
        }
        self.tell_taken();
        self.taken = Some((name.clone(), offset..=offset));
    }

    /// Makes an output of what was noted.
    pub(super) fn tell_taken(&mut self) {
        if let Some((group, offsets)) = self.taken.take() {
            self.outputs
                .push_back(Output::PersistTaken { group, offsets });
        }
    }

    /// A message that was pushed goes to the group again, unless it has expired or was dropped.
    pub(super) fn give_back(&mut self, group: &mut Group, offset: u64) {
        match self.log.get(offset) {
            None => {}
            Some(entry) if entry.expired => {
                self.counters.expired += 1;
                self.log.release(offset, group.holder());
            }
            Some(_) => {
                group.again.insert(offset);
            }
        }
    }

    /// Takes an expired message from the groups that have it waiting. In the hands of a consumer it may still be taken.
    pub(super) fn expire<'a>(&mut self, offset: u64, groups: impl Iterator<Item = &'a mut Group>) {
        if self.log.get(offset).is_some_and(|entry| !entry.is_held()) {
            self.log.remove(offset);
            return;
        }
        for group in groups.filter(|group| group.awaits(offset)) {
            group.again.remove(&offset);
            if self.log.release(offset, group.holder()) {
                self.counters.expired += 1;
            }
        }
    }

    /// Drops a message, whoever holds it.
    pub(super) fn drop_message<'a>(
        &mut self,
        offset: u64,
        groups: impl Iterator<Item = &'a mut Group>,
    ) {
        let Some(entry) = self.log.remove(offset) else {
            return;
        };
        self.counters.dropped += u64::from(entry.lasting) + u64::from(entry.fanout);
        self.counters.taken += u64::from(entry.doubt);
        for group in groups {
            group.again.remove(&offset);
            self.note_taken(group, offset);
        }
    }

    /// A fan-out consumer, which was a group by itself, leaves this behind.
    pub(super) fn leave_behind(&mut self, group: Group, held: impl Iterator<Item = u64>) {
        let fresh = self.log.offsets_from(group.next);
        for offset in held.chain(group.again).chain(fresh) {
            if self.log.release(offset, Holder::Fanout) {
                self.counters.left_behind += 1;
            }
        }
    }
}
