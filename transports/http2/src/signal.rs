//! Parts of one task, each of which is polled only if something has happened to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The task that polls the parts.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    waker: AtomicWaker,
    /// The task runs, and will look at its parts.
    running: AtomicBool,
}

impl Turn {
    /// The task runs. Until [`Turn::end`] what happens to a part does not wake it.
    pub(crate) fn begin(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
        self.running.store(true, Ordering::SeqCst);
    }

    /// The task looks at its parts once more, and waits.
    pub(crate) fn end(&self) {
        self.running.store(false, Ordering::SeqCst);
    }

    /// Wakes the task, unless it runs.
    pub(crate) fn signal(&self) {
        if !self.running.load(Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

/// Whether something has happened to a part.
#[derive(Debug)]
struct Signal {
    set: AtomicBool,
    turn: Arc<Turn>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set.store(true, Ordering::SeqCst);
        self.turn.signal();
    }
}

/// A part, as the task knows it.
#[derive(Debug)]
pub(crate) struct Part {
    signal: Arc<Signal>,
    /// What the part is polled with: a new one each time would cost as much as the poll of an idle part.
    waker: Waker,
}

impl Part {
    /// To be polled, because it was not yet.
    pub(crate) fn new(turn: &Arc<Turn>) -> Self {
        let signal = Arc::new(Signal {
            set: AtomicBool::new(true),
            turn: Arc::clone(turn),
        });
        Self {
            waker: Waker::from(Arc::clone(&signal)),
            signal,
        }
    }

    /// Has it polled, from within the task.
    pub(crate) fn set(&self) {
        self.signal.set.store(true, Ordering::SeqCst);
    }

    /// Whether it is to be polled.
    pub(crate) fn is_set(&self) -> bool {
        self.signal.set.load(Ordering::SeqCst)
    }

    /// Whether it was to be polled, which it now is.
    pub(crate) fn take(&self) -> bool {
        self.signal.set.swap(false, Ordering::SeqCst)
    }

    /// What it is polled with.
    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_happens_in_a_turn_wakes_nobody_and_is_seen_at_its_end() {
        let wakes = Arc::new(Wakes::default());
        let count = || wakes.0.load(Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&wakes));
        let turn = Arc::default();
        let (one, other) = (Part::new(&turn), Part::new(&turn));
        turn.begin(&Context::from_waker(&waker));
        assert!(one.take() && other.take(), "both were never polled");
        one.context().waker().wake_by_ref();
        assert_eq!(count(), 0, "the task runs");
        turn.end();
        assert!(one.is_set(), "it is seen");
        assert!(!other.is_set(), "nothing has happened to the other");
        other.context().waker().wake_by_ref();
        assert_eq!(count(), 1, "the task waits");
        assert!(other.take(), "it is why the task was woken");
        assert!(!other.take(), "once");
    }
}
