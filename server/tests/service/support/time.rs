//! Time in tests: how long to wait in vain, and how to let the service's deadlines come without waiting for them.
//!
//! Nothing here needs a machine that is fast. The service's clock is tokio's, so a test moves that one by hand; sockets
//! keep working, for it stands still only while nothing is read or written.

use std::time::{Duration, Instant};

use tokio::time::{self, timeout};

/// So far off that no deadline comes unless a test lets time [`pass`].
pub(crate) const FAR: Duration = Duration::from_secs(3600);
/// Farther than a test ever gets.
pub(crate) const NEVER: Duration = FAR.saturating_mul(1000);
/// Longer than anything here takes, in real time; a test that gets so far hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Tokio's clock at rest, until this is dropped.
struct Still;

impl Still {
    fn begin() -> Self {
        time::pause();
        Self
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        time::resume();
    }
}

/// Waits for what must come, and fails if it does not, however much tokio's clock is moved meanwhile.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let mut future = std::pin::pin!(future);
    loop {
        if let Ok(outcome) = timeout(Duration::from_secs(1), &mut future).await {
            return outcome;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let holding = async {
        while !holds() {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, holding).await;
}

/// Waits until no task has anything to do: a clock that stands still moves on only then. For a runtime of one thread.
pub(crate) async fn quiet() {
    let _still = Still::begin();
    time::sleep(Duration::from_millis(1)).await;
}

/// Lets so much time pass at once, and does what falls due by then. For a runtime of one thread.
pub(crate) async fn pass(duration: Duration) {
    let _still = Still::begin();
    time::advance(duration).await;
    time::sleep(Duration::from_millis(1)).await;
}

/// Waits for what only a deadline of at most [`FAR`] can bring: lets it pass, whenever nothing else is to be done.
pub(crate) async fn overdue<T>(what: &str, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(soon(what, future));
    loop {
        let idle = async {
            quiet().await;
            pass(FAR).await;
        };
        tokio::select! {
            biased;
            outcome = &mut future => return outcome,
            () = idle => {}
        }
    }
}
