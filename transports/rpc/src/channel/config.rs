//! How a channel holds its connections.

use headwater_core::balance::BalancerConfig;

/// The bounds of a [`super::Channel`].
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelConfig {
    /// How connections are made and chosen between; a policy that the resolver brings comes before this one. Default: `pick_first`, a back-off of 1 s growing by 1.6 to 120 s with
    /// a jitter of 0.2, 20 s for an attempt, and connections given up after 30 min without a call.
    pub balancer: BalancerConfig,
    /// Whether to connect as soon as the channel runs, and not only with the first call. Later on it idles like any other.
    /// Default: no.
    pub eager: bool,
    /// How many calls may wait for a connection; one more fails with `UNAVAILABLE`. Default: 1024.
    pub waiting_calls_max: usize,
    /// Where jitter and shuffling come from; the same seed gives the same. Default: `None`, another one each time.
    pub seed: Option<u64>,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            balancer: BalancerConfig::default(),
            eager: false,
            waiting_calls_max: 1024,
            seed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headwater_core::{BackOff, balance::Policy};

    use super::*;

    /// S4-63: idle close after 30 min, back-off of 1 s, times 1.6, at most 120 s, jitter 0.2.
    #[test]
    fn s4_63_the_defaults_are_those_of_grpc() {
        let expected = ChannelConfig {
            balancer: BalancerConfig {
                policy: Policy::PickFirst { shuffle: false },
                back_off: BackOff {
                    initial: Duration::from_secs(1),
                    multiplier: 1.6,
                    max: Duration::from_secs(120),
                    jitter: 0.2,
                },
                connect_timeout: Duration::from_secs(20),
                idle_timeout: Some(Duration::from_secs(1800)),
            },
            eager: false,
            waiting_calls_max: 1024,
            seed: None,
        };
        assert_eq!(ChannelConfig::default(), expected);
    }
}
