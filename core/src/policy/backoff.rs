//! How long to wait before trying again.

use core::time::Duration;

/// Waits that grow: the n-th is `min(initial · multiplier^(n−1), max) · random(1 − jitter, 1 + jitter)`. gRFC A6 has it
/// for retries, with a jitter of 0.2, and gRPC's `connection-backoff.md` for connections.
///
/// The same seed gives the same waits, to the nanosecond.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    initial: f64,
    multiplier: f64,
    max: f64,
    jitter: f64,
    /// The next wait, in nanoseconds, before it is cut and varied.
    next: f64,
    random: u64,
}

impl Backoff {
    /// The waits from `initial` to `max`. `jitter` is the fraction by which each varies, from 0 to 1. The seed should
    /// differ between clients, for else they all come back at once.
    pub fn new(initial: Duration, multiplier: f64, max: Duration, jitter: f64, seed: u64) -> Self {
        let initial = nanos(initial);
        Self {
            initial,
            multiplier: multiplier.max(0.0),
            max: nanos(max),
            jitter: jitter.clamp(0.0, 1.0),
            next: initial,
            random: seed,
        }
    }

    /// How long to wait this time.
    pub fn next_delay(&mut self) -> Duration {
        let base = self.next.min(self.max);
        self.next *= self.multiplier;
        let factor = 1.0 - self.jitter + 2.0 * self.jitter * self.unit();
        // Saturates, and below a nanosecond there is nothing.
        Duration::from_nanos((base * factor) as u64)
    }

    /// Begins again with the initial wait.
    pub const fn reset(&mut self) {
        self.next = self.initial;
    }

    /// The next random number from 0 to below 1 (SplitMix64).
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The upper 53 bits, which is as much as the fraction of an `f64` holds.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
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

    fn delays(jitter: f64, seed: u64) -> Vec<u128> {
        let mut backoff = Backoff::new(millis(100), 2.0, millis(1000), jitter, seed);
        (0..6).map(|_| backoff.next_delay().as_millis()).collect()
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
            .map(|seed| Backoff::new(millis(1000), 1.0, millis(1000), 0.2, seed).next_delay())
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
            let mut backoff = Backoff::new(millis(100), multiplier, millis(200), jitter, 7);
            for _ in 0..100 {
                assert!(backoff.next_delay() <= millis(400), "{multiplier} {jitter}");
            }
        }
    }

    #[test]
    fn a_reset_begins_again_and_draws_on() {
        let mut backoff = Backoff::new(millis(100), 3.0, millis(1000), 0.0, 7);
        let mut next = || backoff.next_delay();
        assert_eq!([next(), next()], [millis(100), millis(300)]);
        backoff.reset();
        assert_eq!(backoff.next_delay(), millis(100));
    }
}
