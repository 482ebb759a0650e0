//! What a client may do beside its calls: pings (gRFC A8, "Server Enforcement") and settings.
//!
//! `h2` answers both by itself and keeps no count: a flood costs no memory, but the client pays as much as the server, and
//! a client that pings far too often keeps radios and processors awake on both ends.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{ACK, Head, PING, SETTINGS};

/// Pings that may come too early in a row, as in gRPC's own servers.
const STRIKES_MAX: u32 = 2;
/// How often a client without an open call may ping that may not as often as one with a call, as in gRPC's own servers.
const INTERVAL_WITHOUT_CALLS: Duration = Duration::from_hours(2);
/// Settings that a client may send in [`SETTINGS_PERIOD`]. gRPC's clients send some when their windows adapt.
const SETTINGS_MAX: u32 = 100;
const SETTINGS_PERIOD: Duration = Duration::from_secs(10);

/// Counts the frames of one client.
#[derive(Debug)]
pub(crate) struct Enforcement {
    ping_interval_min: Duration,
    ping_without_calls: bool,
    last_ping: Option<Instant>,
    strikes: u32,
    /// Headers or data were sent since the last ping.
    sent: bool,
    settings: u32,
    settings_since: Option<Instant>,
}

impl Enforcement {
    pub(crate) const fn new(ping_interval_min: Duration, ping_without_calls: bool) -> Self {
        Self {
            ping_interval_min,
            ping_without_calls,
            last_ping: None,
            strikes: 0,
            sent: false,
            settings: 0,
            settings_since: None,
        }
    }

    /// Headers or data were sent to the client: its next ping may be about them, to learn how fast the way is.
    pub(crate) const fn on_sent(&mut self) {
        self.sent = true;
    }

    /// Takes in a frame of the client. What there was too much of, if there was.
    pub(crate) fn on_received(&mut self, head: Head, has_calls: bool) -> Option<&'static str> {
        if head.flags & ACK != 0 {
            return None;
        }
        match head.kind {
            PING => self.on_ping(Instant::now(), has_calls),
            SETTINGS => self.on_settings(Instant::now()),
            _ => None,
        }
    }

    fn on_ping(&mut self, now: Instant, has_calls: bool) -> Option<&'static str> {
        let last = self.last_ping.replace(now);
        if std::mem::take(&mut self.sent) {
            self.strikes = 0;
            return None;
        }
        let interval = if has_calls || self.ping_without_calls {
            self.ping_interval_min
        } else {
            INTERVAL_WITHOUT_CALLS
        };
        if last.is_some_and(|last| now.duration_since(last) < interval) {
            self.strikes += 1;
        }
        (self.strikes > STRIKES_MAX).then_some("too_many_pings")
    }

    fn on_settings(&mut self, now: Instant) -> Option<&'static str> {
        let since = *self.settings_since.get_or_insert(now);
        if now.duration_since(since) >= SETTINGS_PERIOD {
            self.settings = 0;
            self.settings_since = Some(now);
        }
        self.settings += 1;
        (self.settings > SETTINGS_MAX).then_some("too_many_settings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(5);

    /// After how many pings at this interval the client has to go; it may send 1000.
    fn pings_until_too_many(
        enforcement: &mut Enforcement,
        interval: Duration,
        calls: bool,
    ) -> Option<u32> {
        let start = Instant::now();
        (0..1000).find(|index| {
            enforcement
                .on_ping(start + interval * *index, calls)
                .is_some()
        })
    }

    /// S4-65: the clock of the rule, exact to the millisecond.
    #[test]
    fn s4_65_three_early_pings_are_too_many_and_patient_ones_never() {
        let early = MIN - Duration::from_millis(1);
        let cases = [
            (MIN, true, true, None),
            (early, true, true, Some(3)),
            (MIN, true, false, None),
            (early, true, false, Some(3)),
            (MIN, false, true, None),
            (MIN, false, false, Some(3)),
            (INTERVAL_WITHOUT_CALLS, false, false, None),
        ];
        for (interval, without_calls, calls, expected) in cases {
            let mut enforcement = Enforcement::new(MIN, without_calls);
            assert_eq!(
                pings_until_too_many(&mut enforcement, interval, calls),
                expected,
                "every {interval:?}, calls: {calls}, permitted without: {without_calls}"
            );
        }
    }

    /// S4-65: gRPC's clients ping about data that they receive.
    #[test]
    fn s4_65_a_ping_after_data_was_sent_is_no_strike() {
        let mut enforcement = Enforcement::new(MIN, true);
        let now = Instant::now();
        for index in 0..100 {
            if index % 3 == 0 {
                enforcement.on_sent();
            }
            assert_eq!(enforcement.on_ping(now, true), None, "ping {index}");
        }
    }

    #[test]
    fn settings_are_bounded_in_time() {
        let mut enforcement = Enforcement::new(MIN, true);
        let start = Instant::now();
        for round in 0..3 {
            let now = start + SETTINGS_PERIOD * round;
            for _ in 0..SETTINGS_MAX {
                assert_eq!(enforcement.on_settings(now), None, "round {round}");
            }
        }
        let now = start + SETTINGS_PERIOD * 2;
        assert_eq!(enforcement.on_settings(now), Some("too_many_settings"));
    }
}
