//! Deadlines that come when a case lets them, and not because the machine is slow.

use std::time::Duration;

use tokio::time;

use crate::Fixture;

/// For a call whose deadline a case is about: far longer than the call needs to be where the case wants it, and shorter than
/// connections bear in silence. Nothing waits for it: [`pass`] moves the clock.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// Lets so much time pass at once, and does what falls due by then. For a runtime of one thread whose clock runs.
///
/// # Cancel safety
///
/// Not safe: dropped, it leaves the clock at rest.
///
/// # Panics
///
/// The clock is at rest already.
pub async fn pass(duration: Duration) {
    time::pause();
    time::advance(duration).await;
    // A clock at rest moves on by itself only when no task has anything to do.
    time::sleep(Duration::from_millis(1)).await;
    time::resume();
}

/// What comes of a call whose handler waits, once its [`DEADLINE`] has passed.
///
/// # Panics
///
/// As [`pass`].
pub async fn overdue<T>(pair: &Fixture, call: impl Future<Output = T>) -> T {
    let passing = async {
        pair.control.started().await;
        pass(DEADLINE).await;
    };
    tokio::join!(call, passing).0
}
