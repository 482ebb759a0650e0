//! What all contenders have in common.

use std::{
    future::Future,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One way to bring events to a handler and answers back.
pub(crate) trait Contender {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// Keeps so many events under way for so long. Gives how many were answered.
    fn run(&self, in_flight: usize, duration: Duration) -> u64;
}

/// The CPU time of this process, in user and system mode.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("not negative");
    let nanoseconds = u32::try_from(time.tv_nsec).expect("below 10^9");
    Duration::new(seconds, nanoseconds)
}

/// Runs one end on a thread and a single-threaded runtime of its own.
pub(crate) fn on_own_thread<F: Future<Output = ()> + Send + 'static>(
    end: impl FnOnce() -> F + Send + 'static,
) {
    thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(async {
                // A task of the runtime, as most code is, and not the one that the runtime is waiting for.
                tokio::spawn(end()).await.expect("no panic");
            });
    });
}

/// One run, as the service's end is told.
pub(crate) struct Order {
    pub(crate) in_flight: usize,
    pub(crate) until: Instant,
    pub(crate) answered: mpsc::Sender<u64>,
}

/// Gives orders to the thread of a service's end.
pub(crate) struct Orders(UnboundedSender<Order>);

impl Orders {
    pub(crate) fn new() -> (Self, UnboundedReceiver<Order>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }

    /// Gives an order and waits for how many events were answered.
    pub(crate) fn run(&self, in_flight: usize, duration: Duration) -> u64 {
        let (answered, count) = mpsc::channel();
        let order = Order {
            in_flight,
            until: Instant::now() + duration,
            answered,
        };
        assert!(self.0.send(order).is_ok(), "the service's end runs");
        count.recv().expect("the service's end answers")
    }
}
