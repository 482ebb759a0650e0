//! How much the calls of a client keep together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What all calls of a client hold to send it again, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

/// One call's part of a [`Budget`]; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    held: usize,
    call_max: usize,
    channel_max: usize,
}

impl Share {
    pub(super) const fn new(budget: Arc<Budget>, call_max: usize, channel_max: usize) -> Self {
        Self {
            budget,
            held: 0,
            call_max,
            channel_max,
        }
    }

    /// Takes so much more. `false` if that is too much: it is counted all the same, because it is held.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.held += bytes;
        let all = self.budget.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.held <= self.call_max && all <= self.channel_max
    }

    pub(super) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.budget.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4-55: each call has its bound, and all together have theirs.
    #[test]
    fn s4_55_calls_share_the_channels_bound() {
        let budget = Arc::new(Budget::default());
        let share = || Share::new(Arc::clone(&budget), 100, 150);
        let (mut one, mut other) = (share(), share());
        assert!(one.take(100), "all that one call may have");
        assert!(!one.take(1), "more than one call may have");
        one.give_back(1);
        assert!(other.take(50), "all that is left");
        assert!(!other.take(1), "more than all calls may have");
        drop(one);
        assert!(other.take(49), "the other call is gone");
        drop(other);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0, "all was given back");
    }
}
