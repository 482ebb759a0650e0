//! One attempt after the other.

use super::*;

/// S4-47: the waits are exactly those of the seed; S4-46: and no more than `maxAttempts` attempts are made.
#[test]
fn s4_47_a_call_is_retried_after_exact_waits() {
    let mut waits = waits();
    let mut script = Script::new(&retry(4));
    script.begins(&[start(0, 0)]);
    let mut now = Time::ZERO;
    for attempt in 0..3 {
        script.gives(ended(attempt, unavailable()), &[]);
        now = now + waits.next_wait();
        script.next(now, &[start(attempt + 1, attempt + 1)]);
    }
    script.gives(ended(3, unavailable()), &[Output::End(unavailable())]);
    script.is_over();
    assert_eq!(script.attempts.counters().retries, 3);
    assert_eq!(script.attempts.counters().retry_delay, now - Time::ZERO);
}

/// S4-46: more than 5 attempts count as 5, unless the client allows more.
#[test]
fn s4_46_the_client_limits_the_attempts() {
    for (policy, limit, expected) in [(9, 5, 5), (9, 7, 7), (9, 100, 9), (3, 5, 3), (9, 0, 1)] {
        let policy = retry(policy);
        let mut attempts = Attempts::new(&policy, limit, SEED, Time::ZERO);
        let mut throttle = Throttle::new(None);
        let mut made = 0;
        let mut now = Time::ZERO;
        loop {
            match attempts.poll_output() {
                Some(Output::Start(start)) => {
                    made += 1;
                    let end = Input::Ended(start.id, unavailable());
                    attempts.handle(end, &mut throttle, now);
                }
                Some(Output::End(_)) => break,
                Some(output) => panic!("{output:?}"),
                None => {
                    now = attempts.poll_timeout().expect("it goes on").at;
                    attempts.handle(Input::Timeout, &mut throttle, now);
                }
            }
        }
        assert_eq!(made, expected, "{policy:?} with a limit of {limit}");
    }
    assert_eq!(Attempts::MAX_DEFAULT, 5);
}

/// S4-48: headers commit the call; what fails after them is not retried.
#[test]
fn s4_48_headers_commit() {
    let mut script = Script::new(&retry(4));
    script.begins(&[start(0, 0)]);
    script.gives(headers(0), &[commit(0)]);
    script.gives(ended(0, unavailable()), &[]);
    script.is_over();
}

/// S4-48 and S4-55: a buffer that is full commits the call; the failure that follows is the application's.
#[test]
fn s4_55_a_full_buffer_commits() {
    let mut script = Script::new(&retry(4));
    script.begins(&[start(0, 0)]);
    script.gives(Input::BufferFull, &[commit(0)]);
    script.is_over();
    assert_eq!(script.attempts.counters().buffer_full, 1);
}

/// S4-55: also where no attempt is under way: then the next one is the last.
#[test]
fn s4_55_a_full_buffer_commits_to_the_attempt_that_follows() {
    let mut script = Script::new(&retry(4));
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, unavailable()), &[]);
    script.gives(Input::BufferFull, &[]);
    let wait = waits().next_wait();
    script.next(Time::ZERO + wait, &[start(1, 1), commit(1)]);
    script.is_over();
}

#[test]
fn success_ends_the_call_and_a_code_that_is_not_listed_too() {
    for end in [ok(), status(Code::InvalidArgument)] {
        let mut script = Script::new(&retry(4));
        script.begins(&[start(0, 0)]);
        script.gives(ended(0, end.clone()), &[Output::End(end)]);
        script.is_over();
    }
}

/// A broken stream counts by its code, like a status.
#[test]
fn a_broken_connection_is_retried_by_its_code() {
    let mut script = Script::new(&retry(2));
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, gone(Reached::Handler)), &[]);
    script.next(Time::ZERO + waits().next_wait(), &[start(1, 1)]);
    let end = gone(Reached::Handler);
    script.gives(ended(1, end.clone()), &[Output::End(end)]);
}

/// S4-52: `0` and `150` wait exactly so long, and then the back-off begins again at the initial one.
#[test]
fn s4_52_a_push_back_waits_exactly_and_resets_the_back_off() {
    for millis in [0, 150] {
        let mut waits = waits();
        let mut script = Script::new(&retry(5));
        script.begins(&[start(0, 0)]);
        script.gives(ended(0, unavailable()), &[]);
        let mut now = Time::ZERO + waits.next_wait();
        script.next(now, &[start(1, 1)]);
        let pushed = ended(
            1,
            pushed_back(Code::Unavailable, &alloc::format!("{millis}")),
        );
        now = now + ms(millis);
        if millis == 0 {
            script.gives(pushed, &[start(2, 2)]);
        } else {
            script.gives(pushed, &[]);
            script.next(now, &[start(2, 2)]);
        }
        script.gives(ended(2, unavailable()), &[]);
        waits.reset();
        script.next(now + waits.next_wait(), &[start(3, 3)]);
        script.gives(headers(3), &[commit(3)]);
    }
}

/// S4-52: `-1` and `abc` forbid the retry.
#[test]
fn s4_52_a_push_back_can_forbid_the_retry() {
    for value in ["-1", "abc"] {
        let mut script = Script::new(&retry(5));
        script.begins(&[start(0, 0)]);
        let end = pushed_back(Code::Unavailable, value);
        script.gives(ended(0, end.clone()), &[Output::End(end)]);
        script.is_over();
    }
}

/// S4-52: a push-back raises neither the number of attempts nor the codes that are retried.
#[test]
fn s4_52_a_push_back_does_not_ask_for_more_than_the_policy_has() {
    let mut script = Script::new(&retry(2));
    script.begins(&[start(0, 0)]);
    let again = pushed_back(Code::Unavailable, "0");
    script.gives(ended(0, again.clone()), &[start(1, 1)]);
    script.gives(ended(1, again.clone()), &[Output::End(again)]);

    let mut script = Script::new(&retry(2));
    script.begins(&[start(0, 0)]);
    let fatal = pushed_back(Code::InvalidArgument, "0");
    script.gives(ended(0, fatal.clone()), &[Output::End(fatal)]);
}

/// S4-54: what never left this side is tried again without end: at once, then with growing waits. Neither attempts nor
/// failures are counted.
#[test]
fn s4_54_what_never_left_is_tried_again_without_end() {
    let mut script = Script::new(&retry(2));
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, gone(Reached::Nothing)), &[start(1, 0)]);
    let mut last = script.now;
    for attempt in 1..1000 {
        script.gives(ended(attempt, gone(Reached::Nothing)), &[]);
        let due = script.attempts.poll_timeout().expect("it goes on").at;
        assert!(due - last <= ms(1200), "it tries at least every second");
        script.next(due, &[start(attempt + 1, 0)]);
        last = due;
    }
    let counters = *script.attempts.counters();
    let expected = RetryCounters {
        calls: 1,
        transparent_retries: 1000,
        ..RetryCounters::default()
    };
    assert_eq!(counters, expected, "no retry and no failure");
    // The policy's own two attempts are all still there.
    script.gives(ended(1000, unavailable()), &[]);
    let due = script.attempts.poll_timeout().expect("it goes on").at;
    script.next(due, &[start(1001, 1)]);
    script.gives(ended(1001, unavailable()), &[Output::End(unavailable())]);
}

/// S4-54: what no handler has seen is tried again at once, one time; then the policy says what follows. The throttle does
/// not hear of the first.
#[test]
fn s4_54_what_no_handler_saw_is_tried_again_once() {
    let throttling = RetryThrottling {
        tokens_max: 4,
        token_ratio_thousandths: 1,
    };
    let mut script = Script::throttled(&retry(3), Some(throttling));
    let full = script.throttle.clone();
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, gone(Reached::Library)), &[start(1, 0)]);
    assert_eq!(script.throttle, full, "not counted");
    script.gives(ended(1, gone(Reached::Library)), &[]);
    assert_ne!(script.throttle, full, "counted");
    script.next(Time::ZERO + waits().next_wait(), &[start(2, 1)]);
    let counters = script.attempts.counters();
    assert_eq!((counters.transparent_retries, counters.retries), (1, 1));
}

/// S4-50: with half of the tokens left there is no retry, and the failure is the application's; the first attempt always
/// goes out.
#[test]
fn s4_50_an_empty_bucket_forbids_retries() {
    let throttling = RetryThrottling {
        tokens_max: 2,
        token_ratio_thousandths: 1,
    };
    let mut script = Script::throttled(&retry(3), Some(throttling));
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, unavailable()), &[Output::End(unavailable())]);
    assert_eq!(script.attempts.counters().throttled, 1);

    let throttle = script.throttle;
    let mut script = Script::new(&retry(3));
    script.throttle = throttle;
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, ok()), &[Output::End(ok())]);
}

/// S4-51: a code that is not listed costs no token; a push-back that forbids the retry does.
#[test]
fn s4_51_what_costs_a_token() {
    let throttling = RetryThrottling {
        tokens_max: 10,
        token_ratio_thousandths: 1,
    };
    let cases = [
        (status(Code::InvalidArgument), false),
        (pushed_back(Code::InvalidArgument, "-1"), true),
        (pushed_back(Code::Unavailable, "-1"), true),
    ];
    for (end, counted) in cases {
        let mut script = Script::throttled(&retry(3), Some(throttling));
        let full = script.throttle.clone();
        script.begins(&[start(0, 0)]);
        script.gives(ended(0, end.clone()), &[Output::End(end.clone())]);
        assert_eq!(script.throttle != full, counted, "{end:?}");
    }
}

/// S4-56: what is counted of one call.
#[test]
fn s4_56_a_call_counts_what_became_of_it() {
    let mut script = Script::new(&retry(5));
    script.begins(&[start(0, 0)]);
    script.gives(ended(0, gone(Reached::Nothing)), &[start(1, 0)]);
    script.gives(ended(1, pushed_back(Code::Unavailable, "70")), &[]);
    script.next(at(70), &[start(2, 1)]);
    script.gives(ended(2, pushed_back(Code::Unavailable, "30")), &[]);
    script.next(at(100), &[start(3, 2)]);
    script.gives(headers(3), &[commit(3)]);
    let expected = RetryCounters {
        calls: 1,
        retries: 2,
        transparent_retries: 1,
        failures: 2,
        retry_delay: ms(100),
        ..RetryCounters::default()
    };
    let mut sum = *script.attempts.counters();
    assert_eq!(sum, expected);
    sum.add(&expected);
    assert_eq!((sum.calls, sum.retry_delay), (2, ms(200)));
}
