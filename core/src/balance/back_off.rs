//! How long an address that failed is left alone.

use core::time::Duration;

use super::random::Random;

/// Exponential back-off with jitter, with the defaults of gRPC's `connection-backoff.md`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackOff {
    /// From the start of the first attempt that fails to the next. Default: 1 s.
    pub initial: Duration,
    /// Each wait is so many times the one before. Default: 1.6.
    pub multiplier: f64,
    /// No wait is longer, jitter aside. Default: 120 s.
    pub max: Duration,
    /// Each wait is spread evenly over so much more or less of itself, so that many clients do not connect at once. 0 to 1.
    /// Default: 0.2.
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
    /// The waits of one thing that fails again and again, with jitter from this seed.
    pub const fn waits(&self, seed: u64) -> Waits {
        Waits {
            config: *self,
            failures: Failures { next: None },
            random: Random::new(seed),
        }
    }
}

/// The waits after failures in a row.
#[derive(Debug, Clone)]
pub struct Waits {
    config: BackOff,
    failures: Failures,
    random: Random,
}

impl Waits {
    /// It failed again: how long to wait.
    pub fn next_wait(&mut self) -> Duration {
        self.failures.next_wait(&self.config, &mut self.random)
    }

    /// It succeeded: the next failure begins a new row.
    pub const fn reset(&mut self) {
        self.failures.reset();
    }
}

/// Where a row of failures stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    /// What the next wait is before jitter, if one has failed.
    next: Option<Duration>,
}

impl Failures {
    /// An attempt succeeded.
    pub(super) const fn reset(&mut self) {
        self.next = None;
    }

    /// An attempt failed: how long to wait from its start.
    pub(super) fn next_wait(&mut self, config: &BackOff, random: &mut Random) -> Duration {
        let wait = self.next.unwrap_or(config.initial).min(config.max);
        self.next = Some(times(wait, config.multiplier, config.max));
        let spread = config.jitter.clamp(0.0, 1.0) * (random.fraction() * 2.0 - 1.0);
        times(wait, 1.0 + spread, config.max)
    }
}

/// Whatever the configuration holds, there is no panic; what is no duration is the longest.
fn times(wait: Duration, factor: f64, max: Duration) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(max)
}
