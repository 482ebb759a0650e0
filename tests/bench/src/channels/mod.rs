//! A message through a push channel: the SDK over HTTP/2 against NATS core with a queue group.

mod over_headwater;
mod over_nats;

use std::{path::Path, time::Duration};

use crate::{
    contender::{Contender, measure},
    report::Report,
};

/// Those who share the messages, at each contender.
const CONSUMERS: usize = 2;

/// Messages on their way where a producer waits for none of them by itself. NATS, which has no bound of its own, drops what its
/// subscribers have no room for.
const ON_THE_WAY_MAX: usize = 1024;

/// Measures with one producer and with 64, against the NATS server that is this program. One producer also with as much under
/// way as NATS has.
pub(crate) fn report(nats_server: &Path, rounds: usize, run: Duration) -> Report {
    let headwater = over_headwater::Channel::start();
    let nats = match over_nats::Subject::start(nats_server) {
        Ok(nats) => Some(nats),
        Err(error) => {
            eprintln!("without NATS: {}: {error}", nats_server.display());
            None
        }
    };
    let mut report = Report::new("message", "producers", rounds, run, Vec::new());
    for producers in [1, 64] {
        let mut contenders = vec![Contender {
            name: "headwater",
            run: Box::new(|run| headwater.run(producers, run)),
            process: None,
        }];
        if producers == 1 {
            contenders.push(Contender {
                name: "headwater, 1024 under way",
                run: Box::new(|run| headwater.run(ON_THE_WAY_MAX, run)),
                process: None,
            });
        }
        if let Some(nats) = &nats {
            contenders.push(Contender {
                name: "NATS, unconfirmed",
                run: Box::new(|run| nats.run(producers, run)),
                process: Some(nats.process()),
            });
        }
        report.add(producers.to_string(), measure(&contenders, rounds, run));
    }
    report
}

/// What a producer submits.
fn payload() -> String {
    "x".repeat(128)
}
