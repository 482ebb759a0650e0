//! Which calls of a session have something to do: their wakers ring here, and one task looks.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// No call has this key.
const NO_KEY: u64 = u64::MAX;

/// What a session's task waits at. Any thread may ring.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    rung: Mutex<Vec<u64>>,
    session: AtomicWaker,
}

impl Desk {
    /// Has rings from now on wake this task.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        self.session.register(cx.waker());
    }

    /// Wakes the task though no call has rung.
    pub(crate) fn wake(&self) {
        self.session.wake();
    }

    /// Takes the keys of the calls that rang, each once.
    pub(crate) fn take(&self, keys: &mut Vec<u64>) {
        std::mem::swap(&mut *self.lock(), keys);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u64>> {
        // A list is whole between any two statements.
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call's bell, which is its waker too.
#[derive(Debug)]
pub(crate) struct Bell {
    key: AtomicU64,
    rung: AtomicBool,
    desk: Arc<Desk>,
}

impl Bell {
    /// A bell without a key yet: it wakes the session, and no call is looked at for it.
    pub(crate) fn new(desk: &Arc<Desk>) -> Arc<Self> {
        Arc::new(Self {
            key: AtomicU64::new(NO_KEY),
            rung: AtomicBool::new(false),
            desk: Arc::clone(desk),
        })
    }

    /// Gives it its call's key.
    pub(crate) fn name(&self, key: u64) {
        self.key.store(key, Ordering::Release);
    }

    /// Has the session look at the call.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.desk.lock().push(self.key.load(Ordering::Acquire));
            self.desk.wake();
        }
    }

    /// The session looks now: what rings from here on is heard again.
    pub(crate) fn answer(&self) {
        self.rung.store(false, Ordering::Release);
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_rings_often_is_looked_at_once_until_it_rings_again() {
        let desk = Arc::new(Desk::default());
        let (one, other) = (Bell::new(&desk), Bell::new(&desk));
        one.name(1);
        other.name(2);
        let mut keys = Vec::new();
        for bell in [&one, &other, &one] {
            bell.waker().wake();
        }
        desk.take(&mut keys);
        assert_eq!(keys, [1, 2], "each once, in order");
        one.ring();
        one.answer();
        one.ring();
        keys.clear();
        desk.take(&mut keys);
        assert_eq!(keys, [1], "the first ring after the look counts");
    }
}
