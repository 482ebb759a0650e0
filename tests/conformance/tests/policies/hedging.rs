//! Several attempts at the same time.

use headwater_conformance::{
    flaky::Seen,
    time::{DEADLINE, pass},
};

use super::*;

/// Hedges that go out one after another: where the clock runs, after a delay that nobody waits for.
async fn delayed(transport: Transport, attempts_max: u32) -> Case {
    let delay = match transport.is_within_process() {
        true => 20,
        false => DEADLINE.as_secs() * 1000,
    };
    Case::with_policy(transport, hedging(attempts_max, delay)).await
}

impl Case {
    /// A call whose attempts are replied to like this, of [`delayed`]: so many go out once the one before is with its server.
    async fn run_delayed<const N: usize>(
        &self,
        replies: [Reply; N],
        hedges: usize,
    ) -> Result<Bytes, Code> {
        let passing = async {
            // There the clock moves by itself.
            if self.exact {
                return;
            }
            for sent in 1..=hedges {
                self.flaky.until(|seen| seen.len() == sent).await;
                pass(DEADLINE).await;
            }
        };
        tokio::join!(self.run(replies), passing).0
    }
}

fn cancelled(seen: &[Seen]) -> Vec<bool> {
    seen.iter().map(|seen| seen.cancelled).collect()
}

/// S4-49 and S4-76: an attempt each delay; the first that is answered wins, and the others are cancelled on the wire.
#[test]
fn s4_49_the_first_answer_wins_and_the_others_are_cancelled() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = delayed(transport, 5).await;
        let replies = [Reply::Hang, Reply::Hang, Reply::Echo];
        let outcome = case.run_delayed(replies, 2).await;
        assert_eq!(outcome, answered());
        case.flaky
            .until(|seen| cancelled(seen) == [true, true, false])
            .await;
        if case.exact {
            assert_eq!(case.waits(), [20, 40]);
        }
        let seen = case.flaky.seen();
        let previous: Vec<_> = seen.iter().map(|seen| seen.previous.as_deref()).collect();
        assert_eq!(previous, [None, Some("1"), Some("2")], "S4-53");
        assert_eq!(case.pair.client.retry_counters().hedges, 2);
    });
}

/// S4-49: without a delay all attempts go out at once.
#[test]
fn s4_49_no_delay_sends_all_at_once() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, hedging(4, 0)).await;
        let call = case.run([Reply::Hang, Reply::Hang, Reply::Hang, Reply::Echo]);
        assert_eq!(call.await, answered());
        case.flaky
            .until(|seen| cancelled(seen) == [true, true, true, false])
            .await;
        if case.exact {
            assert_eq!(case.waits(), [0, 0, 0]);
        }
    });
}

/// S4-49: a failure that is not fatal sends the next at once; a fatal one ends all.
#[test]
fn s4_49_failures_shorten_the_wait_or_end_the_call() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, hedging(5, 10_000)).await;
        assert_eq!(case.run(unavailable(2)).await, answered());
        assert_eq!(case.attempts(), 3);
        if case.exact {
            assert_eq!(case.waits(), [0, 0], "nobody waited for the delay");
        }
        let case = delayed(transport, 3).await;
        let replies = [Reply::Hang, Reply::Fail(Code::Internal)];
        let outcome = case.run_delayed(replies, 1).await;
        assert_eq!(outcome, Err(Code::Internal));
        case.flaky
            .until(|seen| cancelled(seen) == [true, false])
            .await;
    });
}

/// S4-49: when all fail, the call ends as the last did.
#[test]
fn s4_49_all_may_fail() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, hedging(3, 10_000)).await;
        assert_eq!(case.run(unavailable(9)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 3);
    });
}

/// S4-52: a push-back moves the next hedge, or forbids it.
#[test]
fn s4_52_a_push_back_moves_or_forbids_the_next_hedge() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, hedging(3, 10_000)).await;
        let pushed = Reply::PushBack(Code::Unavailable, "30");
        assert_eq!(case.run([pushed]).await, answered());
        let waits = case.waits();
        assert!(waits.len() == 1 && waits[0] >= 30, "{waits:?}");
        if case.exact {
            assert_eq!(waits, [30]);
        }
        let stop = Reply::PushBack(Code::Unavailable, "-1");
        assert_eq!(case.run([stop]).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 1);
    });
}

/// S4-50: hedges are throttled as well: not at 5.0 of 10, and again at 5.1.
#[test]
fn s4_50_hedges_need_tokens() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_config(transport, throttled(hedging(2, 5), 10, 100)).await;
        let fatal = [Reply::PushBack(Code::InvalidArgument, "-1")];
        for _ in 0..5 {
            let outcome = case.run(fatal.clone()).await;
            assert_eq!(outcome, Err(Code::InvalidArgument));
        }
        // The bucket holds 5.0; the call that hangs would be hedged after 5 ms.
        let options = CallOptions {
            timeout: Some(ms(50)),
            ..CallOptions::default()
        };
        let outcome = case.run_with([Reply::Hang], options).await;
        assert_eq!(outcome, Err(Code::DeadlineExceeded));
        assert_eq!(case.attempts(), 1);
        // Without a policy of its own, so that nothing else is sent: 5.1.
        let plain = "/headwater.test.Control/Echo";
        let answer = case.pair.unary(plain, "success").await;
        assert!(answer.is_ok(), "{answer:?}");
        assert_eq!(case.run([Reply::Hang]).await, answered());
        assert_eq!(case.attempts(), 2);
    });
}

/// Dropping the call cancels every attempt on the wire.
#[test]
fn a_dropped_call_cancels_every_attempt() {
    for_each_transport_on_virtual_time(|transport| async move {
        let case = Case::with_policy(transport, hedging(3, 0)).await;
        case.flaky.reply(vec![Reply::Hang; 3]);
        let halves = case.pair.call(FLAKY).await;
        case.flaky.until(|seen| seen.len() == 3).await;
        drop(halves);
        case.flaky
            .until(|seen| cancelled(seen) == [true, true, true])
            .await;
        let counters = case.pair.client.retry_counters();
        assert_eq!(counters.failures, 0, "a cancelled attempt has not failed");
    });
}
