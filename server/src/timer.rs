//! Tells a driver of its deadlines.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headwater_core::Time;
use tokio::{sync::Notify, time::sleep_until};

use crate::clock::Clock;

const NEVER: u64 = u64::MAX;

/// Who has deadlines.
pub(crate) trait Alarmed: Send + Sync + 'static {
    /// A deadline that was armed may have come.
    fn ring(&self);
}

/// Rings for the earliest deadline that it was told of since it rang last.
///
/// The task that rings forgets the time *before* its turn, and every turn arms anew under the driver's lock. So whatever a
/// turn beside it wrote or left out meanwhile, the turn that the ringing brings puts right.
pub(crate) struct Timer {
    alarm: Arc<Alarm>,
}

struct Alarm {
    /// In nanoseconds since the start.
    at: AtomicU64,
    moved: Notify,
}

impl Timer {
    pub(crate) fn new() -> Self {
        let alarm = Alarm {
            at: AtomicU64::new(NEVER),
            moved: Notify::new(),
        };
        Self {
            alarm: Arc::new(alarm),
        }
    }

    /// Starts the task; it runs until the timer is dropped, and does not keep the driver.
    pub(crate) fn start(&self, driver: Weak<impl Alarmed>, clock: Clock) {
        tokio::spawn(run(Arc::clone(&self.alarm), driver, clock));
    }

    /// Rings at `deadline` at the latest. Under the driver's lock.
    pub(crate) fn arm(&self, deadline: Time) {
        let at = u64::try_from(deadline.since_start().as_nanos()).unwrap_or(NEVER);
        if at < self.alarm.at.load(Ordering::Acquire) {
            self.alarm.at.store(at, Ordering::Release);
            self.alarm.moved.notify_one();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.alarm.moved.notify_one();
    }
}

async fn run(alarm: Arc<Alarm>, driver: Weak<impl Alarmed>, clock: Clock) {
    while driver.strong_count() > 0 {
        let at = alarm.at.load(Ordering::Acquire);
        let at = clock.instant(Time::after_start(Duration::from_nanos(at)));
        tokio::select! {
            () = alarm.moved.notified() => continue,
            () = sleep_until(at) => {}
        }
        let Some(driver) = driver.upgrade() else {
            return;
        };
        alarm.at.store(NEVER, Ordering::Release);
        // The panic was reported where it happened; the deadlines of the others must come all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| driver.ring()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::{task::yield_now, time::advance};

    use super::*;

    #[derive(Default)]
    struct Rings(AtomicUsize);

    impl Alarmed for Rings {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Rings {
        /// How often it rang since it was asked last, all turns of the timer's task included.
        async fn take(&self) -> usize {
            for _ in 0..100 {
                yield_now().await;
            }
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_up_for_a_year_rings_for_its_deadlines_and_no_more() {
        const YEAR_AND_A_DAY: Duration = Duration::from_secs(366 * 24 * 3600);
        let clock = Clock::start();
        let rings = Arc::new(Rings::default());
        let timer = Timer::new();
        timer.start(Arc::downgrade(&rings), clock);
        assert_eq!(rings.take().await, 0, "nothing is armed");
        advance(YEAR_AND_A_DAY).await;
        assert!(rings.take().await <= 1, "it looks at most once a year");
        timer.arm(clock.now() + Duration::from_secs(10));
        advance(Duration::from_secs(9)).await;
        assert_eq!(rings.take().await, 0, "a second early");
        advance(Duration::from_secs(2)).await;
        assert_eq!(rings.take().await, 1, "once, in time");
    }
}
