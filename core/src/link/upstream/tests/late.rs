//! Events that wait behind a slow handler for longer than their clients do.

use super::*;

fn after(millis: u64) -> Time {
    Time::after_start(Duration::from_millis(millis))
}

impl Bench {
    /// The handler ends at this time.
    fn done_at(&mut self, delivery: Delivery, millis: u64) {
        self.link.handle(Input::Timeout, after(millis));
        self.link.done(delivery).expect("it runs");
    }
}

fn waited_for(event: v1::Event, millis: u32) -> v1::Event {
    v1::Event {
        time_left_ms: millis,
        ..event
    }
}

fn started(outputs: &[Output]) -> Vec<(Delivery, u64)> {
    let started = outputs.iter().filter_map(|output| {
        let Output::Start { delivery, event } = output else {
            return None;
        };
        Some((*delivery, event.seq))
    });
    started.collect()
}

#[test]
fn s1_23_an_event_whose_client_has_heard_of_failure_is_settled_and_not_started() {
    let mut bench = Bench::registered();
    let slow = bench.start(waited_for(message(1, "a", 1), 1000));
    bench.now = after(500);
    bench.say(Said::Event(Box::new(waited_for(message(2, "a", 2), 500))));
    bench.say(Said::Event(Box::new(waited_for(message(3, "a", 3), 501))));
    bench.say(Said::Event(Box::new(notice(4, "a", 4))));
    bench
        .link
        .reply(slow, v1::Reply::default())
        .expect("the service judges that");
    bench.drain();
    bench.done_at(slow, 1000);
    let outputs = bench.drain();
    let started = started(&outputs);
    let [(third, 3)] = started[..] else {
        panic!("the second is late by now, and the third is not: {outputs:?}");
    };
    assert_eq!(outputs.last(), Some(&settled(&[(1, 2)])), "both are over");
    assert_eq!(bench.link.held(), (2, 0), "the window is free again");

    bench
        .link
        .reply(third, v1::Reply::default())
        .expect("it runs");
    bench.done_at(third, 9000);
    let outputs = bench.drain();
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Start { event, .. } if event.seq == 4)),
        "nobody waits for a notice, so it is never late: {outputs:?}"
    );
}

#[test]
fn a_lane_of_late_events_only_is_free_again() {
    let mut bench = Bench::registered();
    let slow = bench.start(message(1, "a", 1));
    for seq in 2..=4 {
        let event = waited_for(message(seq, "a", seq), 10);
        bench.say(Said::Event(Box::new(event)));
    }
    bench.link.reply(slow, v1::Reply::default()).expect("runs");
    bench.drain();
    bench.done_at(slow, 10);
    assert_eq!(bench.drain(), [settled(&[(1, 4)])]);
    bench.now = after(11);
    bench.start(waited_for(message(5, "a", 5), 10));
}
