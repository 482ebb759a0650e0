//! Cancels a call whose client is held back.
//!
//! hyper copies a request's body to HTTP/2 in a task of its own, and while that task waits for the peer's window it
//! does not poll the body: a body that has turned into a reset is not noticed, the stream's sending half lives on, and
//! the server never hears of the cancel. So this executor, which hyper spawns its tasks on, ends the task of a call that
//! was reset. Dropping both halves of a stream makes `h2` reset it.
//!
//! The task and the body find each other by the order of events: hyper polls a new body once in the connection's task
//! and, if it is not done, spawns its task right there. If it is done, the next task is the one that waits for the
//! response, which may end with its call as well.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

use headwater_rpc::ResetWatch;

thread_local! {
    /// The body that was polled for the first time in the poll of the task that runs now.
    static BEGUN: RefCell<Option<ResetWatch>> = const { RefCell::new(None) };
}

/// Notes that a body is polled for the first time.
pub(crate) fn begin(watch: ResetWatch) {
    BEGUN.set(Some(watch));
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns on tokio, and ends the tasks of bodies that were reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PipeExecutor;

impl hyper::rt::Executor<Task> for PipeExecutor {
    fn execute(&self, task: Task) {
        let watch = BEGUN.take();
        tokio::spawn(Piped { task, watch });
    }
}

struct Piped {
    task: Task,
    watch: Option<ResetWatch>,
}

impl Future for Piped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.task.as_mut().poll(cx);
        // Whatever began in this poll and got no task must not be taken for another's.
        BEGUN.take();
        match &self.watch {
            // First the task: if it can send the reset by itself, it has done so by now.
            Some(watch) if polled.is_pending() => watch.poll_reset(cx),
            Some(_) | None => polled,
        }
    }
}
