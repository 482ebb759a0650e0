//! What time and bounds do.

use alloc::vec::Vec;
use core::time::Duration;

use headwater_proto::{Code, Status};

use super::{
    ConsumerKey, Left, Output, Queue, Taking,
    consumer::Consumer,
    group::{Group, Kind},
};
use crate::Time;

/// The shortest time limit, lest one of 0 be due for ever.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

impl Queue {
    /// Does what has fallen due by now.
    pub(super) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some(offset) = self.log.take_expired(self.now) {
            self.expire(offset);
        }
        while let Some((at, key)) = self.alarms.first().copied()
            && at <= self.now
        {
            self.alarms.pop_first();
            self.look_at(key);
        }
    }

    /// Takes an expired message from all groups that have it waiting. In the hands of a consumer it may still be taken.
    fn expire(&mut self, offset: u64) {
        let Some(entry) = self.log.get(offset) else {
            return;
        };
        if !entry.is_held() {
            self.log.remove(offset);
            return;
        }
        for group in self.groups.values_mut() {
            if !group.awaits(offset) {
                continue;
            }
            group.again.remove(&offset);
            if self.log.release(offset, group.holder()) {
                self.counters.expired += 1;
            }
        }
    }

    /// Drops a message, whoever holds it.
    pub(super) fn drop_message(&mut self, offset: u64) {
        let Some(entry) = self.log.remove(offset) else {
            return;
        };
        self.counters.dropped += u64::from(entry.lasting) + u64::from(entry.fanout);
        self.counters.taken += u64::from(entry.doubt);
        for group in self.groups.values_mut() {
            group.again.remove(&offset);
        }
        let lasting: Vec<_> = self.lasting.values().copied().collect();
        for group in lasting {
            self.note_taken(group, offset);
        }
    }

    /// Ends the fan-out consumers that are furthest behind, until what is kept for such alone is within the bounds with
    /// `bytes` more. One that was not pushed all that it has room for is not to blame.
    pub(super) fn end_laggards(&mut self, bytes: usize) {
        while !self.log.lagging.fits(bytes, self.bounds()) {
            let places = self.groups.values().filter_map(|group| self.place(group));
            let Some((furthest, _)) = places.min() else {
                return;
            };
            let places = self.groups.values().filter_map(|group| self.place(group));
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
        let held = &self.consumers.get(&key)?.held;
        let oldest = held.iter().map(|held| held.offset).min()?;
        Some((oldest, key))
    }

    fn end_slow(&mut self, consumer: ConsumerKey) {
        self.leave(consumer, Left::Broken);
        self.counters.too_slow += 1;
        let message = "this consumer reads too slowly";
        self.outputs.push_back(Output::End {
            consumer,
            status: Status::new(Code::ResourceExhausted, message),
        });
    }

    /// Has a consumer looked at after this time, if not before.
    pub(super) fn set_alarm(&mut self, key: ConsumerKey, after: Duration) {
        self.set_alarm_at(key, self.now + after.max(TIMEOUT_MIN));
    }

    fn set_alarm_at(&mut self, key: ConsumerKey, at: Time) {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        match consumer.alarm {
            Some(alarm) if alarm <= at => return,
            Some(alarm) => {
                self.alarms.remove(&(alarm, key));
            }
            None => {}
        }
        self.alarms.insert((at, key));
        consumer.alarm = Some(at);
    }

    /// The alarm of a consumer went off.
    fn look_at(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(&key) else {
            return;
        };
        consumer.alarm = None;
        let next = match consumer.taking {
            Taking::Written => self.check_written(key),
            Taking::Acknowledged { .. } => self.check_acknowledging(key),
        };
        if let Some(next) = next {
            self.set_alarm_at(key, next);
        }
    }

    /// Lets doubts end and finds out whether it stalls. Gives when to look again.
    fn check_written(&mut self, key: ConsumerKey) -> Option<Time> {
        let in_doubt = self.config.in_doubt_timeout.max(TIMEOUT_MIN);
        let stall = self.config.stall_timeout.max(TIMEOUT_MIN);
        let doubt_ends = |consumer: &Consumer| Some(consumer.in_doubt.front()?.since + in_doubt);
        while doubt_ends(self.consumers.get(&key)?).is_some_and(|at| at <= self.now) {
            self.believe(key);
        }
        let consumer = self.consumers.get(&key)?;
        let stalls = (!consumer.held.is_empty()).then_some(consumer.progress + stall);
        if stalls.is_some_and(|at| at <= self.now) {
            self.end_slow(key);
            return None;
        }
        stalls.into_iter().chain(doubt_ends(consumer)).min()
    }

    /// Takes back what it has held for too long. Gives when to look again.
    fn check_acknowledging(&mut self, key: ConsumerKey) -> Option<Time> {
        let timeout = self.config.ack_timeout.max(TIMEOUT_MIN);
        let consumer = self.consumers.get_mut(&key)?;
        let group = consumer.group;
        let mut late = Vec::new();
        let now = self.now;
        consumer.remove_held_for(timeout, now, |held| late.push(held.offset));
        let next = consumer.held.iter().map(|held| held.since).min();
        let holder = self.groups.get(&group)?.holder();
        for offset in late {
            self.give_back(group, offset, holder);
        }
        self.after_progress(key);
        Some(next? + timeout)
    }
}
