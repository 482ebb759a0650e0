//! How a channel balances.

use core::time::Duration;

use crate::back_off::BackOff;

/// How calls are spread over the addresses of a name (gRPC's `load-balancing.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// One connection, to the first address that can be reached; the addresses are tried one after the other.
    PickFirst {
        /// Whether each new list is shuffled first, so that many clients spread over the addresses (gRFC A62).
        shuffle: bool,
    },
    /// A connection to each address, and calls to those that are ready, in turn.
    RoundRobin,
}

impl Default for Policy {
    /// `pick_first` in the order of the resolver, as in gRPC.
    fn default() -> Self {
        Self::PickFirst { shuffle: false }
    }
}

/// The bounds of a [`super::Balancer`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BalancerConfig {
    /// How calls are spread. Default: `pick_first` without shuffling.
    pub policy: Policy,
    /// How long an address that failed is left alone, from the start of the attempt. Default: 1 s, growing by 1.6 to 120 s, with a jitter of 0.2.
    pub back_off: BackOff,
    /// How long an attempt may take; the back-off where that is longer. Default: 20 s (`connection-backoff.md`).
    pub connect_timeout: Duration,
    /// After this long without a call, connections are given up until the next one. `None`: never. Default: 30 min.
    pub idle_timeout: Option<Duration>,
}

impl Default for BalancerConfig {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            back_off: BackOff::default(),
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Some(Duration::from_secs(30 * 60)),
        }
    }
}
