//! Which calls of a socket have something to say, so that a session looks at those and at no others.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use tokio::sync::Notify;

/// The calls that were woken and not looked at since, in order. Each waker is among them at most once, so that nobody who
/// wakes often makes it grow. Shared with the wakers.
#[derive(Default)]
pub(super) struct Woken {
    calls: Mutex<VecDeque<Arc<CallWaker>>>,
    notify: Notify,
}

/// What wakes a session for one of its calls.
struct CallWaker {
    call: u32,
    woken: Arc<Woken>,
    /// Whether it is among the woken ones: once is enough.
    queued: AtomicBool,
}

impl Woken {
    pub(super) fn waker(self: &Arc<Self>, call: u32) -> Waker {
        let waker = CallWaker {
            call,
            woken: Arc::clone(self),
            queued: AtomicBool::new(false),
        };
        Arc::new(waker).into()
    }

    /// Waits until a call was woken. May return without one.
    ///
    /// # Cancel safety
    ///
    /// No wake is lost.
    pub(super) async fn changed(&self) {
        self.notify.notified().await;
    }

    /// The next call that was woken. From here on it can be woken again.
    pub(super) fn pop(&self) -> Option<u32> {
        let waker = self.lock().pop_front()?;
        waker.queued.store(false, Ordering::Release);
        Some(waker.call)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<CallWaker>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for CallWaker {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let woken = Arc::clone(&self.woken);
        woken.lock().push_back(self);
        woken.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S2-27: a session sleeps until a call has something, is woken by exactly that, and sees which call it is.
    #[tokio::test(start_paused = true)]
    async fn s2_27_a_session_is_woken_by_its_call_and_looks_at_no_other() {
        let woken = Arc::new(Woken::default());
        let wakers: Vec<Waker> = (1..=1000).map(|call| woken.waker(call)).collect();
        let before = tokio::time::Instant::now();
        let waits = tokio::spawn({
            let woken = Arc::clone(&woken);
            async move {
                woken.changed().await;
                std::iter::from_fn(|| woken.pop()).collect::<Vec<u32>>()
            }
        });
        tokio::task::yield_now().await;
        assert!(
            !waits.is_finished(),
            "nothing was woken, and it did not sleep"
        );
        wakers[6].wake_by_ref();
        wakers[6].wake_by_ref();
        wakers[2].wake_by_ref();
        assert_eq!(waits.await.expect("it does not panic"), [7, 3]);
        assert_eq!(
            before.elapsed(),
            std::time::Duration::ZERO,
            "no timer had to pass"
        );
        wakers[6].wake_by_ref();
        assert_eq!(woken.pop(), Some(7), "it can be woken again");
        assert!(woken.is_empty());
    }
}
