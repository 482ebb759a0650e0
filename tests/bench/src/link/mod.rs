//! Event, handler, ack: the link on HTTP/2 against the same in plain calls, one POST and one tonic unary call an event.

mod hub;
mod over_calls;
mod over_http2;
mod post;
mod unary;
mod work;

use std::time::Duration;

use crate::{
    contender::{Contender, measure},
    report::{Goal, Report},
};

/// What is to be reached.
const GOALS: [Goal; 3] = [
    Goal {
        label: "64",
        against: "calls",
        at_most: 1.0 / 8.0,
        words: "at 64 in flight at least 8 times cheaper than plain calls",
    },
    Goal {
        label: "64",
        against: "POST",
        at_most: 1.0 / 8.0,
        words: "at 64 in flight at least 8 times cheaper than POST",
    },
    Goal {
        label: "1",
        against: "POST",
        at_most: 1.15,
        words: "at 1 in flight at most 1.15 times POST",
    },
];

/// Measures with so many events in flight; the link alone, if that is wanted.
pub(crate) fn report(in_flight: &[usize], alone: bool, rounds: usize, run: Duration) -> Report {
    let link = over_http2::LinkOverHttp2::start();
    let others = (!alone).then(|| {
        (
            over_calls::LinkOverCalls::start(),
            post::PostOverHttp1::start(),
            unary::UnaryOverTonic::start(),
            hub::LinkAndHub::start(),
        )
    });
    let mut report = Report::new("event", "in flight", rounds, run, GOALS.into());
    for &events in in_flight {
        let mut contenders = vec![Contender {
            name: "link",
            run: Box::new(|run| link.run(events, run)),
            process: None,
        }];
        if let Some((calls, post, unary, hub)) = &others {
            contenders.push(Contender {
                name: "calls",
                run: Box::new(|run| calls.run(events, run)),
                process: None,
            });
            contenders.push(Contender {
                name: "POST",
                run: Box::new(|run| post.run(events, run)),
                process: None,
            });
            contenders.push(Contender {
                name: "unary",
                run: Box::new(|run| unary.run(events, run)),
                process: None,
            });
            contenders.push(Contender {
                name: "link and hub",
                run: Box::new(|run| hub.run(events, run)),
                process: None,
            });
        }
        report.add(events.to_string(), measure(&contenders, rounds, run));
    }
    report
}
