//! Noticing that the peer has vanished.

use std::time::Duration;

use tokio::time::Instant;

/// Asks a silent peer for a sign of life, and gives it up without.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// Signs of life up to the last look.
    signs: u64,
    heard_at: Instant,
    asked_at: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulse {
    /// Nothing, before this time.
    Fine(Instant),
    /// Ask for a sign of life.
    Ask,
    /// The peer has vanished.
    Lost,
}

impl Keepalive {
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            signs: 0,
            heard_at: now,
            asked_at: None,
        }
    }

    /// The peer has given so many signs of life by now.
    pub(super) fn heard(&mut self, signs: u64) {
        if signs != self.signs {
            self.signs = signs;
            self.heard_at = Instant::now();
            self.asked_at = None;
        }
    }

    /// How the peer is.
    pub(super) fn pulse(&mut self, now: Instant) -> Pulse {
        if let Some(asked_at) = self.asked_at {
            return match asked_at.checked_add(self.timeout) {
                Some(at) if at <= now => Pulse::Lost,
                at => Pulse::Fine(at.unwrap_or_else(|| far(now))),
            };
        }
        match self.heard_at.checked_add(self.interval) {
            Some(at) if at <= now => {
                self.asked_at = Some(now);
                Pulse::Ask
            }
            at => Pulse::Fine(at.unwrap_or_else(|| far(now))),
        }
    }

    /// How long a vanished peer may go unnoticed.
    pub(super) const fn bound(&self) -> Duration {
        self.interval.saturating_add(self.timeout)
    }
}

/// So late that it does not matter, and a timer can still hold it.
pub(super) fn far(now: Instant) -> Instant {
    now + Duration::from_secs(86_400 * 365)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);
    const TIMEOUT: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_asked_and_then_given_up() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(INTERVAL, TIMEOUT, start);
        assert_eq!(keepalive.pulse(start), Pulse::Fine(start + INTERVAL));
        let asked = start + INTERVAL;
        assert_eq!(keepalive.pulse(asked), Pulse::Ask);
        assert_eq!(keepalive.pulse(asked), Pulse::Fine(asked + TIMEOUT));
        assert_eq!(keepalive.pulse(asked + TIMEOUT), Pulse::Lost);
        assert_eq!(keepalive.bound(), INTERVAL + TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn any_sign_of_life_counts() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(INTERVAL, TIMEOUT, start);
        assert_eq!(keepalive.pulse(start + INTERVAL), Pulse::Ask);
        tokio::time::advance(Duration::from_secs(7)).await;
        keepalive.heard(1);
        let heard = Instant::now();
        assert_eq!(keepalive.pulse(heard), Pulse::Fine(heard + INTERVAL));
        keepalive.heard(1);
        assert_eq!(keepalive.pulse(heard + INTERVAL), Pulse::Ask, "nothing new");
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_without_end_never_asks() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Duration::MAX, TIMEOUT, start);
        assert!(matches!(keepalive.pulse(start), Pulse::Fine(at) if at > start));
    }
}
