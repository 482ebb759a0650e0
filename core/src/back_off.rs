//! How long to wait before trying again.

use core::time::Duration;

use crate::random::Random;

/// Waits that grow: the n-th is `min(initial · multiplier^(n−1), max) · random(1 − jitter, 1 + jitter)`. gRFC A6 has it
/// for retries, with a jitter of 0.2, and gRPC's `connection-backoff.md` for connections. The defaults are those for
/// connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackOff {
    /// The first wait. Default: 1 s.
    pub initial: Duration,
    /// Each wait is so many times the one before. Default: 1.6.
    pub multiplier: f64,
    /// No wait is longer, jitter aside. Default: 120 s.
    pub max: Duration,
    /// Each wait is spread evenly over so much more or less of itself, so that many clients do not come back at once. 0 to
    /// 1. Default: 0.2.
    pub jitter: f64,
}

impl Default for BackOff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            multiplier: 1.6,
            max: Duration::from_secs(120),
            jitter: 0.2,
        }
    }
}

impl BackOff {
    /// The waits of one thing that fails again and again. The same seed gives the same waits, to the nanosecond; it should
    /// differ between clients. Whatever the configuration holds, there is no panic.
    pub const fn waits(&self, seed: u64) -> Waits {
        Waits {
            config: *self,
            next: nanos(self.initial),
            random: Random::new(seed),
        }
    }
}

/// The waits after failures in a row.
#[derive(Debug, Clone)]
pub struct Waits {
    config: BackOff,
    /// The next wait, in nanoseconds, before it is cut and varied.
    next: f64,
    random: Random,
}

impl Waits {
    /// It failed again: how long to wait.
    pub fn next_wait(&mut self) -> Duration {
        let max = nanos(self.config.max);
        let base = self.next.min(max);
        self.next = (base * self.config.multiplier.max(0.0)).min(max);
        let jitter = self.config.jitter.clamp(0.0, 1.0);
        let factor = 1.0 - jitter + 2.0 * jitter * self.random.fraction();
        // Saturates, and below a nanosecond there is nothing.
        Duration::from_nanos((base * factor) as u64)
    }

    /// It succeeded: the next failure begins a new row.
    pub const fn reset(&mut self) {
        self.next = nanos(self.config.initial);
    }
}

const fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn back_off(initial: u64, multiplier: f64, max: u64, jitter: f64) -> BackOff {
        BackOff {
            initial: millis(initial),
            multiplier,
            max: millis(max),
            jitter,
        }
    }

    fn delays(jitter: f64, seed: u64) -> Vec<u128> {
        let mut waits = back_off(100, 2.0, 1000, jitter).waits(seed);
        (0..6).map(|_| waits.next_wait().as_millis()).collect()
    }

    /// S4-47: `min(initial · mult^(n−1), max)`, before it is varied.
    #[test]
    fn s4_47_waits_grow_to_the_maximum() {
        assert_eq!(delays(0.0, 1), [100, 200, 400, 800, 1000, 1000]);
    }

    /// S4-47: a seed gives exact values, and another seed gives others.
    #[test]
    fn s4_47_a_seed_gives_exact_waits() {
        // SplitMix64 of 1 gives 0.567, 0.746, 0.971, 0.444, 0.444 and 0.763.
        let expected = [102, 219, 475, 782, 977, 1105];
        assert_eq!(delays(0.2, 1), expected);
        assert_eq!(delays(0.2, 1), expected, "again");
        assert_ne!(delays(0.2, 2), expected);
    }

    /// S4-47: a fifth more or less, evenly.
    #[test]
    fn s4_47_the_jitter_is_a_fifth_either_way() {
        let drawn: Vec<u128> = (0..1000)
            .map(|seed| back_off(1000, 1.0, 1000, 0.2).waits(seed).next_wait())
            .map(|delay| delay.as_millis())
            .collect();
        assert!(drawn.iter().all(|delay| (800..=1200).contains(delay)));
        for tenth in 0..10 {
            let from = 800 + tenth * 40;
            let count = drawn
                .iter()
                .filter(|delay| (from..from + 40).contains(*delay))
                .count();
            assert!((60..=140).contains(&count), "{count} of 1000 from {from}");
        }
    }

    #[test]
    fn odd_numbers_make_no_odd_waits() {
        let cases = [
            (f64::NAN, f64::NAN),
            (f64::INFINITY, 9.0),
            (-1.0, -1.0),
            (0.0, 0.0),
        ];
        for (multiplier, jitter) in cases {
            let mut waits = back_off(100, multiplier, 200, jitter).waits(7);
            for _ in 0..100 {
                assert!(waits.next_wait() <= millis(400), "{multiplier} {jitter}");
            }
        }
    }

    #[test]
    fn a_reset_begins_again_and_draws_on() {
        let mut waits = back_off(100, 3.0, 1000, 0.0).waits(7);
        let mut next = || waits.next_wait();
        assert_eq!([next(), next()], [millis(100), millis(300)]);
        waits.reset();
        assert_eq!(waits.next_wait(), millis(100));
    }
}
