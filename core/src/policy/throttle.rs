//! What keeps retries from adding to an overload.

use headwater_proto::{Code, Metadata};

use super::{codes::Codes, pushback::Pushback};
use crate::call::Trailers;

/// One token, in the unit that is counted in.
const TOKEN: u32 = 1000;

/// When retries stop, because too many calls fail (gRFC A6, "Throttling Configuration").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryThrottling {
    /// How many tokens there are at first, and at most: 1 to 1000.
    pub tokens_max: u32,
    /// What a success gives back, in thousandths of a token: 1 or more.
    pub token_ratio_thousandths: u32,
}

/// The tokens of one server name, which all calls to it share: a failure costs one, a success gives some back, and there
/// are retries and hedges only while more than half are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// Thousandths of tokens; `None` without a bound.
    bucket: Option<Bucket>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bucket {
    left: u32,
    max: u32,
    gain: u32,
}

impl Throttle {
    /// A full bucket; without a configuration, one that is never empty.
    pub fn new(config: Option<RetryThrottling>) -> Self {
        let bucket = config.map(|config| {
            let max = config.tokens_max.saturating_mul(TOKEN);
            Bucket {
                left: max,
                max,
                gain: config.token_ratio_thousandths,
            }
        });
        Self { bucket }
    }

    /// Whether another attempt may be sent now: **more** than half of the tokens are left.
    pub fn allows(&self) -> bool {
        let bucket = self.bucket.as_ref();
        bucket.is_none_or(|bucket| bucket.left > bucket.max / 2)
    }

    /// Counts how a call, or an attempt of one, ended. `codes` are those of its policy, or none: any other failure is not
    /// counted, because it may be the caller's (`INVALID_ARGUMENT`), unless the server forbids to try again.
    pub fn record(&mut self, trailers: &Trailers, codes: Codes) {
        let outcome = trailers.outcome.as_ref().map_err(|status| status.code);
        self.count(outcome.err(), &trailers.metadata, codes);
    }

    /// Counts one outcome: `None` is success.
    pub(super) fn count(&mut self, failure: Option<Code>, trailing: &Metadata, codes: Codes) {
        let Some(bucket) = &mut self.bucket else {
            return;
        };
        let Some(code) = failure else {
            bucket.left = bucket.left.saturating_add(bucket.gain).min(bucket.max);
            return;
        };
        let told_to_stop = Pushback::of(trailing) == Some(Pushback::Stop);
        if codes.contains(code) || told_to_stop {
            bucket.left = bucket.left.saturating_sub(TOKEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_proto::Status;

    use super::*;

    const UNAVAILABLE: Codes = Codes::NONE.with(Code::Unavailable);

    fn throttle(tokens_max: u32, token_ratio_thousandths: u32) -> Throttle {
        Throttle::new(Some(RetryThrottling {
            tokens_max,
            token_ratio_thousandths,
        }))
    }

    fn failed(code: Code) -> Trailers {
        Trailers::failed(Status::new(code, ""))
    }

    fn fail(throttle: &mut Throttle) {
        throttle.record(&failed(Code::Unavailable), UNAVAILABLE);
    }

    /// S4-50: maxTokens 10, ratio 0.1: after 5 failures (5.0) no retry; one success (5.1), and there are retries again.
    #[test]
    fn s4_50_retries_need_more_than_half_of_the_tokens() {
        let mut throttle = throttle(10, 100);
        for failures in 1..=4 {
            fail(&mut throttle);
            assert!(throttle.allows(), "after {failures} failures");
        }
        fail(&mut throttle);
        assert!(!throttle.allows(), "5.0 is not more than half");
        throttle.record(&Trailers::ok(), UNAVAILABLE);
        assert!(throttle.allows(), "5.1 is more than half");
    }

    /// S4-50: the count stays between 0 and maxTokens, and three decimals are exact.
    #[test]
    fn s4_50_tokens_have_bounds_and_thousandths() {
        let mut throttle = throttle(2, 1);
        for _ in 0..10 {
            throttle.record(&Trailers::ok(), UNAVAILABLE);
        }
        fail(&mut throttle);
        assert!(
            !throttle.allows(),
            "successes never gave more than 2 tokens"
        );
        throttle.record(&Trailers::ok(), UNAVAILABLE);
        assert!(throttle.allows(), "1.001 of 2");
        for _ in 0..10 {
            fail(&mut throttle);
        }
        for _ in 0..1000 {
            throttle.record(&Trailers::ok(), UNAVAILABLE);
        }
        assert!(!throttle.allows(), "1.000 of 2: it had not gone below 0");
        throttle.record(&Trailers::ok(), UNAVAILABLE);
        assert!(throttle.allows(), "1.001 of 2");
    }

    /// S4-51: the policy's codes count, and a push-back that forbids a retry; `INVALID_ARGUMENT` does not.
    #[test]
    fn s4_51_only_failures_that_are_the_servers_count() {
        let mut stop = failed(Code::InvalidArgument);
        stop.metadata
            .append(Pushback::KEY, "-1")
            .expect("valid metadata");
        let mut wait = failed(Code::InvalidArgument);
        wait.metadata
            .append(Pushback::KEY, "10")
            .expect("valid metadata");
        let cases = [
            (failed(Code::Unavailable), UNAVAILABLE, true),
            (failed(Code::InvalidArgument), UNAVAILABLE, false),
            (stop.clone(), UNAVAILABLE, true),
            (wait, UNAVAILABLE, false),
            (failed(Code::Unavailable), Codes::NONE, false),
            (stop, Codes::NONE, true),
        ];
        for (trailers, codes, counted) in cases {
            // One failure of the two tokens is one too many.
            let mut throttle = throttle(2, 1000);
            throttle.record(&trailers, codes);
            assert_eq!(throttle.allows(), !counted, "{trailers:?} {codes:?}");
        }
    }

    #[test]
    fn without_a_configuration_nothing_is_throttled() {
        let mut throttle = Throttle::new(None);
        for _ in 0..10_000 {
            fail(&mut throttle);
        }
        assert!(throttle.allows());
    }
}
