//! How long to wait before dialling again.

use std::time::Duration;

/// Exponential back-off with jitter, in the manner of gRPC's `connection-backoff.md`, with shorter waits: the service gives
/// the events of a broken link no more than 30 s.
#[derive(Debug, Clone, PartialEq)]
pub struct BackOff {
    /// Before the first new attempt. Default 200 ms.
    pub initial: Duration,
    /// Each wait is so many times the one before. Default 1.6.
    pub multiplier: f64,
    /// No wait is longer, jitter aside. Default 10 s.
    pub max: Duration,
    /// Each wait is spread evenly over so much more or less of itself, so that many upstreams do not dial at once. 0 to 1.
    /// Default 0.2.
    pub jitter: f64,
}

impl Default for BackOff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(200),
            multiplier: 1.6,
            max: Duration::from_secs(10),
            jitter: 0.2,
        }
    }
}

/// Where a row of attempts stands.
#[derive(Debug)]
pub(crate) struct Attempts {
    config: BackOff,
    attempt: u32,
    random: u64,
}

impl Attempts {
    /// The same seed gives the same waits.
    pub(crate) const fn new(config: BackOff, seed: u64) -> Self {
        Self {
            config,
            attempt: 0,
            random: seed,
        }
    }

    /// An attempt succeeded: the next row begins with the initial wait.
    pub(crate) const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How long to wait before the next attempt.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let config = &self.config;
        let exponent = i32::try_from(self.attempt).unwrap_or(i32::MAX);
        let initial = config.initial.as_secs_f64();
        let max = config.max.as_secs_f64();
        let wait = (initial * config.multiplier.powi(exponent)).min(max);
        self.attempt = self.attempt.saturating_add(1);
        let spread = config.jitter.clamp(0.0, 1.0) * (self.fraction() * 2.0 - 1.0);
        Duration::try_from_secs_f64(wait * (1.0 + spread)).unwrap_or(self.config.max)
    }

    /// From 0 up to 1, by SplitMix64 (Steele, Lea, Flood 2014): jitter needs no better.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(seed: u64) -> Vec<Duration> {
        let mut attempts = Attempts::new(BackOff::default(), seed);
        (0..40).map(|_| attempts.next_wait()).collect()
    }

    #[test]
    fn waits_grow_to_the_maximum_and_stay_within_the_jitter() {
        let mut expected = 0.2_f64;
        for (attempt, wait) in waits(7).into_iter().enumerate() {
            let wait = wait.as_secs_f64();
            let bounds = expected * 0.799..expected * 1.201;
            assert!(
                bounds.contains(&wait),
                "{attempt}: {wait} is not in {bounds:?}"
            );
            expected = (expected * 1.6).min(10.0);
        }
    }

    #[test]
    fn the_seed_decides_the_jitter() {
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn a_success_starts_afresh() {
        let mut attempts = Attempts::new(
            BackOff {
                jitter: 0.0,
                ..BackOff::default()
            },
            0,
        );
        attempts.next_wait();
        assert!(attempts.next_wait() > Duration::from_millis(200));
        attempts.reset();
        assert_eq!(attempts.next_wait(), Duration::from_millis(200));
    }

    #[test]
    fn an_odd_configuration_does_not_panic() {
        for multiplier in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let config = BackOff {
                multiplier,
                max: Duration::MAX,
                ..BackOff::default()
            };
            let mut attempts = Attempts::new(config, 0);
            for _ in 0..2_000 {
                attempts.next_wait();
            }
        }
    }
}
