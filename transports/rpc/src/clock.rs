//! The clock of calls.

use headwater_core::Time;
use tokio::time::Instant;

/// The machine's time on tokio's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Time {
        Time::after_start(self.start.elapsed())
    }

    /// `None` if it is too far away to come.
    pub(crate) fn instant(self, time: Time) -> Option<Instant> {
        self.start.checked_add(time.since_start())
    }
}
