//! Finding out that a silent peer is gone, from either side (gRFC A8).

use std::{
    future::pending,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use h2::{Ping, PingPong};
use tokio::time::{Instant, sleep_until, timeout_at};

/// A longer wait is like this one: it does not end, and can be counted (100 years).
const WAIT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// When something was last heard of a peer, to the millisecond.
#[derive(Debug)]
pub(crate) struct Heard {
    started: Instant,
    millis: AtomicU64,
}

impl Heard {
    /// Now.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }

    /// Something was heard.
    pub(crate) fn note(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.started + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// Waits until nothing was heard for `interval`, which may change meanwhile.
pub(crate) async fn silence(heard: &Heard, interval: impl Fn() -> Duration) {
    loop {
        let until = after(heard.at(), interval());
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

/// Asks the peer, and waits until it answers. `false` if nothing is heard of it for this long.
pub(crate) async fn is_alive(ping_pong: &mut PingPong, heard: &Heard, timeout: Duration) -> bool {
    let asked = Instant::now();
    let mut answer = pin!(ping_pong.ping(Ping::opaque()));
    loop {
        // Anything else that comes is as good a sign, and an answer may be queued behind it.
        let until = after(asked.max(heard.at()), timeout);
        match timeout_at(until, &mut answer).await {
            Ok(Ok(_)) => return true,
            // The connection has ended, and says why.
            Ok(Err(_)) => pending().await,
            Err(_) if after(heard.at(), timeout) > Instant::now() => {}
            Err(_) => return false,
        }
    }
}

/// This much later, for any wait that can be configured.
fn after(begun: Instant, wait: Duration) -> Instant {
    begun + wait.min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_can_be_counted() {
        let now = Instant::now();
        for wait in [Duration::MAX, Duration::from_millis(u64::MAX)] {
            assert_eq!(after(now, wait), now + WAIT_MAX, "{wait:?}");
        }
        let short = Duration::from_secs(20);
        assert_eq!(after(now, short), now + short);
    }
}
