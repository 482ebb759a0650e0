//! From the log to the consumers, and what they do with it.

use core::{mem, ops::RangeInclusive};

use super::{
    ConsumerKey, Left, Output, Queue, Taking,
    consumer::{Consumer, Held},
    group::{GroupKey, Kind},
    log::{Holder, Load},
};

impl Queue {
    /// Pushes what it is given to the consumer of this group whose turn it is. `false`: there is nothing, or nobody.
    pub(super) fn push_to_next(&mut self, key: GroupKey) -> bool {
        let Some(group) = self.groups.get_mut(&key) else {
            return false;
        };
        let Some((to, share)) = group.next_turn(self.stored) else {
            return false;
        };
        let Some(consumer) = self.consumers.get_mut(&to) else {
            return true;
        };
        let had_nothing = consumer.held.is_empty();
        let mut pushed = 0;
        while pushed < share && consumer.has_room() {
            let next = group.next_message(&self.log, self.stored);
            let Some((offset, redelivered)) = next else {
                break;
            };
            let Some(entry) = self.log.get(offset) else {
                continue;
            };
            consumer.push(Held {
                offset,
                bytes: entry.message.len(),
                since: self.now,
            });
            pushed += 1;
            self.counters.delivered += 1;
            self.counters.redelivered += u64::from(redelivered);
            self.outputs.push_back(Output::Deliver {
                to,
                offset,
                message: entry.message.clone(),
                redelivered,
            });
        }
        consumer.has_turn = consumer.has_room();
        if consumer.has_turn {
            group.turn.push_back(to);
        }
        if pushed > 0 {
            if had_nothing {
                consumer.progress = self.now;
            }
            let timeout = match consumer.taking {
                Taking::Written => self.config.stall_timeout,
                Taking::Acknowledged { .. } => self.config.ack_timeout,
            };
            self.set_alarm(to, timeout);
        }
        pushed > 0
    }

    /// The connection of a plain consumer has taken the oldest of what it holds.
    pub(super) fn written(&mut self, key: ConsumerKey, messages: u32) {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        if consumer.taking != Taking::Written || messages == 0 || consumer.held.is_empty() {
            return;
        }
        consumer.progress = self.now;
        let group = consumer.group;
        let is_fanout = self
            .groups
            .get(&group)
            .is_some_and(|group| matches!(group.kind, Kind::Fanout(_)));
        for _ in 0..messages {
            let Some(held) = self.consumers.get_mut(&key).and_then(Consumer::pop) else {
                break;
            };
            if is_fanout {
                // There is nobody that it could go to.
                self.take(group, held.offset, Holder::Fanout);
            } else {
                self.doubt(key, held);
            }
        }
        if !is_fanout {
            self.limit_doubts(key);
            self.set_alarm(key, self.config.in_doubt_timeout);
        }
        self.after_progress(key);
    }

    fn doubt(&mut self, key: ConsumerKey, held: Held) {
        let is_kept = self
            .log
            .exchange(held.offset, Holder::Lasting, Holder::Doubt);
        if !is_kept {
            return;
        }
        if let Some(consumer) = self.consumers.get_mut(&key) {
            self.doubts.add(held.bytes);
            consumer.in_doubt_bytes += held.bytes;
            consumer.in_doubt.push_back(Held {
                since: self.now,
                ..held
            });
        }
    }

    /// Keeps what is in doubt within its bounds: a consumer that adds to it gives its own oldest up.
    fn limit_doubts(&mut self, key: ConsumerKey) {
        let own_max = Load {
            messages: self.config.in_doubt_messages_max,
            bytes: self.config.in_doubt_bytes_max,
        };
        while let Some(consumer) = self.consumers.get(&key) {
            let own = Load {
                messages: consumer.in_doubt.len(),
                bytes: consumer.in_doubt_bytes,
            };
            if own.is_within(own_max) && self.doubts.is_within(self.bounds()) {
                return;
            }
            if !self.believe(key) {
                return;
            }
        }
    }

    /// The oldest message in doubt at this consumer counts as taken. `false`: there is none.
    pub(super) fn believe(&mut self, key: ConsumerKey) -> bool {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return false;
        };
        let Some(held) = consumer.in_doubt.pop_front() else {
            return false;
        };
        consumer.in_doubt_bytes -= held.bytes;
        self.doubts.remove(held.bytes);
        let group = consumer.group;
        self.take(group, held.offset, Holder::Doubt);
        true
    }

    pub(super) fn taken(&mut self, key: ConsumerKey, ranges: &[RangeInclusive<u64>]) {
        let Some((group, holder)) = self.acknowledging(key) else {
            return;
        };
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            self.take_held(key, group, holder, range);
            self.take_again(group, holder, range);
        }
        self.after_progress(key);
    }

    fn take_held(
        &mut self,
        key: ConsumerKey,
        group: GroupKey,
        holder: Holder,
        range: &RangeInclusive<u64>,
    ) {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        let mut removed = mem::take(&mut self.scratch);
        consumer.remove(range, |held| removed.push(held.offset));
        for offset in removed.drain(..) {
            self.take(group, offset, holder);
        }
        self.scratch = removed;
    }

    /// What waits to be pushed again may be taken by who had it first.
    fn take_again(&mut self, key: GroupKey, holder: Holder, range: &RangeInclusive<u64>) {
        while let Some(group) = self.groups.get_mut(&key) {
            let Some(offset) = group.again.range(range.clone()).next().copied() else {
                return;
            };
            group.again.remove(&offset);
            self.take(key, offset, holder);
        }
    }

    pub(super) fn returned(&mut self, key: ConsumerKey, ranges: &[RangeInclusive<u64>]) {
        let Some((group, holder)) = self.acknowledging(key) else {
            return;
        };
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let Some(consumer) = self.consumers.get_mut(&key) else {
                return;
            };
            let mut removed = mem::take(&mut self.scratch);
            consumer.remove(range, |held| removed.push(held.offset));
            for offset in removed.drain(..) {
                self.give_back(group, offset, holder);
            }
            self.scratch = removed;
        }
        self.after_progress(key);
    }

    fn acknowledging(&self, key: ConsumerKey) -> Option<(GroupKey, Holder)> {
        let consumer = self.consumers.get(&key)?;
        let group = self.groups.get(&consumer.group)?;
        match consumer.taking {
            Taking::Acknowledged { .. } => Some((consumer.group, group.holder())),
            Taking::Written => None,
        }
    }

    /// A consumer may have room again, and its group something to push.
    pub(super) fn after_progress(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        let key_of_group = consumer.group;
        if !consumer.has_turn && consumer.has_room() {
            consumer.has_turn = true;
            if let Some(group) = self.groups.get_mut(&key_of_group) {
                group.turn.push_back(key);
            }
        }
        self.mark(key_of_group);
    }

    /// A message that was pushed goes to the group again, unless it has expired or was dropped.
    pub(super) fn give_back(&mut self, key: GroupKey, offset: u64, holder: Holder) {
        let Some(entry) = self.log.get(offset) else {
            return;
        };
        if entry.expired {
            self.counters.expired += 1;
            self.log.release(offset, holder);
            return;
        }
        if let Some(group) = self.groups.get_mut(&key) {
            group.again.insert(offset);
        }
    }

    /// A consumer is no more; what it did not take goes to its group again.
    pub(super) fn leave(&mut self, key: ConsumerKey, how: Left) {
        let Some(consumer) = self.consumers.remove(&key) else {
            return;
        };
        if let Some(at) = consumer.alarm {
            self.alarms.remove(&(at, key));
        }
        let group = consumer.group;
        let Some(of_group) = self.groups.get_mut(&group) else {
            return;
        };
        if matches!(of_group.kind, Kind::Fanout(_)) {
            self.end_group(group, &consumer);
            return;
        }
        if consumer.has_turn {
            of_group.turn.retain(|other| *other != key);
        }
        for held in &consumer.held {
            self.give_back(group, held.offset, Holder::Lasting);
        }
        for held in &consumer.in_doubt {
            self.doubts.remove(held.bytes);
            match how {
                Left::Cancelled => self.take(group, held.offset, Holder::Doubt),
                Left::Broken => {
                    self.log
                        .exchange(held.offset, Holder::Doubt, Holder::Lasting);
                    self.give_back(group, held.offset, Holder::Lasting);
                }
            }
        }
        self.mark(group);
    }

    /// A fan-out consumer was a group by itself.
    fn end_group(&mut self, key: GroupKey, consumer: &Consumer) {
        let Some(group) = self.groups.swap_remove(&key) else {
            return;
        };
        let held = consumer.held.iter().map(|held| held.offset);
        let fresh = group.next..self.log.next();
        for offset in held.chain(group.again).chain(fresh) {
            let entry = self.log.get(offset);
            // What has expired by now was let go of already, unless it was in the consumer's hands.
            if entry.is_some_and(|entry| !entry.expired || offset < group.next) {
                self.log.release(offset, Holder::Fanout);
                self.counters.left_behind += 1;
            }
        }
    }
}
