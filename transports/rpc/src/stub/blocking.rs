//! Calls for threads without `async`.

use std::time::Duration;

use headwater_proto::{Code, Status};
use tokio::{runtime::Handle, time::timeout as within};

/// Makes a call and waits for it on this thread, at most for so long: `block_on(&runtime, timeout, client.get_feature(point))`.
/// A call that takes longer is cancelled, on both sides, and fails with `DEADLINE_EXCEEDED`. (The `SynchronousCall` of
/// pw_rpc, for whatever a client's methods return.)
///
/// `runtime` is the one on which the client runs. Another thread has to drive it: one of its own, if it has several, or
/// else whoever runs it; nothing comes, and no time passes, while nobody does. The server is not told of the timeout: for
/// that it goes into the call's [`CallOptions`](crate::CallOptions) too.
///
/// # Errors
///
/// What the call fails with; `DEADLINE_EXCEEDED` if the time is over.
///
/// # Panics
///
/// If this thread is one that runs tasks, for it would hold them up; or if the runtime has no timer.
pub fn block_on<T, E: From<Status>>(
    runtime: &Handle,
    timeout: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    // What is dropped at the end of its time is cancelled.
    let bounded = runtime.block_on(async { within(timeout, call).await });
    bounded.unwrap_or_else(|_| Err(late(timeout).into()))
}

fn late(timeout: Duration) -> Status {
    let message = format!("there was no answer within {timeout:?}");
    Status::new(Code::DeadlineExceeded, message)
}
