//! The machine against exact lists of outputs, on a virtual clock.

use alloc::vec::Vec;
use core::time::Duration;

use headwater_proto::{Code, Metadata, Status};

use super::*;
use crate::{
    BackOff, Time, Waits,
    call::{Closed, Reached, Trailers},
    policy::{
        Codes, ExecutionPolicy, HedgingPolicy, Pushback, RetryPolicy, RetryThrottling, Throttle,
    },
    time::{Deadline, Why},
};

mod hedging;
mod random;
mod retries;

const SEED: u64 = 7;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Time {
    Time::ZERO + ms(millis)
}

fn retry(attempts_max: u32) -> ExecutionPolicy {
    ExecutionPolicy::Retry(RetryPolicy {
        attempts_max,
        initial_backoff: ms(100),
        max_backoff: ms(300),
        backoff_multiplier: 2.0,
        retryable_status_codes: Codes::from([Code::Unavailable]),
    })
}

fn hedging(attempts_max: u32, delay: u64) -> ExecutionPolicy {
    ExecutionPolicy::Hedging(HedgingPolicy {
        attempts_max,
        hedging_delay: ms(delay),
        non_fatal_status_codes: Codes::from([Code::Unavailable]),
    })
}

/// The waits of [`retry`], as another run of the same seed draws them.
fn waits() -> Waits {
    let back_off = BackOff {
        initial: ms(100),
        multiplier: 2.0,
        max: ms(300),
        jitter: 0.2,
    };
    back_off.waits(SEED)
}

fn status(code: Code) -> AttemptEnd {
    AttemptEnd::Status(Trailers::failed(Status::new(code, "")))
}

fn unavailable() -> AttemptEnd {
    status(Code::Unavailable)
}

fn pushed_back(code: Code, value: &str) -> AttemptEnd {
    let mut metadata = Metadata::new();
    metadata.append(Pushback::KEY, value).expect("valid");
    AttemptEnd::Status(Trailers {
        outcome: Err(Status::new(code, "")),
        metadata,
    })
}

fn ok() -> AttemptEnd {
    AttemptEnd::Status(Trailers::ok())
}

fn gone(reached: Reached) -> AttemptEnd {
    AttemptEnd::Closed(Closed::broken("gone").having_reached(reached))
}

fn start(id: u32, previous: u32) -> Output {
    let id = AttemptId(id);
    Output::Start(Start { id, previous })
}

fn cancel(id: u32) -> Output {
    Output::Cancel(AttemptId(id))
}

fn commit(id: u32) -> Output {
    Output::Commit(AttemptId(id))
}

fn ended(id: u32, end: AttemptEnd) -> Input {
    Input::Ended(AttemptId(id), end)
}

fn headers(id: u32) -> Input {
    Input::Headers(AttemptId(id))
}

/// A machine, its throttle and its clock.
struct Script {
    attempts: Attempts,
    throttle: Throttle,
    now: Time,
}

impl Script {
    fn new(policy: &ExecutionPolicy) -> Self {
        Self::throttled(policy, None)
    }

    fn throttled(policy: &ExecutionPolicy, throttling: Option<RetryThrottling>) -> Self {
        Self {
            attempts: Attempts::new(policy, Attempts::MAX_DEFAULT, SEED, Time::ZERO),
            throttle: Throttle::new(throttling),
            now: Time::ZERO,
        }
    }

    fn outputs(&mut self) -> Vec<Output> {
        core::iter::from_fn(|| self.attempts.poll_output()).collect()
    }

    #[track_caller]
    fn begins(&mut self, expected: &[Output]) {
        assert_eq!(self.outputs(), expected, "at the beginning");
    }

    /// What this input leads to.
    #[track_caller]
    fn gives(&mut self, input: Input, expected: &[Output]) {
        self.attempts
            .handle(input.clone(), &mut self.throttle, self.now);
        assert_eq!(self.outputs(), expected, "{input:?} at {}", self.now);
    }

    /// Nothing happens before this moment, and then this.
    #[track_caller]
    fn next(&mut self, when: Time, expected: &[Output]) {
        let due = self.attempts.poll_timeout();
        let why = Why::BackOff;
        assert_eq!(due, Some(Deadline { at: when, why }));
        self.now = Time::after_start(when.since_start().saturating_sub(ms(1)));
        self.gives(Input::Timeout, &[]);
        self.now = when;
        self.gives(Input::Timeout, expected);
    }

    /// After the last output nothing follows, whatever happens.
    #[track_caller]
    fn is_over(&mut self) {
        assert_eq!(self.attempts.poll_timeout(), None);
        self.now = self.now + ms(1_000_000);
        let sent = Input::Sent {
            attempt: AttemptId(0),
            messages: 1,
        };
        let inputs = [
            headers(0),
            ended(0, unavailable()),
            sent,
            Input::BufferFull,
            Input::Cancelled,
            Input::Timeout,
        ];
        for input in inputs {
            self.gives(input, &[]);
        }
        assert_eq!(self.attempts.poll_timeout(), None);
    }
}

#[test]
fn outputs_that_wait_are_due_at_once() {
    let mut script = Script::new(&retry(2));
    let due = script.attempts.poll_timeout().map(|due| due.why);
    assert_eq!(due, Some(Why::Drain));
    script.begins(&[start(0, 0)]);
    assert_eq!(script.attempts.poll_timeout(), None);
}

#[test]
fn a_cancelled_call_cancels_every_attempt_and_starts_none() {
    let mut script = Script::new(&hedging(3, 10));
    script.begins(&[start(0, 0)]);
    script.next(at(10), &[start(1, 1)]);
    script.gives(Input::Cancelled, &[cancel(0), cancel(1)]);
    script.is_over();
}

#[test]
fn a_call_that_waits_is_cancelled_without_a_word() {
    let mut script = Script::new(&retry(3));
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, unavailable()), &[]);
    script.gives(Input::Cancelled, &[]);
    script.is_over();
}
