//! Several attempts at the same time.

use super::*;

fn sent(id: u32, messages: usize) -> Input {
    let attempt = AttemptId(id);
    Input::Sent { attempt, messages }
}

/// S4-49: one attempt more each delay, up to `maxAttempts`; the first answer wins, and the others are cancelled.
#[test]
fn s4_49_the_first_answer_wins() {
    let mut script = Script::new(&hedging(3, 100));
    script.begins(&[start(0, 0)]);
    script.next(at(100), &[start(1, 1)]);
    script.next(at(200), &[start(2, 2)]);
    assert_eq!(script.attempts.poll_timeout(), None, "3 is all");
    script.gives(headers(1), &[cancel(0), cancel(2), commit(1)]);
    script.is_over();
    assert_eq!(script.attempts.counters().hedges, 2);
}

/// S4-49: success without a response is an answer as well.
#[test]
fn s4_49_success_without_headers_wins_too() {
    let mut script = Script::new(&hedging(2, 100));
    script.begins(&[start(0, 0)]);
    script.next(at(100), &[start(1, 1)]);
    script.gives(ended(0, ok()), &[cancel(1), Output::End(ok())]);
    script.is_over();
}

/// S4-49: a delay of zero begins all at once.
#[test]
fn s4_49_no_delay_begins_all_at_once() {
    let mut script = Script::new(&hedging(9, 0));
    script.begins(&[start(0, 0)]);
    let rest: Vec<_> = (1..5).map(|id| start(id, id)).collect();
    script.gives(Input::Timeout, &rest);
    script.gives(
        headers(4),
        &[cancel(0), cancel(1), cancel(2), cancel(3), commit(4)],
    );
}

/// S4-49: a failure that is not fatal begins the next at once, and the delay runs from there.
#[test]
fn s4_49_a_failure_begins_the_next_at_once() {
    let mut script = Script::new(&hedging(4, 100));
    script.begins(&[start(0, 0)]);
    script.now = at(30);
    script.gives(ended(0, unavailable()), &[start(1, 1)]);
    script.next(at(130), &[start(2, 2)]);
    script.now = at(140);
    script.gives(ended(2, unavailable()), &[start(3, 3)]);
    assert_eq!(script.attempts.poll_timeout(), None, "4 is all");
    script.gives(ended(1, unavailable()), &[]);
    script.gives(ended(3, unavailable()), &[Output::End(unavailable())]);
    script.is_over();
}

/// S4-49: a code that is not listed ends all.
#[test]
fn s4_49_a_fatal_failure_ends_all() {
    let mut script = Script::new(&hedging(4, 100));
    script.begins(&[start(0, 0)]);
    script.next(at(100), &[start(1, 1)]);
    let fatal = status(Code::Internal);
    script.gives(
        ended(0, fatal.clone()),
        &[cancel(1), Output::End(fatal.clone())],
    );
    script.is_over();
}

/// S4-49: when all have failed, the call ends as the last one did.
#[test]
fn s4_49_the_last_failure_is_the_calls() {
    let mut script = Script::new(&hedging(2, 0));
    script.begins(&[start(0, 0)]);
    script.gives(Input::Timeout, &[start(1, 1)]);
    script.gives(ended(1, unavailable()), &[]);
    let last = gone(Reached::Handler);
    script.gives(ended(0, last.clone()), &[Output::End(last)]);
}

/// S4-52: a push-back of n begins the next after n, and the delay runs from there; one that forbids lets those under way
/// finish.
#[test]
fn s4_52_a_push_back_moves_the_next_hedge() {
    let mut script = Script::new(&hedging(4, 100));
    script.begins(&[start(0, 0)]);
    script.next(at(100), &[start(1, 1)]);
    script.gives(ended(0, pushed_back(Code::Unavailable, "150")), &[]);
    script.next(at(250), &[start(2, 2)]);
    assert_eq!(
        script.attempts.poll_timeout().map(|due| due.at),
        Some(at(350))
    );
    script.gives(ended(1, pushed_back(Code::Unavailable, "abc")), &[]);
    assert_eq!(script.attempts.poll_timeout(), None, "no more hedges");
    script.gives(ended(2, unavailable()), &[Output::End(unavailable())]);
}

/// S4-50: hedges need more than half of the tokens too: at 5.0 of 10 there is none, at 5.1 there is.
#[test]
fn s4_50_hedges_are_throttled() {
    let throttling = RetryThrottling {
        tokens_max: 10,
        token_ratio_thousandths: 100,
    };
    let failed = Trailers::failed(Status::new(Code::Unavailable, ""));
    for (successes, hedges) in [(0, false), (1, true)] {
        let mut script = Script::throttled(&hedging(3, 100), Some(throttling));
        for _ in 0..5 {
            script
                .throttle
                .record(&failed, Codes::from([Code::Unavailable]));
        }
        for _ in 0..successes {
            script.throttle.record(&Trailers::ok(), Codes::NONE);
        }
        script.begins(&[start(0, 0)]);
        if hedges {
            script.next(at(100), &[start(1, 1)]);
            continue;
        }
        script.next(at(100), &[]);
        assert_eq!(script.attempts.poll_timeout(), None, "nor a later one");
        assert_eq!(script.attempts.counters().throttled, 1);
        script.gives(ended(0, unavailable()), &[Output::End(unavailable())]);
    }
}

/// S4-50: a failure that empties the bucket ends the hedging; what is under way may still win.
#[test]
fn s4_50_a_failure_that_empties_the_bucket_starts_no_hedge() {
    let throttling = RetryThrottling {
        tokens_max: 2,
        token_ratio_thousandths: 1000,
    };
    let mut script = Script::throttled(&hedging(4, 100), Some(throttling));
    script.begins(&[start(0, 0)]);
    script.next(at(100), &[start(1, 1)]);
    script.gives(ended(0, unavailable()), &[]);
    assert_eq!(script.attempts.poll_timeout(), None);
    script.gives(headers(1), &[commit(1)]);
}

/// S4-54: an attempt that no handler has seen is replaced, beside the others.
#[test]
fn s4_54_a_hedge_is_replaced_transparently() {
    let mut script = Script::new(&hedging(2, 100));
    script.begins(&[start(0, 0)]);
    script.next(at(100), &[start(1, 1)]);
    script.gives(ended(1, gone(Reached::Library)), &[start(2, 1)]);
    script.gives(ended(0, unavailable()), &[]);
    script.gives(ended(2, unavailable()), &[Output::End(unavailable())]);
    assert_eq!(script.attempts.counters().failures, 2);
}

/// S4-55: a full buffer commits to the attempt on which most was sent, the earlier one if it is the same.
#[test]
fn s4_55_a_full_buffer_commits_to_the_furthest() {
    for (counts, winner) in [([3, 5], 1), ([5, 3], 0), ([4, 4], 0)] {
        let mut script = Script::new(&hedging(3, 100));
        script.begins(&[start(0, 0)]);
        script.next(at(100), &[start(1, 1)]);
        script.gives(sent(0, counts[0]), &[]);
        script.gives(sent(1, counts[1]), &[]);
        let other = 1 - winner;
        script.gives(Input::BufferFull, &[cancel(other), commit(winner)]);
        script.is_over();
    }
}
