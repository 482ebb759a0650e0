//! Finding out that a silent peer is gone (gRFC A8).

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use h2::{Ping, PingPong};
use headwater_rpc::{Code, Status};
use tokio::time::Instant;

use super::shared::Shared;

/// No client asks more often than this (gRFC A8).
const INTERVAL_MIN: Duration = Duration::from_secs(10);

/// A longer wait is like this one: it does not end, and can be counted (100 years).
const WAIT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

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
        silence(&pace, &shared).await;
        if !config.without_calls && shared.open() == 0 {
            tokio::time::sleep(pace.interval()).await;
            continue;
        }
        let asked = Instant::now();
        let mut answer = pin!(ping_pong.ping(Ping::opaque()));
        loop {
            // Anything else that comes is as good a sign, and an answer may be queued behind it.
            let until = after(asked.max(shared.heard_at()), config.timeout);
            match tokio::time::timeout_at(until, &mut answer).await {
                Ok(Ok(_)) => break,
                // The connection has ended, and says why.
                Ok(Err(_)) => pending().await,
                Err(_) if after(shared.heard_at(), config.timeout) > Instant::now() => {}
                Err(_) => return lost(config.timeout),
            }
        }
    }
}

/// Waits until nothing was heard for an interval.
async fn silence(pace: &Pace, shared: &Shared) {
    loop {
        let until = after(shared.heard_at(), pace.interval());
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// This much later, for any wait that can be configured.
fn after(begun: Instant, wait: Duration) -> Instant {
    begun + wait.min(WAIT_MAX)
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
    fn the_longest_wait_can_be_counted() {
        let now = Instant::now();
        let endless = Pace::new(Duration::MAX);
        endless.double();
        for wait in [endless.interval(), Duration::MAX] {
            assert_eq!(after(now, wait), now + WAIT_MAX, "{wait:?}");
        }
        let short = Duration::from_secs(20);
        assert_eq!(after(now, short), now + short);
    }
}
