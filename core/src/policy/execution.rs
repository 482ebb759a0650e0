//! How often a call is sent.

use core::time::Duration;

use super::codes::Codes;

/// How the attempts of a call follow each other. A method has one of the two, or none (gRFC A6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExecutionPolicy {
    /// One attempt after the other.
    Retry(RetryPolicy),
    /// Several attempts at the same time, of which the first that is answered counts.
    Hedging(HedgingPolicy),
}

/// A failed attempt is followed by another, after a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// How many attempts there may be, the first included: 2 or more. More than the client allows count as that many
    /// ([`super::attempts::Attempts::new`]).
    pub attempts_max: u32,
    /// The wait before the first retry; more than zero.
    pub initial_backoff: Duration,
    /// The longest wait, before it is varied by a fifth; more than zero.
    pub max_backoff: Duration,
    /// How much longer each wait is than the one before; more than zero.
    pub backoff_multiplier: f64,
    /// The failures after which there is another attempt.
    pub retryable_status_codes: Codes,
}

/// Attempts are begun before the earlier ones have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HedgingPolicy {
    /// How many attempts there may be, the first included: 2 or more. More than the client allows count as that many
    /// ([`super::attempts::Attempts::new`]).
    pub attempts_max: u32,
    /// How long after an attempt the next one is begun; zero begins all at once.
    pub hedging_delay: Duration,
    /// The failures that leave the other attempts running, and begin the next one at once. Any other ends the call.
    pub non_fatal_status_codes: Codes,
}

impl ExecutionPolicy {
    /// No failure is worth another attempt; only what no handler has seen is sent again (gRFC A6, "Transparent Retries"). A
    /// call has this without being told if its only request is given with it.
    pub const TRANSPARENT: Self = Self::Retry(RetryPolicy {
        attempts_max: 1,
        initial_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
        backoff_multiplier: 1.0,
        retryable_status_codes: Codes::NONE,
    });

    /// The failures that are worth another attempt.
    pub const fn codes(&self) -> Codes {
        match self {
            Self::Retry(policy) => policy.retryable_status_codes,
            Self::Hedging(policy) => policy.non_fatal_status_codes,
        }
    }

    /// How many attempts there may be, before the client's own limit.
    pub const fn attempts_max(&self) -> u32 {
        match self {
            Self::Retry(policy) => policy.attempts_max,
            Self::Hedging(policy) => policy.attempts_max,
        }
    }
}
