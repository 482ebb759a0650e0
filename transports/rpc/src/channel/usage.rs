//! How many calls there are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use headwater_core::{Time, balance::Calls};
use tokio::sync::Notify;

use crate::clock::Clock;

pub(super) struct Usage {
    clock: Clock,
    /// Those that wait and those that are open.
    calls: AtomicUsize,
    /// When the last call ended, in nanoseconds of the clock.
    ended: AtomicU64,
    none: Notify,
}

/// One call, as long as this lives.
pub(super) struct InUse(Arc<Usage>);

impl Usage {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            calls: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            none: Notify::new(),
        })
    }

    pub(super) fn begin(self: &Arc<Self>) -> InUse {
        self.calls.fetch_add(1, Ordering::AcqRel);
        InUse(Arc::clone(self))
    }

    pub(super) fn calls(&self) -> Calls {
        if self.calls.load(Ordering::Acquire) > 0 {
            return Calls::Open;
        }
        let ended = Duration::from_nanos(self.ended.load(Ordering::Acquire));
        Calls::NoneSince(Time::after_start(ended))
    }

    /// Waits until there is no call.
    pub(super) async fn none(&self) {
        loop {
            let none = self.none.notified();
            if self.calls.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let usage = &*self.0;
        if usage.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            let now = usage.clock.now().since_start().as_nanos();
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            usage.ended.fetch_max(now, Ordering::AcqRel);
            usage.none.notify_waiters();
        }
    }
}
