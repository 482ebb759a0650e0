//! Tells a hub of its deadlines.

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

use super::HubDriver;
use crate::clock::Clock;

const NEVER: u64 = u64::MAX;

/// Rings for the earliest deadline that it was told of since it rang last.
///
/// The task that rings forgets the time *before* its turn, and every turn arms anew under the hub's lock. So whatever a
/// turn beside it wrote or left out meanwhile, the turn that the ringing brings puts right.
pub(super) struct Timer {
    alarm: Arc<Alarm>,
}

struct Alarm {
    /// In nanoseconds since the start.
    at: AtomicU64,
    moved: Notify,
}

impl Timer {
    pub(super) fn new() -> Self {
        let alarm = Alarm {
            at: AtomicU64::new(NEVER),
            moved: Notify::new(),
        };
        Self {
            alarm: Arc::new(alarm),
        }
    }

    /// Starts the task; it runs until the timer is dropped, and does not keep the hub.
    pub(super) fn start(&self, driver: Weak<HubDriver>, clock: Clock) {
        tokio::spawn(run(Arc::clone(&self.alarm), driver, clock));
    }

    /// Rings at `deadline` at the latest. Under the hub's lock.
    pub(super) fn arm(&self, deadline: Time) {
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

async fn run(alarm: Arc<Alarm>, driver: Weak<HubDriver>, clock: Clock) {
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
