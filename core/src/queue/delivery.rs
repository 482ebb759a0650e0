//! From the log to the consumers, and what they do with it.

use core::ops::RangeInclusive;

use super::{
    ConsumerKey, Left, Output, Queue, Taking,
    consumer::Held,
    group::{GroupKey, Kind},
    log::{Holder, Load},
};

impl Queue {
    /// Pushes what it is given to the consumer of this group whose turn it is. `false`: there is nothing, or nobody.
    pub(super) fn push_to_next(&mut self, key: GroupKey) -> bool {
        let Some(group) = self.members.groups.get_mut(&key) else {
            return false;
        };
        let Some((to, share)) = group.next_turn(self.stored) else {
            group.is_dirty = false;
            return false;
        };
        let Some(consumer) = self.members.consumers.get_mut(&to) else {
            return true;
        };
        let had_nothing = consumer.held.is_empty();
        let mut pushed = 0;
        while pushed < share && consumer.has_room() {
            let next = group.next_message(&self.ledger.log, self.stored);
            let Some((offset, message, redelivered)) = next else {
                break;
            };
            consumer.push(Held {
                offset,
                bytes: message.len(),
                since: self.now,
            });
            pushed += 1;
            self.ledger.counters.delivered += 1;
            self.ledger.counters.redelivered += u64::from(redelivered);
            self.ledger.outputs.push_back(Output::Deliver {
                to,
                offset,
                message,
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
            let at = self.now + timeout;
            self.alarms.set(at, to, consumer);
        }
        true
    }

    /// The connection of a plain consumer has taken the oldest of what it holds.
    pub(super) fn written(&mut self, key: ConsumerKey, messages: u32) {
        let all_max = self.bounds();
        let Some((consumer, group)) = self.members.pair(key) else {
            return;
        };
        if consumer.taking != Taking::Written {
            return;
        }
        for _ in 0..messages {
            let Some(held) = consumer.pop() else {
                break;
            };
            consumer.progress = self.now;
            if group.holder() == Holder::Fanout {
                // There is nobody that it could go to.
                self.ledger.take(group, held.offset, Holder::Fanout);
                continue;
            }
            let log = &mut self.ledger.log;
            if log.exchange(held.offset, Holder::Lasting, Holder::Doubt) {
                self.doubts.add(held.bytes);
                consumer.doubt(held, self.now);
            }
        }
        // A consumer that adds to what is in doubt gives its own oldest up.
        let own_max = Load {
            messages: self.config.in_doubt_messages_max,
            bytes: self.config.in_doubt_bytes_max,
        };
        while !consumer.doubts().is_within(own_max) || !self.doubts.is_within(all_max) {
            let Some(held) = consumer.pop_doubt() else {
                break;
            };
            self.doubts.remove(held.bytes);
            self.ledger.take(group, held.offset, Holder::Doubt);
        }
        if let Some(held) = consumer.in_doubt.front() {
            let at = held.since + self.config.in_doubt_timeout;
            self.alarms.set(at, key, consumer);
        }
        self.dirty.offer(key, consumer, group);
    }

    /// An acknowledging consumer is done with messages. Those that wait to be pushed again may be taken by who had them.
    pub(super) fn taken(&mut self, key: ConsumerKey, ranges: &[RangeInclusive<u64>]) {
        let Some((consumer, group)) = self.members.pair(key) else {
            return;
        };
        if consumer.taking == Taking::Written {
            return;
        }
        let holder = group.holder();
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            consumer.remove(range, |held| self.ledger.take(group, held.offset, holder));
            while let Some(offset) = group.again.range(range.clone()).next().copied() {
                group.again.remove(&offset);
                self.ledger.take(group, offset, holder);
            }
        }
        self.dirty.offer(key, consumer, group);
    }

    /// An acknowledging consumer gives messages back.
    pub(super) fn returned(&mut self, key: ConsumerKey, ranges: &[RangeInclusive<u64>]) {
        let Some((consumer, group)) = self.members.pair(key) else {
            return;
        };
        if consumer.taking == Taking::Written {
            return;
        }
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            consumer.remove(range, |held| self.ledger.give_back(group, held.offset));
        }
        self.dirty.offer(key, consumer, group);
    }

    /// A consumer is no more; what it did not take goes to its group again.
    pub(super) fn leave(&mut self, key: ConsumerKey, how: Left) {
        let Some(consumer) = self.members.consumers.remove(&key) else {
            return;
        };
        self.alarms.remove(key, &consumer);
        let held = consumer.held.iter().map(|held| held.offset);
        let Some(group) = self.members.groups.get_mut(&consumer.group) else {
            return;
        };
        if matches!(group.kind, Kind::Fanout(_)) {
            if let Some(group) = self.members.groups.swap_remove(&consumer.group) {
                self.ledger.leave_behind(group, held);
            }
            return;
        }
        if consumer.has_turn {
            let place = group.turn.iter().position(|other| *other == key);
            place.map(|place| group.turn.remove(place));
        }
        for offset in held {
            self.ledger.give_back(group, offset);
        }
        for held in &consumer.in_doubt {
            self.doubts.remove(held.bytes);
            if how == Left::Cancelled {
                self.ledger.take(group, held.offset, Holder::Doubt);
                continue;
            }
            let log = &mut self.ledger.log;
            log.exchange(held.offset, Holder::Doubt, Holder::Lasting);
            self.ledger.give_back(group, held.offset);
        }
        self.dirty.mark(consumer.group, group);
    }
}
