//! What all contenders have in common.

use std::{
    fs,
    future::Future,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::report::Cell;

/// One way to do a work.
pub(crate) struct Contender<'a> {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Does it for so long, and gives how often it was done.
    pub(crate) run: Box<dyn Fn(Duration) -> u64 + 'a>,
    /// Another process whose CPU time is its cost too.
    pub(crate) process: Option<u32>,
}

/// Has the contenders take turns, `rounds` times.
pub(crate) fn measure(
    contenders: &[Contender<'_>],
    rounds: usize,
    run: Duration,
) -> Vec<(&'static str, Cell)> {
    let named = contenders.iter().map(|it| (it.name, Cell::default()));
    let mut cells: Vec<_> = named.collect();
    // The first turn warms up and is not counted.
    for round in 0..=rounds {
        for (contender, (_, cell)) in contenders.iter().zip(&mut cells) {
            let (cpu, wall) = (contender.cpu_time(), Instant::now());
            let done = (contender.run)(run);
            let (cpu, wall) = (contender.cpu_time() - cpu, wall.elapsed());
            if round > 0 {
                cell.add(done, cpu, wall);
            }
        }
    }
    cells
}

impl Contender<'_> {
    fn cpu_time(&self) -> Duration {
        cpu_time() + self.process.map_or(Duration::ZERO, cpu_time_of)
    }
}

/// The CPU time of another process: of its threads that are there, which a server keeps.
fn cpu_time_of(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// The CPU time of this process, in user and system mode.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("not negative");
    let nanoseconds = u32::try_from(time.tv_nsec).expect("below 10^9");
    Duration::new(seconds, nanoseconds)
}

/// Keeps this process, and those that it starts, to the last `cores` of the cores that it may use.
pub(crate) fn keep_to(cores: usize) {
    let allowed = sched_getaffinity(None).expect("the kernel says where this may run");
    let mut kept = CpuSet::new();
    let there = (0..CpuSet::MAX_CPU)
        .rev()
        .filter(|core| allowed.is_set(*core));
    there.take(cores).for_each(|core| kept.set(core));
    sched_setaffinity(None, &kept).expect("these cores are allowed");
}

/// Runs one end on a thread of this name and a single-threaded runtime of its own.
pub(crate) fn on_own_thread<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    end: impl FnOnce() -> F + Send + 'static,
) {
    let thread = thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(async {
                // A task of the runtime, as most code is, and not the one that the runtime is waiting for.
                tokio::spawn(end()).await.expect("no panic");
            });
    });
    started.expect("a thread");
}

/// One run, as the end that begins is told.
pub(crate) struct Order<W> {
    /// What to do, such as how many events to keep under way.
    pub(crate) work: W,
    pub(crate) until: Instant,
    pub(crate) answered: mpsc::Sender<u64>,
}

/// Gives orders to the thread of the end that begins.
pub(crate) struct Orders<W>(UnboundedSender<Order<W>>);

impl<W> Orders<W> {
    pub(crate) fn new() -> (Self, UnboundedReceiver<Order<W>>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }

    /// Gives an order and waits for how often it was done.
    pub(crate) fn run(&self, work: W, duration: Duration) -> u64 {
        let (answered, count) = mpsc::channel();
        let order = Order {
            work,
            until: Instant::now() + duration,
            answered,
        };
        assert!(self.0.send(order).is_ok(), "the end that begins runs");
        count.recv().expect("the end that begins answers")
    }
}
