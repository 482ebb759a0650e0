//! S1-27: the window of an upstream, the eight of a lane, the bytes that wait.

use headwater_proto::v1::{self, ack::Answer};

use crate::bench::*;

fn narrow(events: u32, bytes: u64) -> v1::Register {
    v1::Register {
        window: window(events, bytes),
        events: filter("", &["*"]),
        ..register("app")
    }
}

/// Names of connections and numbers of the events among these frames.
fn ids(frames: &[String]) -> Vec<&str> {
    frames
        .iter()
        .map(|frame| frame.split(' ').nth(1).unwrap())
        .collect()
}

#[test]
fn s1_27_one_connection_has_at_most_8_unsettled_events_and_is_paused_beyond() {
    let mut bench = Bench::new();
    bench.link(1, narrow(100, 0));
    bench.open(1, &[]);
    bench.open(2, &[]);
    bench.forget();
    for id in 1..=8 {
        bench.say(1, event("ask", Some(id), "x"));
    }
    assert_eq!(bench.heard(1), [""; 0], "eight are sent");
    bench.say(1, event("ask", Some(9), "x"));
    bench.say(1, event("ask", Some(10), "x"));
    assert_eq!(bench.heard(1), ["pause"]);
    bench.say(2, event("ask", None, "x"));
    assert_eq!(
        ids(&bench.sent(1)),
        [
            "c1/3", "c1/4", "c1/5", "c1/6", "c1/7", "c1/8", "c1/9", "c1/10", "c2/3"
        ],
        "another lane is not held up"
    );
    bench.ack(1, (1, 3), done());
    assert_eq!(bench.sent(1), [""; 0], "answered is not settled");
    bench.settle(1, 1, 1);
    assert_eq!(ids(&bench.sent(1)), ["c1/11"]);
    bench.settle(1, 5, 5);
    assert_eq!(ids(&bench.sent(1)), ["c1/12"]);
    assert_eq!(
        bench.heard(1),
        ["ack 1", "resume", "ack 5 InternalServerError"]
    );
}

#[test]
fn s1_27_an_upstream_without_window_gets_no_event() {
    let mut bench = Bench::new();
    bench.link(1, narrow(2, 0));
    for n in 1..=3 {
        bench.open(n, &[]);
    }
    bench.forget();
    for n in 1..=3 {
        bench.say(n, event("ask", None, "x"));
    }
    assert_eq!(ids(&bench.sent(1)), ["c1/3", "c2/3"]);
    assert_eq!(bench.heard(3), ["pause"]);
    bench.settle(1, 1, 2);
    assert_eq!(ids(&bench.sent(1)), ["c3/3"]);
    assert_eq!(bench.heard(3), ["resume"]);
}

#[test]
fn s1_27_the_window_counts_bytes_and_a_larger_event_goes_alone() {
    let mut bench = Bench::new();
    bench.link(1, narrow(100, 1100));
    for n in 1..=3 {
        bench.open(n, &[]);
    }
    bench.forget();
    bench.say(1, event("ask", None, &"x".repeat(700)));
    bench.say(2, event("ask", None, &"y".repeat(5000)));
    bench.say(3, event("ask", None, "z"));
    assert_eq!(ids(&bench.sent(1)), ["c1/3", "c3/3"], "the small one fits");
    bench.settle(1, 2, 2);
    assert_eq!(bench.sent(1), [""; 0]);
    bench.settle(1, 1, 1);
    assert_eq!(
        ids(&bench.sent(1)),
        ["c2/3"],
        "alone, though over the window"
    );
    bench.say(3, event("ask", None, "z"));
    assert_eq!(bench.sent(1), [""; 0]);
}

/// The state of a connection goes with each of its events.
#[test]
fn s1_27_the_window_counts_the_state_of_the_connection_with_each_event() {
    let mut bench = Bench::new();
    let mut wish = narrow(100, 1000);
    wish.events = filter("c", &["*"]);
    bench.link(1, wish);
    bench.connect(1, json(1));
    let accept = v1::Accept {
        state: Some("s".repeat(700).into()),
        ..v1::Accept::default()
    };
    bench.ack(1, (1, 1), Answer::Accept(accept));
    bench.settle(1, 1, 1);
    bench.opened(1);
    bench.forget();
    for _ in 0..2 {
        bench.say(1, event("ask", None, "x"));
    }
    assert_eq!(ids(&bench.sent(1)), ["c1/3"], "two have the state twice");
    bench.settle(1, 2, 2);
    assert_eq!(ids(&bench.sent(1)), ["c1/4"]);
}

#[test]
fn lanes_that_wait_for_the_window_take_turns() {
    let mut bench = Bench::new();
    bench.link(1, narrow(1, 0));
    for n in 1..=3 {
        bench.open(n, &[]);
    }
    bench.forget();
    for n in 1..=3 {
        for _ in 0..2 {
            bench.say(n, event("ask", None, "x"));
        }
    }
    let mut order = Vec::new();
    for seq in 1..=6 {
        order.extend(bench.sent(1));
        bench.settle(1, seq, seq);
    }
    assert_eq!(
        ids(&order),
        ["c1/3", "c1/4", "c2/3", "c3/3", "c2/4", "c3/4"],
        "who came first goes first, and then behind the others"
    );
}

#[test]
fn a_large_event_is_not_overtaken_for_ever_by_those_behind_it() {
    let mut bench = Bench::new();
    bench.link(1, narrow(100, 2000));
    for n in 1..=4 {
        bench.open(n, &[]);
    }
    bench.forget();
    let half = "x".repeat(700);
    bench.say(1, event("ask", None, &half));
    bench.say(2, event("ask", None, &half));
    bench.say(3, event("ask", None, &"y".repeat(1500)));
    bench.say(4, event("ask", None, &half));
    assert_eq!(ids(&bench.sent(1)), ["c1/3", "c2/3"]);
    bench.settle(1, 1, 1);
    assert_eq!(bench.sent(1), [""; 0], "the large one is first in line");
    bench.settle(1, 2, 2);
    assert_eq!(ids(&bench.sent(1)), ["c3/3"]);
    bench.settle(1, 3, 3);
    assert_eq!(ids(&bench.sent(1)), ["c4/3"]);
}

#[test]
fn a_lane_whose_next_event_goes_elsewhere_is_woken_there() {
    let mut bench = Bench::with(|config| {
        config.message_timeout = std::time::Duration::from_secs(10);
    });
    for (link, app, name) in [(1, "one", "a"), (2, "two", "b")] {
        bench.link(
            link,
            v1::Register {
                events: filter("", &[name]),
                window: window(1, 0),
                ..register(app)
            },
        );
    }
    for n in 1..=3 {
        bench.open(n, &[]);
    }
    bench.forget();
    bench.say(1, event("a", None, "fills one"));
    bench.say(3, event("a", None, "waits, expires"));
    bench.pass(5_000);
    bench.say(2, event("b", None, "fills two"));
    bench.say(3, event("b", None, "waits behind"));
    bench.forget();
    bench.pass(5_000);
    assert_eq!(bench.sent(2), [""; 0], "two is full");
    bench.settle(2, 1, 1);
    assert_eq!(ids(&bench.sent(2)), ["c3/4"]);
}

#[test]
fn s1_27_past_the_bytes_that_may_wait_messages_fail_and_clients_are_refused() {
    let mut bench = Bench::with(|config| config.waiting_bytes_max = 2_000);
    bench.link(1, register("app"));
    bench.end_link(1);
    bench.link(
        2,
        v1::Register {
            events: filter("", &[]),
            ..register("other")
        },
    );
    bench.open(1, &[]);
    assert_eq!(bench.heard(1), [""; 0], "its connect waits");
    bench.pass(30_000);
    assert_eq!(bench.heard(1), ["refuse UNAVAILABLE"]);

    let mut bench = Bench::with(|config| config.waiting_bytes_max = 2_000);
    bench.link(1, narrow(1, 0));
    bench.open(1, &[]);
    bench.open(2, &[]);
    bench.forget();
    let data = "x".repeat(800);
    for id in 1..=4 {
        bench.say(1, event("ask", Some(id), &data));
    }
    bench.say(2, event("ask", Some(1), &data));
    assert_eq!(
        bench.heard(1),
        ["pause", "ack 4 InternalServerError"],
        "one is sent, two wait"
    );
    assert_eq!(bench.heard(2), ["ack 1 InternalServerError"]);
    let mut new = json(3);
    let long = v1::Values { values: vec![data] };
    new.handshake.headers = [("cookie".into(), long)].into();
    bench.connect(3, new);
    assert_eq!(bench.heard(3), ["refuse UNAVAILABLE"], "headers count");
    bench.settle(1, 1, 1);
    bench.forget();
    bench.say(2, event("ask", Some(1), "x"));
    assert_eq!(bench.heard(2), ["pause"], "there is room again");
}

#[test]
fn a_paused_client_that_is_closed_or_goes_is_not_resumed() {
    for closes in [false, true] {
        let mut bench = Bench::new();
        bench.link(1, narrow(1, 0));
        bench.open(1, &[]);
        bench.say(1, event("ask", Some(1), "x"));
        bench.say(1, event("ask", Some(2), "y"));
        assert!(bench.heard(1).contains(&"pause".into()), "the second waits");
        if closes {
            let close = v1::CloseAllRequest::default();
            bench
                .hub
                .command(v1::command::Operation::CloseAll(close), bench.now)
                .unwrap();
            assert_eq!(bench.heard(1), ["disconnected: ", "close 1000 "]);
        } else {
            bench.gone(1);
        }
        bench.forget();
        bench.settle(1, 1, 1);
        assert_eq!(
            ids(&bench.sent(1)),
            ["c1/4"],
            "what it said before is still handed on"
        );
        bench.settle(1, 2, 2);
        assert_eq!(bench.heard(1), [""; 0]);
        assert!(bench.hub.is_idle());
    }
}

#[test]
fn a_queued_event_whose_deadline_passes_is_not_sent_any_more() {
    let mut bench = Bench::new();
    bench.link(1, narrow(1, 0));
    bench.open(1, &[]);
    bench.open(2, &[]);
    bench.say(1, event("ask", Some(1), "x"));
    bench.pass(10_000);
    bench.say(2, event("ask", Some(1), "y"));
    bench.pass(25_000);
    bench.say(2, event("ask", Some(2), "z"));
    bench.forget();
    bench.pass(5_000);
    assert_eq!(bench.heard(2), ["ack 1 InternalServerError"]);
    bench.settle(1, 1, 1);
    assert_eq!(
        bench.sent(1),
        ["2 c2/4 z (25000 ms)"].map(|text| text.replace(" z", " ask z"))
    );
    assert_eq!(bench.heard(2), ["resume"]);
}

#[test]
fn the_lanes_that_waited_for_a_lost_upstream_go_to_another() {
    let mut bench = Bench::new();
    bench.link(1, narrow(1, 0));
    bench.open(1, &[]);
    bench.open(2, &[]);
    bench.say(1, event("ask", Some(1), "x"));
    bench.say(2, event("ask", Some(1), "y"));
    bench.link(2, narrow(1, 0));
    bench.forget();
    bench.end_link(1);
    assert_eq!(ids(&bench.sent(2)), ["c2/3"]);
    assert_eq!(bench.heard(1), ["ack 1 InternalServerError"]);
    assert_eq!(bench.heard(2), ["resume"]);
}

#[test]
fn the_lanes_that_waited_for_a_draining_upstream_go_to_another() {
    let mut bench = Bench::new();
    bench.link(1, narrow(1, 0));
    bench.open(1, &[]);
    bench.open(2, &[]);
    bench.say(1, event("ask", Some(1), "x"));
    bench.say(2, event("ask", Some(1), "y"));
    bench.link(2, narrow(1, 0));
    bench.forget();
    bench.drain_link(1);
    assert_eq!(ids(&bench.sent(2)), ["c2/3"]);
}

#[test]
fn those_behind_a_large_event_go_on_when_it_fails_or_its_client_goes() {
    for goes in [false, true] {
        let mut bench =
            Bench::with(|config| config.connect_timeout = std::time::Duration::from_secs(5));
        bench.link(
            1,
            v1::Register {
                window: window(100, 1500),
                ..register("app")
            },
        );
        bench.connect(1, json(1));
        bench.forget();
        for (n, length) in [(2, 1400), (3, 700)] {
            let mut new = json(n);
            let long = v1::Values {
                values: vec!["x".repeat(length)],
            };
            new.handshake.headers = [("cookie".into(), long)].into();
            bench.connect(n, new);
            bench.pass(1_000);
        }
        assert_eq!(
            bench.sent(1),
            ["2 c3/1 connect (5000 ms)"],
            "it fits beside the first"
        );
        let mut new = json(4);
        let long = v1::Values {
            values: vec!["x".repeat(500)],
        };
        new.handshake.headers = [("cookie".into(), long)].into();
        bench.connect(4, new);
        assert_eq!(bench.sent(1), [""; 0], "there is no room");
        bench.ack(1, (3, 1), accept());
        bench.settle(1, 2, 2);
        assert_eq!(bench.sent(1), [""; 0], "the large one is first in line");
        if goes {
            bench.gone(2);
            assert_eq!(bench.sent(1), ["3 c4/1 connect (5000 ms)"]);
        } else {
            bench.pass(3_000);
            assert_eq!(bench.sent(1), ["3 c4/1 connect (2000 ms)"]);
        }
    }
}

#[test]
fn those_behind_a_large_message_go_on_when_it_fails() {
    let mut bench = Bench::new();
    bench.link(1, narrow(100, 1000));
    for n in 1..=4 {
        bench.open(n, &[]);
    }
    bench.say(1, event("ask", None, &"x".repeat(200)));
    bench.say(2, event("ask", None, &"x".repeat(300)));
    bench.say(3, event("ask", Some(1), &"y".repeat(2000)));
    bench.pass(10_000);
    bench.say(4, event("ask", None, &"z".repeat(300)));
    bench.forget();
    bench.settle(1, 2, 2);
    assert_eq!(bench.sent(1), [""; 0], "the large one is first in line");
    bench.pass(20_000);
    assert_eq!(bench.heard(3), ["resume", "ack 1 InternalServerError"]);
    assert_eq!(ids(&bench.sent(1)), ["c4/3"]);
}
