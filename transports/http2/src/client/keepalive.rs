//! Finding out that a silent peer is gone (gRFC A8).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use h2::PingPong;
use headwater_rpc::{Code, Status};

use super::shared::Shared;
use crate::keepalive::{is_alive, silence};

/// No client asks more often than this (gRFC A8).
const INTERVAL_MIN: Duration = Duration::from_secs(10);

/// When a silent server is asked whether it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalive {
    /// When nothing was heard for this long, the server is asked; below 10 s it is 10 s (gRFC A8). Each time that a server
    /// ends a connection because it was asked too often, it doubles for all connections of the connector. Default: 10 s.
    pub interval: Duration,
    /// How long the server may then stay silent before the connection counts as lost. Default: 20 s (gRFC A8).
    pub timeout: Duration,
    /// Whether a connection without a call is kept alive as well. Default: no (gRFC A8).
    pub without_calls: bool,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            interval: INTERVAL_MIN,
            timeout: Duration::from_secs(20),
            without_calls: false,
        }
    }
}

/// How often a target may be asked, by what its servers said so far.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Arc<AtomicU64>);

impl Pace {
    pub(crate) fn new(interval: Duration) -> Self {
        let millis = interval.max(INTERVAL_MIN).as_millis();
        Self(Arc::new(AtomicU64::new(
            u64::try_from(millis).unwrap_or(u64::MAX),
        )))
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn double(&self) {
        let interval = self.0.load(Ordering::Relaxed);
        self.0.store(interval.saturating_mul(2), Ordering::Relaxed);
    }

    /// A connection ended for this reason: if that was asking too often, the next one asks less.
    pub(crate) fn learn(&self, why: &Status) {
        if is_too_many_pings(&why.message) {
            self.double();
        }
    }
}

/// GOAWAY with `ENHANCE_YOUR_CALM` and the data `too_many_pings`; `h2` shows the data in its text alone.
fn is_too_many_pings(message: &str) -> bool {
    let calm = h2::Reason::ENHANCE_YOUR_CALM.description();
    message.contains(calm) && message.contains("too_many_pings")
}

/// Asks the peer when it is silent, and says when it does not answer.
pub(crate) async fn watch(
    mut ping_pong: PingPong,
    config: Keepalive,
    pace: Pace,
    shared: Arc<Shared>,
) -> Status {
    loop {
        silence(shared.heard(), || pace.interval()).await;
        if !config.without_calls && shared.open() == 0 {
            tokio::time::sleep(pace.interval()).await;
            continue;
        }
        if !is_alive(&mut ping_pong, shared.heard(), config.timeout).await {
            return lost(config.timeout);
        }
    }
}

fn lost(after: Duration) -> Status {
    let message = format!("keep-alive: nothing was heard for {after:?} after the server was asked");
    Status::new(Code::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4-63, S4-65: no faster than every 10 s, a time-out of 20 s, only with calls, and off unless it is wanted.
    #[test]
    fn s4_65_the_bounds_and_defaults_of_keepalive() {
        assert_eq!(crate::Http2ClientConfig::default().keepalive, None);
        let default = Keepalive::default();
        assert_eq!(default.interval, Duration::from_secs(10));
        assert_eq!(default.timeout, Duration::from_secs(20));
        assert!(!default.without_calls);
        let hasty = Pace::new(Duration::from_millis(1));
        assert_eq!(hasty.interval(), Duration::from_secs(10), "never faster");
        let slow = Pace::new(Duration::from_secs(60));
        assert_eq!(slow.interval(), Duration::from_secs(60));
    }

    #[test]
    fn the_longest_interval_can_be_doubled() {
        let endless = Pace::new(Duration::MAX);
        let longest = endless.interval();
        endless.double();
        assert_eq!(endless.interval(), longest);
    }
}
