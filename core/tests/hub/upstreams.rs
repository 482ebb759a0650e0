//! Which upstream gets what, and what happens when one is missing, lost, or leaves.

use headwater_proto::v1::{self, command::Operation};

use crate::bench::*;

pub fn wants(app: &str, kinds: &str, messages: &[&str]) -> v1::Register {
    v1::Register {
        events: filter(kinds, messages),
        ..register(app)
    }
}

/// Opens a client whose connect and connected this link answers and settles.
pub fn open_with(bench: &mut Bench, link: u32, n: u32, first_seq: u64) {
    bench.connect(n, json(n));
    bench.ack(link, (n, 1), accept());
    bench.opened(n);
    bench.settle(link, first_seq, first_seq + 1);
}

#[test]
fn s1_23_without_any_upstream_clients_are_let_in_and_events_fail_at_once() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.connect(2, simple(2));
    bench.opened(2);
    bench.forget();
    bench.say(1, event("ask", Some(1), "x"));
    bench.say(2, event("message", None, "x"));
    assert_eq!(bench.heard(1), ["ack 1 InternalServerError"]);
    assert_eq!(bench.heard(2), ["close 1011 the upstream failed"]);
    assert_eq!(bench.hub.poll_timeout(), None, "nothing waits");
}

#[test]
fn a_hub_that_requires_connect_makes_clients_wait_and_then_refuses_them() {
    let mut bench = Bench::with(|config| config.require_connect = true);
    bench.connect(1, json(1));
    bench.connect(2, json(2));
    bench.pass(29_000);
    assert_eq!(bench.heard(1), [""; 0]);
    bench.gone(2);
    bench.pass(1_000);
    assert_eq!(bench.heard(1), ["refuse UNAVAILABLE"]);
    assert_eq!(bench.heard(2), [""; 0]);
    assert!(bench.hub.is_idle());
}

#[test]
fn a_connect_that_waits_goes_to_the_upstream_that_comes() {
    let mut bench = Bench::with(|config| config.require_connect = true);
    bench.connect(1, json(1));
    bench.link(1, register("app"));
    bench.ack(1, (1, 1), accept());
    assert_eq!(bench.heard(1), ["admit json.webpubsub.azure.v1"]);
}

#[test]
fn once_a_connect_handler_was_there_nobody_gets_in_without_one() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.end_link(1);
    bench.connect(1, json(1));
    bench.link(2, wants("app", "od", &["*"]));
    bench.connect(2, json(2));
    bench.pass(30_000);
    assert_eq!(bench.heard(1), ["refuse UNAVAILABLE"]);
    assert_eq!(
        bench.heard(2),
        ["refuse UNAVAILABLE"],
        "another filter opens nothing"
    );
}

#[test]
fn an_upstream_that_never_wanted_connect_lets_the_token_decide() {
    let mut bench = Bench::new();
    bench.link(1, wants("app", "", &["ask"]));
    bench.connect(1, json(1));
    bench.opened(1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.say(1, event("other", Some(2), "x"));
    assert_eq!(
        bench.heard(1),
        [
            "admit json.webpubsub.azure.v1",
            "connected c1 u1",
            "ack 2 InternalServerError"
        ]
    );
    assert_eq!(bench.sent(1), ["registered r1", "1 c1/3 ask x (30000 ms)"]);
}

#[test]
fn an_upstream_lost_in_mid_event_fails_what_it_had_not_answered() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.connect(2, json(2));
    for id in 1..=3 {
        bench.say(1, event("ask", Some(id), "x"));
    }
    bench.ack(1, (1, 4), done());
    bench.forget();
    bench.end_link(1);
    bench.end_link(1);
    assert_eq!(
        bench.heard(1),
        ["ack 1 InternalServerError", "ack 3 InternalServerError"],
        "in their order, and the answered one not again"
    );
    assert_eq!(bench.heard(2), ["refuse UNAVAILABLE"]);
    bench.ack(1, (1, 3), done());
    assert_eq!(bench.sent(1), [""; 0], "the link is no more");
    assert_eq!(bench.hub.poll_timeout(), None);
}

#[test]
fn a_lost_upstream_closes_its_simple_clients_that_waited_and_no_others() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    for n in 1..=2 {
        bench.connect(n, simple(n));
        bench.ack(1, (n, 1), accept());
        bench.opened(n);
    }
    bench.say(1, event("message", None, "a"));
    bench.say(1, event("message", None, "b"));
    bench.forget();
    bench.end_link(1);
    assert_eq!(bench.heard(1), ["close 1011 the upstream failed"]);
    assert_eq!(bench.heard(2), [""; 0]);
    bench.link(2, register("app"));
    assert_eq!(
        bench.sent(2),
        [
            "registered r2",
            "1 c1/2 connected again",
            "2 c1/5 disconnected: the upstream failed",
            "3 c2/2 connected again",
        ]
    );
}

#[test]
fn unsettled_notices_go_to_another_upstream_marked_and_before_what_follows() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    bench.ack(1, (1, 1), accept());
    bench.opened(1);
    bench.end_link(1);
    bench.forget();
    bench.say(1, event("ask", Some(1), "x"));
    assert_eq!(
        bench.heard(1),
        ["pause"],
        "its message waits for an upstream"
    );
    bench.pass(10_000);
    bench.link(2, register("app"));
    assert_eq!(
        bench.sent(2),
        [
            "registered r2",
            "1 c1/2 connected again",
            "2 c1/3 ask x (20000 ms)"
        ]
    );
    assert_eq!(bench.heard(1), ["resume"]);
}

#[test]
fn notices_that_find_no_upstream_for_long_are_dropped() {
    let mut bench = Bench::new();
    bench.link(1, wants("app", "od", &[]));
    bench.end_link(1);
    bench.open(1, &[]);
    assert_eq!(
        bench.heard(1),
        ["admit json.webpubsub.azure.v1", "connected c1 u1"],
        "a notice does not pause its client"
    );
    bench.gone(1);
    assert!(!bench.hub.is_idle(), "its notices wait");
    bench.pass(30_000);
    assert!(bench.hub.is_idle(), "nobody came for them");
    assert_eq!(bench.hub.poll_timeout(), None);
}

#[test]
fn notices_that_wait_for_a_window_are_not_dropped() {
    let mut bench = Bench::new();
    bench.link(
        1,
        v1::Register {
            window: window(1, 0),
            ..wants("app", "od", &[])
        },
    );
    bench.open(1, &[]);
    bench.gone(1);
    bench.forget();
    bench.pass(100_000);
    bench.settle(1, 1, 1);
    assert_eq!(bench.sent(1), ["2 c1/3 disconnected: left"]);
}

#[test]
fn a_connection_stays_with_its_upstream_and_a_new_one_affects_new_connections_only() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    for n in 1..=20 {
        bench.open(n, &[]);
        bench.ack(1, (n, 1), accept());
        bench.opened(n);
    }
    bench.settle(1, 0, u64::MAX);
    bench.link(2, register("app"));
    bench.forget();
    for n in 1..=20 {
        bench.say(n, event("ask", None, "x"));
    }
    assert_eq!(bench.sent(2), [""; 0]);
    assert_eq!(bench.sent(1).len(), 20);
    for n in 21..=60 {
        bench.connect(n, json(n));
    }
    let (one, two) = (bench.sent(1).len(), bench.sent(2).len());
    assert_eq!(one + two, 40);
    assert!((8..=32).contains(&one), "{one} of 40 went to the first");
}

#[test]
fn s1_25_connections_of_a_lost_upstream_go_to_the_other_of_its_app() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.link(2, register("app"));
    bench.end_link(1);
    bench.forget();
    bench.say(1, event("ask", Some(1), "x"));
    assert_eq!(bench.sent(2), ["1 c1/3 ask x (30000 ms)"]);
    bench.link(3, register("app"));
    bench.say(1, event("ask", Some(2), "y"));
    assert_eq!(bench.sent(2), ["2 c1/4 ask y (30000 ms)"], "and stay there");
}

#[test]
fn apps_take_what_their_filters_match_the_first_that_matches() {
    let mut bench = Bench::new();
    bench.link(1, wants("guard", "c", &["Auth"]));
    bench.link(2, wants("chat", "od", &["*"]));
    bench.connect(1, json(1));
    bench.ack(1, (1, 1), accept());
    bench.opened(1);
    bench.say(1, event("auth", None, "x"));
    bench.say(1, event("talk", None, "y"));
    assert_eq!(
        bench.sent(1),
        ["registered r1", "1 c1/1 connect (30000 ms)"]
    );
    assert_eq!(bench.sent(2), ["registered r2", "1 c1/2 connected"]);
    bench.settle(2, 1, 1);
    assert_eq!(
        bench.sent(1),
        ["2 c1/3 auth x (30000 ms)"],
        "once the notice before has ended"
    );
    assert_eq!(bench.sent(2), [""; 0]);
    bench.ack(1, (1, 3), done());
    bench.settle(1, 2, 2);
    assert_eq!(
        bench.sent(2),
        ["2 c1/4 talk y (30000 ms)"],
        "the lane goes on when the one before has ended"
    );
}

#[test]
fn an_answer_lets_the_lane_go_on_to_another_app_before_it_is_settled() {
    let mut bench = Bench::new();
    bench.link(1, wants("one", "", &["a"]));
    bench.link(2, wants("two", "", &["b"]));
    bench.open(1, &[]);
    bench.forget();
    bench.say(1, event("a", Some(1), "x"));
    bench.say(1, event("b", Some(2), "y"));
    assert_eq!(bench.sent(2), [""; 0]);
    bench.ack(1, (1, 3), done());
    assert_eq!(bench.sent(2), ["1 c1/4 b y (30000 ms)"]);
    assert_eq!(bench.heard(1), ["pause", "resume", "ack 1"]);
}

#[test]
fn members_of_one_app_with_different_filters_keep_their_connections() {
    let mut bench = Bench::new();
    bench.link(1, wants("app", "", &["a"]));
    bench.open(1, &[]);
    bench.say(1, event("a", None, "1"));
    bench.ack(1, (1, 3), done());
    bench.settle(1, 1, 1);
    bench.link(2, wants("app", "", &["a", "b"]));
    bench.link(3, wants("app", "", &["a", "b"]));
    bench.forget();
    for round in 2..6 {
        bench.say(1, event("b", None, "x"));
        bench.say(1, event("a", None, "x"));
        for link in 2..=3 {
            bench.ack(link, (1, 2 * round), done());
            bench.settle(link, 0, u64::MAX);
        }
        let got = bench.sent(1);
        assert_eq!(got.len(), 1, "round {round}: {got:?}");
        bench.ack(1, (1, 2 * round + 1), done());
        bench.settle(1, 0, u64::MAX);
        bench.forget();
    }
}

#[test]
fn s1_28_a_draining_upstream_finishes_what_it_has_and_gets_nothing_new() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.link(2, register("app"));
    bench.forget();
    bench.drain_link(1);
    bench.say(1, event("ask", Some(2), "y"));
    bench.connect(2, json(2));
    assert_eq!(bench.sent(1), [""; 0]);
    assert_eq!(
        bench.sent(2),
        ["1 c2/1 connect (30000 ms)"],
        "the lane of c1 waits for what went before"
    );
    bench.ack(1, (1, 3), reply("done"));
    bench.command(1, to_group("g", "x"));
    bench.settle(1, 3, 3);
    assert_eq!(bench.sent(1), ["result 3 delivered 0", "end OK"]);
    assert_eq!(bench.sent(2), ["2 c1/4 ask y (30000 ms)"]);
    assert_eq!(bench.heard(1), ["pause", "resume", "server: done", "ack 1"]);
    assert_eq!(bench.hub.registrations(), 1);
}

#[test]
fn s1_28_an_idle_upstream_that_drains_ends_at_once() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.drain_link(1);
    bench.drain_link(1);
    assert_eq!(bench.sent(1), ["registered r1", "end OK"]);
    bench.end_link(1);
    bench.command(1, Operation::CloseAll(v1::CloseAllRequest::default()));
    assert_eq!(bench.sent(1), [""; 0]);
}

#[test]
fn registrations_are_bounded() {
    let mut bench = Bench::new();
    for n in 1..=65 {
        bench.link(n, register(&format!("app{n}")));
    }
    assert_eq!(bench.sent(65), ["end RESOURCE_EXHAUSTED"]);
    let names = vec!["x"; 257];
    bench.link(66, wants("app1", "", &names));
    assert_eq!(bench.sent(66), ["end INVALID_ARGUMENT"]);
    for n in 100..=1060 {
        bench.link(n, register("app1"));
    }
    assert_eq!(bench.sent(1059), ["registered r1059"]);
    assert_eq!(bench.sent(1060), ["end RESOURCE_EXHAUSTED"]);
}

#[test]
fn a_resume_is_answered_with_a_new_registration_that_counts_from_1() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.end_link(1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.link(
        2,
        v1::Register {
            resume: Some(v1::Resume {
                registration: "r1".into(),
                token: "secret".into(),
            }),
            ..register("app")
        },
    );
    assert_eq!(
        bench.sent(2),
        ["registered r2", "1 c1/3 ask x (30000 ms)"],
        "the bench checks that it is not resumed and that nothing was applied"
    );
}
