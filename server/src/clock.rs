//! The one place of the library that reads clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_core::Time;
use tokio::time::Instant;

/// Tells machines the time: how long ago the service started. Under a paused tokio clock it stands still with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Time {
        Time::after_start(self.start.elapsed())
    }

    /// The moment for tokio's timers; a year from now at most, which is as good as never.
    pub(crate) fn instant(self, at: Time) -> Instant {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        self.start + at.since_start().min(self.start.elapsed() + YEAR)
    }
}

/// Wall time, for tokens: seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    // A clock before 1970 is as good as 1970: every token is of the future then.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
