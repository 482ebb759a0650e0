//! Push channels: [one machine](headwater_core::queue) for each name, in memory.
//!
//! Locks, in the order in which they may be taken: the map of names, then one channel's, then one of its consumer's; the
//! alarms' under none. No call of a consumer costs a task beyond its handler's, and no channel has one.

mod channel;
mod config;
mod consumer;
mod message;
mod total;

use std::{
    collections::{BTreeSet, HashMap},
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headwater_core::{
    Time,
    queue::{ConsumerKey, Counters, Input, Left, Name, NewConsumer, Page},
};
use headwater_proto::{Code, Status};
use tokio::sync::watch;

pub use self::config::ChannelsConfig;
use self::{
    channel::{Channel, Leftover},
    total::Total,
};
pub(crate) use self::{consumer::Consumer, message::Submission};
use crate::{
    clock::Clock,
    timer::{Alarmed, Timer},
};

/// All channels of a service.
pub(crate) struct Channels {
    config: ChannelsConfig,
    clock: Clock,
    by_name: Mutex<HashMap<Name, Arc<Channel>>>,
    /// The service is leaving, and says so to everybody. Changes only under the lock of the map.
    leaving: watch::Sender<Option<Status>>,
    total: Arc<Total>,
    /// When to look at which channel.
    alarms: Mutex<BTreeSet<(Time, Name)>>,
    timer: Timer,
}

/// One consumer of a channel, which leaves it when this is dropped.
pub(crate) struct Subscription {
    channels: Arc<Channels>,
    channel: Arc<Channel>,
    key: ConsumerKey,
    /// How it leaves, unless somebody knows better.
    how: Left,
}

impl Channels {
    /// No channels yet. Its one task runs until this is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) fn start(config: ChannelsConfig, clock: Clock) -> Arc<Self> {
        let channels = Arc::new(Self {
            total: Arc::new(Total::new(config.waiting_bytes_max)),
            config,
            clock,
            by_name: Mutex::default(),
            leaving: watch::Sender::default(),
            alarms: Mutex::default(),
            timer: Timer::new(),
        });
        channels.timer.start(Arc::downgrade(&channels), clock);
        channels
    }

    pub(crate) const fn allow_anonymous(&self) -> bool {
        self.config.allow_anonymous
    }

    /// Adds messages to a channel, in one turn, which has them when this is done; says the offset of each, or why it was
    /// refused.
    ///
    /// # Errors
    ///
    /// There is no such channel to be had, so that none of them is in it: `UNAVAILABLE` if the service is leaving.
    pub(crate) fn submit(
        &self,
        channel: &Name,
        mut messages: Vec<Submission>,
    ) -> Result<Vec<Result<u64, Status>>, Status> {
        let mut results = Vec::with_capacity(messages.len());
        self.with(channel, |channel, now| {
            channel.submit(&mut messages, &mut results, now)
        })?;
        Ok(results)
    }

    /// Has a consumer be pushed messages, until what this gives is dropped. Its offset is of this epoch of the channel, or of
    /// whichever if it is empty.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        channel: &Name,
        new: NewConsumer,
        epoch: &str,
        consumer: &Arc<Consumer>,
    ) -> Result<Subscription, Status> {
        let mut found = None;
        let key = self.with(channel, |channel, now| {
            found = Some(Arc::clone(channel));
            channel.subscribe(new.clone(), epoch, Arc::clone(consumer), now)
        })?;
        let channel = found.ok_or_else(|| Status::new(Code::Internal, "there is no channel"))?;
        Ok(Subscription {
            channels: Arc::clone(self),
            channel,
            key,
            how: Left::Broken,
        })
    }

    /// A page of what a channel has had. One that is not there has had nothing, and does not begin by this.
    pub(crate) fn history(
        &self,
        channel: &Name,
        from_offset: u64,
        limit: usize,
        bytes_max: usize,
    ) -> Page {
        let channel = self.map().get(channel).cloned();
        channel.map_or_else(Page::default, |channel| {
            channel.history(from_offset, limit, bytes_max)
        })
    }

    /// What a channel has done, if it is there.
    pub(crate) fn counters(&self, channel: &str) -> Option<Counters> {
        let name = Name::new(channel).ok()?;
        let channel = self.map().get(&name).cloned();
        channel.map(|channel| channel.counters())
    }

    /// Ends every consumer, and every stream of a producer, with this status, and refuses everybody with it from now on.
    pub(crate) fn shut_down(&self, status: Status) {
        let channels: Vec<_> = {
            let map = self.map();
            self.leaving.send_replace(Some(status.clone()));
            map.values().cloned().collect()
        };
        for channel in channels {
            channel.shut_down(&status);
        }
    }

    /// Waits until the service is leaving, and gives what is said to everybody then.
    pub(crate) async fn leaving(&self) -> Status {
        let mut leaving = self.leaving.subscribe();
        let said = leaving.wait_for(Option::is_some).await;
        let said = said.ok().and_then(|status| status.clone());
        match said {
            Some(status) => status,
            // The sender is part of this.
            None => pending().await,
        }
    }

    /// Does something with the channel of this name, which begins with it if it is not there.
    fn with<T>(
        &self,
        name: &Name,
        mut act: impl FnMut(&Arc<Channel>, Time) -> (Option<Result<T, Status>>, Leftover),
    ) -> Result<T, Status> {
        loop {
            let channel = self.channel(name)?;
            let (result, leftover) = act(&channel, self.clock.now());
            self.settle(&channel, leftover);
            if let Some(result) = result {
                return result;
            }
        }
    }

    fn channel(&self, name: &Name) -> Result<Arc<Channel>, Status> {
        let mut map = self.map();
        if let Some(status) = &*self.leaving.borrow() {
            return Err(status.clone());
        }
        if let Some(channel) = map.get(name) {
            return Ok(Arc::clone(channel));
        }
        let max = self.config.channels_max;
        if map.len() >= max {
            let message = format!("the service has its {max} channels");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        let config = self.config.queue(name.as_str());
        let channel = Channel::new(name.clone(), config, Arc::clone(&self.total));
        let channel = Arc::new(channel);
        map.insert(name.clone(), Arc::clone(&channel));
        Ok(channel)
    }

    /// Does what a turn has left to be done.
    fn settle(&self, channel: &Arc<Channel>, leftover: Leftover) {
        if let Some((at, instead_of)) = leftover.alarm {
            let mut alarms = self.alarms();
            if let Some(other) = instead_of {
                alarms.remove(&(other, channel.name().clone()));
            }
            alarms.insert((at, channel.name().clone()));
            self.timer.arm(at);
        }
        if !leftover.idle {
            return;
        }
        let mut map = self.map();
        let found = map.get(channel.name());
        if found.is_some_and(|found| Arc::ptr_eq(found, channel)) && channel.retire() {
            map.remove(channel.name());
        }
    }

    /// A channel whose time has come. Others ring after it, whatever becomes of it.
    fn due(&self, now: Time) -> Option<Name> {
        let mut alarms = self.alarms();
        let is_due = |alarms: &BTreeSet<(Time, Name)>| alarms.first().is_some_and(|it| it.0 <= now);
        let due = is_due(&alarms).then(|| alarms.pop_first()).flatten();
        if let Some((at, _)) = alarms.first() {
            self.timer.arm(*at);
        }
        due.map(|(_, name)| name)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Name, Arc<Channel>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarms(&self) -> MutexGuard<'_, BTreeSet<(Time, Name)>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarmed for Channels {
    fn ring(&self) {
        let now = self.clock.now();
        while let Some(name) = self.due(now) {
            let channel = self.map().get(&name).cloned();
            if let Some(channel) = channel {
                let leftover = channel.tell([Input::Timeout], now);
                self.settle(&channel, leftover);
            }
        }
    }
}

impl Subscription {
    /// The consumer's key, for what happens with it.
    pub(crate) const fn key(&self) -> ConsumerKey {
        self.key
    }

    /// Tells what happened with the consumer, all of it together.
    pub(crate) fn tell(&self, inputs: impl IntoIterator<Item = Input>) {
        let leftover = self.channel.tell(inputs, self.channels.clock.now());
        self.channels.settle(&self.channel, leftover);
    }

    /// Leaves.
    pub(crate) fn leave(mut self, how: Left) {
        self.how = how;
    }
}

impl Drop for Subscription {
    /// However the consumer's task ends, its channel hears of it; a second panic stays here.
    fn drop(&mut self) {
        let left = Input::Left {
            consumer: self.key,
            how: self.how,
        };
        let _ = catch_unwind(AssertUnwindSafe(|| self.tell([left])));
    }
}

#[cfg(test)]
mod tests {
    use headwater_proto::push_channel::SubmitRequest;

    use super::*;

    /// S3-19: what a producer sends costs a bounded number of alarms.
    #[tokio::test(start_paused = true)]
    async fn s3_19_a_channel_has_one_alarm_however_its_messages_expire() {
        let channels = Channels::start(ChannelsConfig::default(), Clock::start());
        let name = Name::new("c").expect("short enough");
        for second in (1..=1000).rev() {
            let message = Submission::new(SubmitRequest {
                expires_after_ms: second * 1000,
                ..SubmitRequest::default()
            });
            let submitted = channels.submit(&name, vec![message]);
            assert_eq!(submitted, Ok(vec![Ok(1001 - second)]));
        }
        assert_eq!(channels.alarms().len(), 1);
    }
}
