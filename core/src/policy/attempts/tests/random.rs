//! Any inputs in any order.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Headers(u32),
    Ended(u32, AttemptEnd),
    Sent(u32, usize),
    BufferFull,
    Cancelled,
    /// So much later.
    Later(u64),
}

fn ends() -> impl Strategy<Value = AttemptEnd> {
    prop_oneof![
        4 => Just(unavailable()),
        1 => Just(status(Code::Internal)),
        1 => Just(ok()),
        1 => Just(pushed_back(Code::Unavailable, "40")),
        1 => Just(pushed_back(Code::Unavailable, "-1")),
        2 => Just(gone(Reached::Nothing)),
        2 => Just(gone(Reached::Library)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let id = 0..8_u32;
    prop_oneof![
        1 => id.clone().prop_map(Step::Headers),
        6 => (id.clone(), ends()).prop_map(|(id, end)| Step::Ended(id, end)),
        2 => (id, 0..9_usize).prop_map(|(id, messages)| Step::Sent(id, messages)),
        1 => Just(Step::BufferFull),
        1 => Just(Step::Cancelled),
        6 => (0..200_u64).prop_map(Step::Later),
    ]
}

proptest! {
    /// Attempts stay within the policy, each is begun once and ended once, and the call is committed or ended once, last.
    #[test]
    fn promises_hold_whatever_happens(
        hedged: bool,
        attempts_max in 0..7_u32,
        delay in 0..100_u64,
        throttled: bool,
        script in prop::collection::vec(steps(), 0..60),
    ) {
        let policy = if hedged { hedging(attempts_max, delay) } else { retry(attempts_max) };
        let throttling = throttled.then_some(RetryThrottling {
            tokens_max: 4,
            token_ratio_thousandths: 500,
        });
        let mut throttle = Throttle::new(throttling);
        let mut attempts = Attempts::new(&policy, 5, SEED, Time::ZERO);
        let mut now = Time::ZERO;
        let mut live = Vec::new();
        let mut over = false;
        let script = core::iter::once(Step::Later(0)).chain(script);
        for step in script {
            let mut cancelled = false;
            let input = match step {
                Step::Headers(id) => headers(id),
                Step::Ended(id, end) => {
                    live.retain(|known| *known != AttemptId(id));
                    ended(id, end)
                }
                Step::Sent(id, messages) => Input::Sent { attempt: AttemptId(id), messages },
                Step::BufferFull => Input::BufferFull,
                Step::Cancelled => {
                    cancelled = true;
                    Input::Cancelled
                }
                Step::Later(millis) => {
                    now = now + ms(millis);
                    Input::Timeout
                }
            };
            attempts.handle(input, &mut throttle, now);
            while let Some(output) = attempts.poll_output() {
                prop_assert!(!over, "{output:?} after the end");
                match output {
                    Output::Start(start) => {
                        prop_assert!(start.previous < attempts_max.clamp(1, 5));
                        live.push(start.id);
                    }
                    Output::Cancel(id) => {
                        prop_assert!(live.contains(&id), "{id:?} does not run");
                        live.retain(|known| *known != id);
                    }
                    Output::Commit(id) => {
                        prop_assert_eq!(&live, &[id]);
                        over = true;
                    }
                    Output::End(_) => {
                        prop_assert!(live.is_empty(), "{live:?} run on");
                        over = true;
                    }
                }
            }
            over |= cancelled;
            let waits = attempts.poll_timeout();
            prop_assert_eq!(waits.is_some() && over, false, "it waits after the end");
            prop_assert!(
                over || !live.is_empty() || waits.is_some(),
                "a call that is not over goes on"
            );
        }
    }
}
