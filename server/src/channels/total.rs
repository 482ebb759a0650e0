//! What waits in all channels together.

use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_proto::{Code, Status};

/// The bytes that wait in all channels of a service, and how many these may be.
#[derive(Debug)]
pub(super) struct Total {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Total {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Whether one more message may come, as far as the total goes. Those that come at one time to different channels may
    /// pass it together, each by itself.
    pub(super) fn check(&self, bytes: usize) -> Result<(), Status> {
        let waiting = self.bytes.load(Ordering::Relaxed);
        if waiting.saturating_add(bytes) <= self.bytes_max {
            return Ok(());
        }
        let message = "too much waits in all channels together";
        Err(Status::new(Code::ResourceExhausted, message))
    }

    /// In one channel so many bytes wait now, and not those of before.
    pub(super) fn move_from(&self, before: usize, now: usize) {
        if now >= before {
            self.bytes.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}
