//! Calls of generated stubs: ours against tonic's, and in process against a pair of tokio channels.

mod channels;
mod in_process;
pub(crate) mod over_tonic;
pub(crate) mod stubs;

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::{
    contender::{Contender, measure},
    report::{Goal, Report},
};

/// What a contender does for the time of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// So many callers, each with one unary call after the other.
    Unary { callers: usize },
    /// One stream, with so many messages of so many bytes on their way to and fro.
    Echo { in_flight: usize, bytes: usize },
    /// One stream, one way, of messages of so many bytes, counted at its end.
    Sink { bytes: usize },
    /// The same, of messages that the call makes itself.
    Generate { bytes: usize },
}

/// The payload of calls and echoes.
pub(crate) const SMALL: usize = 128;
const LARGE: usize = 64 << 10;

const NETWORK: [(&str, Work); 6] = [
    ("unary, 1 caller", Work::Unary { callers: 1 }),
    ("unary, 64 callers", Work::Unary { callers: 64 }),
    ("stream, 1 in flight", echo(1)),
    ("stream, 64 in flight", echo(64)),
    ("one-way, 128 B", Work::Sink { bytes: SMALL }),
    ("one-way, 64 KiB", Work::Sink { bytes: LARGE }),
];

const IN_PROCESS: [(&str, Work); 3] = [
    ("in-process stream, 1 in flight", echo(1)),
    ("in-process stream, 64 in flight", echo(64)),
    ("in-process one-way, 128 B", Work::Sink { bytes: SMALL }),
];

const fn echo(in_flight: usize) -> Work {
    let bytes = SMALL;
    Work::Echo { in_flight, bytes }
}

/// Says when a run is over, without asking the clock for each message.
pub(crate) struct Until {
    until: Instant,
    looks: u32,
    over: bool,
}

impl Until {
    pub(crate) const fn new(until: Instant) -> Self {
        Self {
            until,
            looks: 0,
            over: false,
        }
    }

    /// Whether the run is over.
    pub(crate) fn over(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(16) {
            self.over |= Instant::now() >= self.until;
        }
        self.over
    }
}

pub(crate) fn payload(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

/// What is to be reached.
const GOALS: [Goal; 9] = [
    against_tonic(0, 1.0, "unary at 1 caller not dearer than tonic"),
    against_tonic(
        1,
        1.0 / 1.2,
        "unary at 64 callers at least 1.2 times cheaper than tonic",
    ),
    against_tonic(2, 1.0, "a stream at 1 in flight not dearer than tonic"),
    against_tonic(
        3,
        1.0 / 1.5,
        "a stream at 64 in flight at least 1.5 times cheaper than tonic",
    ),
    against_tonic(
        4,
        1.0 / 1.5,
        "128 B one-way at least 1.5 times cheaper than tonic",
    ),
    against_tonic(
        5,
        1.0 / 1.7,
        "64 KiB one-way at least 1.7 times cheaper than tonic",
    ),
    against_channels(0),
    against_channels(1),
    against_channels(2),
];

const fn against_tonic(work: usize, at_most: f64, words: &'static str) -> Goal {
    Goal {
        label: NETWORK[work].0,
        against: "tonic",
        at_most,
        words,
    }
}

const fn against_channels(work: usize) -> Goal {
    Goal {
        label: IN_PROCESS[work].0,
        against: "channels",
        at_most: 3.0,
        words: "in process at most 3 times a pair of channels",
    }
}

/// Measures every work whose name begins with `only`; one contender alone, if it is named.
pub(crate) fn report(only: &str, alone: &str, rounds: usize, run: Duration) -> Report {
    let mut report = Report::new("message", "work", rounds, run, GOALS.into());
    let wanted = |(name, _): &(&str, Work)| name.starts_with(only);
    let mut add = |name: &str, mut contenders: Vec<Contender<'_>>| {
        contenders.retain(|contender| alone.is_empty() || contender.name == alone);
        if !contenders.is_empty() {
            report.add(name.to_owned(), measure(&contenders, rounds, run));
        }
    };
    let ours = stubs::over_http2();
    let tonic = over_tonic::start(false);
    let tonic_kept_alive = over_tonic::start(true);
    for (name, work) in NETWORK.into_iter().filter(wanted) {
        let mut contenders = vec![
            Contender {
                name: "headwater",
                run: Box::new(|run| ours.run(work, run)),
                process: None,
            },
            Contender {
                name: "tonic",
                run: Box::new(|run| tonic.run(work, run)),
                process: None,
            },
        ];
        if matches!(work, Work::Echo { in_flight: 1, .. }) {
            contenders.push(Contender {
                name: "tonic, with keep-alive",
                run: Box::new(|run| tonic_kept_alive.run(work, run)),
                process: None,
            });
        }
        if let Work::Sink { bytes } = work {
            let tonic = &tonic;
            contenders.push(Contender {
                name: "tonic, generating",
                run: Box::new(move |run| tonic.run(Work::Generate { bytes }, run)),
                process: None,
            });
        }
        add(name, contenders);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for (name, work) in IN_PROCESS.into_iter().filter(wanted) {
        let contenders = vec![
            Contender {
                name: "headwater",
                run: Box::new(|run| block_on(&runtime, run, |until| in_process::work(work, until))),
                process: None,
            },
            Contender {
                name: "channels",
                run: Box::new(|run| block_on(&runtime, run, |until| channels::work(work, until))),
                process: None,
            },
        ];
        add(name, contenders);
    }
    report
}

/// Runs both ends on one thread, as tasks.
fn block_on<F>(runtime: &Runtime, run: Duration, work: impl FnOnce(Instant) -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let done = runtime.spawn(work(Instant::now() + run));
    runtime.block_on(done).expect("no panic")
}
