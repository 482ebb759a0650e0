//! Calls of generated stubs: ours against tonic's, and in process against a pair of tokio channels.

mod channels;
mod over_tonic;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    contender::{Contender, measure},
    report::{Goal, Report},
};

/// What a contender does for the time of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// So many callers, each with one unary call after the other.
    Unary { callers: usize },
    /// One stream, with so many messages on their way to and fro.
    Echo { in_flight: usize },
    /// One stream, one way, of messages of so many bytes, counted at its end.
    Sink { bytes: usize },
}

/// The payload of calls and echoes.
pub(crate) const SMALL: usize = 128;
const LARGE: usize = 64 << 10;

const NETWORK: [(&str, Work); 6] = [
    ("unary, 1 caller", Work::Unary { callers: 1 }),
    ("unary, 64 callers", Work::Unary { callers: 64 }),
    ("stream, 1 in flight", Work::Echo { in_flight: 1 }),
    ("stream, 64 in flight", Work::Echo { in_flight: 64 }),
    ("one-way, 128 B", Work::Sink { bytes: SMALL }),
    ("one-way, 64 KiB", Work::Sink { bytes: LARGE }),
];

const IN_PROCESS: [(&str, Work); 3] = [
    (
        "in-process stream, 1 in flight",
        Work::Echo { in_flight: 1 },
    ),
    (
        "in-process stream, 64 in flight",
        Work::Echo { in_flight: 64 },
    ),
    ("in-process one-way, 128 B", Work::Sink { bytes: SMALL }),
];

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
const GOALS: [Goal; 0] = [];

/// Measures every work whose name has `only` in it.
pub(crate) fn report(only: &str, alone: bool, rounds: usize, run: Duration) -> Report {
    let mut report = Report::new("message", "work", rounds, run, GOALS.into());
    let tonic = (!alone).then(over_tonic::start);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for (name, work) in NETWORK.into_iter().filter(|(name, _)| name.contains(only)) {
        let mut contenders = Vec::new();
        if let Some(tonic) = &tonic {
            contenders.push(Contender {
                name: "tonic",
                run: Box::new(move |run| tonic.run(work, run)),
            });
        }
        report.add(name.to_owned(), measure(&contenders, rounds, run));
    }
    for (name, work) in IN_PROCESS
        .into_iter()
        .filter(|(name, _)| name.contains(only))
    {
        let mut contenders = Vec::new();
        if !alone {
            contenders.push(Contender {
                name: "channels",
                run: Box::new(|run| {
                    runtime.block_on(async {
                        let until = Instant::now() + run;
                        tokio::spawn(channels::work(work, until))
                            .await
                            .expect("no panic")
                    })
                }),
            });
        }
        report.add(name.to_owned(), measure(&contenders, rounds, run));
    }
    report
}
