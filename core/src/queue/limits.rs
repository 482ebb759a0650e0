//! What time and bounds do.

use alloc::vec::Vec;

use headwater_proto::{Code, Status};

use super::{
    ConsumerKey, Full, Left, Output, Queue, Refusal, Taking,
    group::{Group, Kind},
    log::{Holder, Load},
};
use crate::Time;

impl Queue {
    /// Does what has fallen due by now.
    pub(super) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some(offset) = self.ledger.log.take_expired(self.now) {
            let groups = self.members.groups.values_mut();
            self.ledger.expire(offset, groups);
        }
        while let Some(key) = self.alarms.take_due(self.now) {
            self.look_at(key);
        }
    }

    pub(super) const fn bounds(&self) -> Load {
        Load {
            messages: self.config.messages_max,
            bytes: self.config.bytes_max,
        }
    }

    /// Whether one more message of this size may come.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bounds = self.bounds();
        let lasts = !self.members.lasting.is_empty();
        // Before anybody is ended for its sake.
        if lasts && self.config.full == Full::Refuse && !self.ledger.log.waiting.fits(bytes, bounds)
        {
            return Err(Refusal::Full);
        }
        self.end_laggards(bytes);
        if !self.ledger.log.lagging.fits(bytes, bounds) {
            return Err(Refusal::Full);
        }
        while lasts && !self.ledger.log.waiting.fits(bytes, bounds) {
            let oldest = self.ledger.log.oldest_waiting().ok_or(Refusal::Full)?;
            let groups = self.members.groups.values_mut();
            self.ledger.drop_message(oldest, groups);
        }
        Ok(())
    }

    /// Ends the fan-out consumers that are furthest behind, until what is kept for such alone is within the bounds with
    /// `bytes` more. One that holds nothing is not to blame.
    fn end_laggards(&mut self, bytes: usize) {
        while !self.ledger.log.lagging.fits(bytes, self.bounds()) {
            let groups = || self.members.groups.values();
            let furthest = groups().filter_map(|group| self.place(group)).min();
            let Some((furthest, _)) = furthest else {
                return;
            };
            let places = groups().filter_map(|group| self.place(group));
            let behind = places.filter(|(place, _)| *place == furthest);
            let slow: Vec<ConsumerKey> = behind.map(|(_, key)| key).collect();
            for key in slow {
                self.end_slow(key);
            }
        }
    }

    /// The oldest message that this fan-out consumer holds, if it holds any.
    fn place(&self, group: &Group) -> Option<(u64, ConsumerKey)> {
        let Kind::Fanout(key) = group.kind else {
            return None;
        };
        let held = &self.members.consumers.get(&key)?.held;
        // A fan-out's are in the order of the channel.
        Some((held.front()?.offset, key))
    }

    fn end_slow(&mut self, consumer: ConsumerKey) {
        self.leave(consumer, Left::Broken);
        self.ledger.counters.too_slow += 1;
        let message = "this consumer reads too slowly";
        self.ledger.outputs.push_back(Output::End {
            consumer,
            status: Status::new(Code::ResourceExhausted, message),
        });
    }

    /// The alarm of a consumer went off.
    fn look_at(&mut self, key: ConsumerKey) {
        let Some((consumer, _)) = self.members.pair(key) else {
            return;
        };
        consumer.alarm = None;
        let next = match consumer.taking {
            Taking::Written => self.check_written(key),
            Taking::Acknowledged { .. } => self.check_acknowledging(key),
        };
        if let Some(at) = next
            && let Some((consumer, _)) = self.members.pair(key)
        {
            self.alarms.set(at, key, consumer);
        }
    }

    /// Lets doubts end and finds out whether it stalls. Gives when to look again.
    fn check_written(&mut self, key: ConsumerKey) -> Option<Time> {
        let in_doubt = self.config.in_doubt_timeout;
        let stall = self.config.stall_timeout;
        let (consumer, group) = self.members.pair(key)?;
        let is_over = |since: Time| since + in_doubt <= self.now;
        while consumer
            .in_doubt
            .front()
            .is_some_and(|held| is_over(held.since))
        {
            let held = consumer.pop_doubt()?;
            self.doubts.remove(held.bytes);
            self.ledger.take(group, held.offset, Holder::Doubt);
        }
        let stalls = (!consumer.held.is_empty()).then_some(consumer.progress + stall);
        if stalls.is_some_and(|at| at <= self.now) {
            self.end_slow(key);
            return None;
        }
        let doubt = consumer.in_doubt.front().map(|held| held.since + in_doubt);
        stalls.into_iter().chain(doubt).min()
    }

    /// Takes back what it has held for too long. Gives when to look again.
    fn check_acknowledging(&mut self, key: ConsumerKey) -> Option<Time> {
        let timeout = self.config.ack_timeout;
        let (consumer, group) = self.members.pair(key)?;
        consumer.remove_held_for(timeout, self.now, |held| {
            self.ledger.give_back(group, held.offset);
        });
        let next = consumer.held.iter().map(|held| held.since).min();
        self.dirty.offer(key, consumer, group);
        Some(next? + timeout)
    }
}
