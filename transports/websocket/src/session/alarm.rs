//! The one timer of a session.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set often and rings seldom: setting it later costs nothing.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    has_rung: bool,
}

impl Alarm {
    pub(super) fn new(at: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(at)),
            has_rung: false,
        }
    }

    /// Ready once it is `at`, which may be another time at each poll.
    pub(super) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.has_rung || at < self.sleep.deadline() {
                self.sleep.as_mut().reset(at);
                self.has_rung = false;
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.has_rung = true;
            if at <= self.sleep.deadline() {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_last_time_that_was_set() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut alarm = Alarm::new(after(5));
        for (set, rings) in [(20, 20), (30, 30), (31, 31)] {
            poll_fn(|cx| alarm.poll(after(set), cx)).await;
            assert_eq!(start.elapsed().as_secs(), rings);
        }
        // Set for later, and then for earlier, before it rings.
        let first = poll_fn(|cx| Poll::Ready(alarm.poll(after(60), cx))).await;
        assert!(first.is_pending(), "not yet");
        poll_fn(|cx| alarm.poll(after(40), cx)).await;
        assert_eq!(start.elapsed().as_secs(), 40);
    }
}
