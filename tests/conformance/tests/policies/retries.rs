//! One attempt after the other.

use headwater_rpc::RetryCounters;

use super::*;

/// U-12, S4-47 and S4-76: a method is retried as its service config says, on every transport; in process the waits are
/// those of the seed, to the millisecond.
#[test]
fn s4_47_a_failing_method_is_retried_after_exact_waits() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(4)).await;
        for call in 0..2 {
            assert_eq!(case.run(unavailable(3)).await, answered());
            assert_eq!(case.attempts(), 4);
            if case.exact {
                let mut waits = waits_of(call);
                let mut at = Duration::ZERO;
                let expected: Vec<_> = (0..3)
                    .map(|_| {
                        at += waits.next_wait();
                        // Timers tick in milliseconds, and never early.
                        at = ms(at.as_nanos().div_ceil(1_000_000) as u64);
                        at.as_millis()
                    })
                    .collect();
                assert_eq!(case.waits(), expected, "call {call}");
            }
        }
    });
}

/// S4-46: no more attempts than the policy has, nor than the client allows; then the failure is the application's.
#[test]
fn s4_46_attempts_are_limited_by_policy_and_client() {
    for_each_transport_on_virtual_time(|transport| async move {
        for (policy, limit, expected) in [(3, None, 3), (9, None, 5), (9, Some(7), 7)] {
            let case = Case::with_policy(transport, retry(policy)).await;
            if let Some(attempts_max) = limit {
                let config = RetryConfig {
                    attempts_max,
                    ..RetryConfig::default()
                };
                case.pair.client.set_retry_config(config);
            }
            let outcome = case.run(unavailable(20)).await;
            assert_eq!(outcome, Err(Code::Unavailable));
            assert_eq!(case.attempts(), expected, "{policy} {limit:?}");
        }
    });
}

/// S4-48: headers and then an error: no retry.
#[test]
fn s4_48_headers_commit_the_call() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(4)).await;
        let outcome = case.run([Reply::HeadersAndFail(Code::Unavailable)]).await;
        assert_eq!(outcome, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 1);
    });
}

#[test]
fn a_code_that_is_not_listed_is_not_retried() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(4)).await;
        let outcome = case.run([Reply::Fail(Code::InvalidArgument)]).await;
        assert_eq!(outcome, Err(Code::InvalidArgument));
        assert_eq!(case.attempts(), 1);
    });
}

/// S4-52: `0` and `150` wait exactly so long; `-1` and `abc` forbid the retry.
#[test]
fn s4_52_a_push_back_says_when_or_never() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(4)).await;
        for (value, wait) in [("0", 0), ("150", 150)] {
            let outcome = case.run([Reply::PushBack(Code::Unavailable, value)]).await;
            assert_eq!(outcome, answered(), "{value}");
            let waits = case.waits();
            if case.exact {
                assert_eq!(waits, [wait], "{value}");
            }
            assert!(waits.len() == 1 && waits[0] >= wait, "{value}: {waits:?}");
        }
        for value in ["-1", "abc"] {
            let outcome = case.run([Reply::PushBack(Code::Unavailable, value)]).await;
            assert_eq!(outcome, Err(Code::Unavailable), "{value}");
            assert_eq!(case.attempts(), 1, "{value}");
        }
    });
}

/// S4-53: `grpc-previous-rpc-attempts` is absent, 1, 2.
#[test]
fn s4_53_a_server_is_told_of_the_attempts_before() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(4)).await;
        assert_eq!(case.run(unavailable(2)).await, answered());
        let seen = case.flaky.seen();
        let previous: Vec<_> = seen.iter().map(|seen| seen.previous.as_deref()).collect();
        assert_eq!(previous, [None, Some("1"), Some("2")]);
    });
}

/// S4-50: maxTokens 10, ratio 0.1: five failures leave 5.0, and there is no retry. First attempts always go out, and
/// their successes bring the tokens back.
#[test]
fn s4_50_too_many_failures_stop_the_retries() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_config(transport, throttled(retry(5), 10, 100)).await;
        // Five failures: the fifth leaves 5.0, which is not more than half.
        assert_eq!(case.run(unavailable(9)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 5);
        assert_eq!(case.run(unavailable(9)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 1, "4.0: no retry");
        assert_eq!(case.pair.client.retry_counters().throttled, 1);
        // 20 successes: 6.0, of which a failure leaves 5.0; one more, and it leaves 5.1.
        for _ in 0..20 {
            assert_eq!(case.run([]).await, answered());
        }
        assert_eq!(case.run(unavailable(1)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 1, "5.0: no retry");
        for _ in 0..11 {
            assert_eq!(case.run([]).await, answered());
        }
        assert_eq!(case.run(unavailable(1)).await, answered());
        assert_eq!(case.attempts(), 2, "5.1: retries again");
    });
}

/// S4-51: INVALID_ARGUMENT does not count, and a push-back that forbids the retry does.
#[test]
fn s4_51_what_counts_as_a_failure() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_config(transport, throttled(retry(3), 4, 1)).await;
        for _ in 0..10 {
            let outcome = case.run([Reply::Fail(Code::InvalidArgument)]).await;
            assert_eq!(outcome, Err(Code::InvalidArgument));
        }
        assert_eq!(case.run(unavailable(1)).await, answered(), "3.0 of 4");
        let stop = Reply::PushBack(Code::InvalidArgument, "-1");
        assert_eq!(case.run([stop]).await, Err(Code::InvalidArgument));
        assert_eq!(case.run(unavailable(1)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 1, "1.0 of 4");
    });
}

/// S4-50: what fails after its headers counts like any other failure.
#[test]
fn s4_50_a_failure_after_headers_counts() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_config(transport, throttled(retry(3), 2, 1)).await;
        let outcome = case.run([Reply::HeadersAndFail(Code::Unavailable)]).await;
        assert_eq!(outcome, Err(Code::Unavailable));
        assert_eq!(case.run(unavailable(1)).await, Err(Code::Unavailable));
        assert_eq!(case.pair.client.retry_counters().throttled, 1);
    });
}

/// S4-56: what became of all calls.
#[test]
fn s4_56_a_client_counts_its_attempts() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, retry(3)).await;
        let before = case.pair.client.retry_counters();
        let pushed = Reply::PushBack(Code::Unavailable, "20");
        assert_eq!(case.run([pushed]).await, answered());
        assert_eq!(case.run(unavailable(9)).await, Err(Code::Unavailable));
        let RetryCounters {
            calls,
            retries,
            hedges,
            transparent_retries,
            failures,
            retry_delay,
            ..
        } = case.pair.client.retry_counters();
        assert_eq!(calls - before.calls, 2);
        assert_eq!(
            (retries, hedges, transparent_retries, failures),
            (3, 0, 0, 4)
        );
        assert!(retry_delay >= ms(20 + 8 + 16), "{retry_delay:?}");
    });
}
