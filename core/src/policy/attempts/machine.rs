//! The machine of one logical call's attempts.

use alloc::{collections::VecDeque, vec::Vec};
use core::{mem, time::Duration};

use super::parts::{AttemptEnd, AttemptId, Input, Output, RetryCounters, Start};
use crate::{
    back_off::{BackOff, Waits},
    call::Reached,
    policy::{Codes, ExecutionPolicy, Pushback, Throttle},
    time::{Deadline, Time, Why},
};

/// How much the waits vary (gRFC A6, "Exponential Backoff").
const JITTER: f64 = 0.2;

/// The waits between attempts that do not even leave this side. A6 says that there is no limit to them; it does not say
/// that they may keep a processor busy.
const UNSENT_BACK_OFF: BackOff = BackOff {
    initial: Duration::from_millis(10),
    multiplier: 2.0,
    max: Duration::from_secs(1),
    jitter: JITTER,
};

/// The attempts of one call under a policy. See the [module](super).
#[derive(Debug)]
pub struct Attempts {
    plan: Plan,
    codes: Codes,
    attempts_max: u32,
    /// The latest time that was told.
    now: Time,
    /// Attempts of the policy so far.
    made: u32,
    next_id: u32,
    live: Vec<Live>,
    /// What is to be begun, and when.
    due: Vec<Due>,
    unsent: Waits,
    unsent_before: bool,
    refused_before: bool,
    /// The next attempt is the last, because nothing can be replayed to another.
    commit_next: bool,
    /// How the attempt ended that ended last.
    last: Option<AttemptEnd>,
    over: bool,
    counters: RetryCounters,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Plan {
    Retry(Waits),
    Hedge { delay: Duration, stopped: bool },
}

#[derive(Debug)]
struct Live {
    id: AttemptId,
    previous: u32,
    sent: usize,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Time,
    since: Time,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Retry,
    Hedge,
    /// In place of one that had so many before it.
    Transparent {
        previous: u32,
    },
}

impl Attempts {
    /// How many attempts a client allows unless it says otherwise (gRFC A6, "Limits on Retries and Hedges").
    pub const MAX_DEFAULT: u32 = 5;

    /// The attempts of a call that begins now; the first is among the outputs. A policy that has more than `attempts_max`
    /// counts as having that many. The same seed draws the same waits.
    pub fn new(policy: &ExecutionPolicy, attempts_max: u32, seed: u64, now: Time) -> Self {
        let plan = match policy {
            ExecutionPolicy::Retry(policy) => {
                let back_off = BackOff {
                    initial: policy.initial_backoff,
                    multiplier: policy.backoff_multiplier,
                    max: policy.max_backoff,
                    jitter: JITTER,
                };
                Plan::Retry(back_off.waits(seed))
            }
            ExecutionPolicy::Hedging(policy) => Plan::Hedge {
                delay: policy.hedging_delay,
                stopped: false,
            },
        };
        let mut attempts = Self {
            plan,
            codes: policy.codes(),
            attempts_max: policy.attempts_max().min(attempts_max).max(1),
            now,
            made: 0,
            next_id: 0,
            live: Vec::new(),
            due: Vec::new(),
            unsent: UNSENT_BACK_OFF.waits(!seed),
            unsent_before: false,
            refused_before: false,
            commit_next: false,
            last: None,
            over: false,
            counters: RetryCounters {
                calls: 1,
                ..RetryCounters::default()
            },
            outputs: VecDeque::new(),
        };
        attempts.start_next();
        attempts
    }

    /// Takes in what happened. `throttle` is that of the channel.
    pub fn handle(&mut self, input: Input, throttle: &mut Throttle, now: Time) {
        self.now = self.now.max(now);
        if self.over {
            return;
        }
        match input {
            Input::Headers(id) => self.commit(id),
            Input::Ended(id, end) => self.ended(id, end, throttle),
            Input::Sent { attempt, messages } => {
                let live = self.live.iter_mut().find(|live| live.id == attempt);
                if let Some(live) = live {
                    live.sent = messages;
                }
            }
            Input::BufferFull => self.buffer_full(),
            Input::Cancelled => self.stop(),
            Input::Timeout => {}
        }
        self.start_due(throttle);
    }

    /// The next thing to do, or `None` if there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Attempts::handle`] with [`Input::Timeout`]; at once while outputs wait.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if !self.outputs.is_empty() {
            return Some(Deadline {
                at: self.now,
                why: Why::Drain,
            });
        }
        let why = Why::BackOff;
        let at = self.due.iter().map(|due| due.at).min()?;
        Some(Deadline { at, why })
    }

    /// What became of this call so far.
    pub const fn counters(&self) -> &RetryCounters {
        &self.counters
    }

    /// The same, and from now on it is counted anew: to add up calls as they go.
    pub fn take_counters(&mut self) -> RetryCounters {
        mem::take(&mut self.counters)
    }

    fn ended(&mut self, id: AttemptId, end: AttemptEnd, throttle: &mut Throttle) {
        let Some(index) = self.live.iter().position(|live| live.id == id) else {
            return;
        };
        let live = self.live.remove(index);
        if let Some(wait) = self.transparent_wait(&end) {
            let previous = live.previous;
            self.schedule(Kind::Transparent { previous }, wait);
            return;
        }
        let failure = end.failure();
        throttle.count(failure, end.trailing(), self.codes);
        let Some(code) = failure else {
            return self.finish(end);
        };
        self.counters.failures += 1;
        if !self.codes.contains(code) {
            return self.finish(end);
        }
        let pushback = Pushback::of(end.trailing());
        if matches!(self.plan, Plan::Retry(_)) {
            self.retry(end, pushback, throttle.allows());
        } else {
            self.hedge(end, pushback, throttle.allows());
        }
    }

    /// How long to wait before an attempt is made in place of this one, which no handler has seen (gRFC A6, "Transparent
    /// Retries"). `None` if the policy has to say what follows.
    fn transparent_wait(&mut self, end: &AttemptEnd) -> Option<Duration> {
        match end.reached() {
            Reached::Nothing if mem::replace(&mut self.unsent_before, true) => {
                Some(self.unsent.next_wait())
            }
            Reached::Nothing => Some(Duration::ZERO),
            // It costs the server something, so it is done once.
            Reached::Library if !mem::replace(&mut self.refused_before, true) => {
                Some(Duration::ZERO)
            }
            Reached::Library | Reached::Handler => None,
        }
    }

    fn retry(&mut self, end: AttemptEnd, pushback: Option<Pushback>, allowed: bool) {
        if self.made >= self.attempts_max || pushback == Some(Pushback::Stop) {
            return self.finish(end);
        }
        if !allowed {
            self.counters.throttled += 1;
            return self.finish(end);
        }
        let Plan::Retry(waits) = &mut self.plan else {
            return;
        };
        let wait = if let Some(Pushback::After(wait)) = pushback {
            waits.reset();
            wait
        } else {
            waits.next_wait()
        };
        self.schedule(Kind::Retry, wait);
    }

    fn hedge(&mut self, end: AttemptEnd, pushback: Option<Pushback>, allowed: bool) {
        let more = self.hedges_follow();
        if pushback == Some(Pushback::Stop) {
            self.stop_hedging();
        } else if more && !allowed {
            self.throttled();
        } else if more {
            let wait = match pushback {
                Some(Pushback::After(wait)) => wait,
                Some(Pushback::Stop) | None => Duration::ZERO,
            };
            self.due.retain(|due| due.kind != Kind::Hedge);
            self.schedule(Kind::Hedge, wait);
        }
        self.last = Some(end);
        self.finish_if_idle();
    }

    /// Begins what is due, in the order in which it fell due.
    fn start_due(&mut self, throttle: &Throttle) {
        loop {
            let due = self.due.iter().enumerate();
            let next = due.min_by_key(|(_, due)| due.at);
            let Some((index, due)) = next.map(|(index, due)| (index, *due)) else {
                return;
            };
            if due.at > self.now {
                return;
            }
            self.due.remove(index);
            match due.kind {
                Kind::Transparent { previous } => {
                    self.counters.transparent_retries += 1;
                    self.start(previous);
                }
                Kind::Retry => {
                    self.counters.retries += 1;
                    let waited = self.now - due.since;
                    self.counters.retry_delay += waited;
                    self.start_next();
                }
                Kind::Hedge if throttle.allows() => {
                    self.counters.hedges += 1;
                    self.start_next();
                }
                Kind::Hedge => {
                    self.throttled();
                    self.finish_if_idle();
                }
            }
        }
    }

    /// Begins the next attempt of the policy.
    fn start_next(&mut self) {
        let previous = self.made;
        self.made += 1;
        self.start(previous);
        if let Plan::Hedge { delay, .. } = self.plan
            && self.hedges_follow()
        {
            self.schedule(Kind::Hedge, delay);
        }
    }

    fn start(&mut self, previous: u32) {
        let id = AttemptId(self.next_id);
        self.next_id += 1;
        let sent = 0;
        self.live.push(Live { id, previous, sent });
        self.outputs
            .push_back(Output::Start(Start { id, previous }));
        if self.commit_next {
            self.commit(id);
        }
    }

    fn schedule(&mut self, kind: Kind, wait: Duration) {
        let since = self.now;
        let at = since + wait;
        self.due.push(Due { at, since, kind });
    }

    const fn hedges_follow(&self) -> bool {
        match self.plan {
            Plan::Hedge { stopped, .. } => !self.over && !stopped && self.made < self.attempts_max,
            Plan::Retry(_) => false,
        }
    }

    fn stop_hedging(&mut self) {
        if let Plan::Hedge { stopped, .. } = &mut self.plan {
            *stopped = true;
        }
        self.due.retain(|due| due.kind != Kind::Hedge);
    }

    fn throttled(&mut self) {
        self.counters.throttled += 1;
        self.stop_hedging();
    }

    /// Nothing runs and nothing follows: then the call ends as its last attempt did.
    fn finish_if_idle(&mut self) {
        if self.live.is_empty()
            && self.due.is_empty()
            && let Some(end) = self.last.take()
        {
            self.finish(end);
        }
    }

    /// Nothing can be replayed any more: the call goes on with the attempt that is furthest (gRFC A6, "Memory Management").
    fn buffer_full(&mut self) {
        self.counters.buffer_full += 1;
        let furthest = self.live.iter().max_by(|one, other| {
            let earlier_first = other.id.cmp(&one.id);
            one.sent.cmp(&other.sent).then(earlier_first)
        });
        match furthest.map(|live| live.id) {
            Some(id) => self.commit(id),
            None => self.commit_next = true,
        }
    }

    fn commit(&mut self, id: AttemptId) {
        let before = self.live.len();
        self.live.retain(|live| live.id != id);
        if self.live.len() < before {
            self.stop();
            self.outputs.push_back(Output::Commit(id));
        }
    }

    fn finish(&mut self, end: AttemptEnd) {
        self.stop();
        self.outputs.push_back(Output::End(end));
    }

    fn stop(&mut self) {
        self.over = true;
        self.due.clear();
        for live in mem::take(&mut self.live) {
            self.outputs.push_back(Output::Cancel(live.id));
        }
    }
}
