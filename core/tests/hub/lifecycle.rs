//! From the handshake to the end: connect, connected, messages, disconnected.

use std::time::Duration;

use headwater_core::hub::{Input, SimpleMode};
use headwater_proto::v1::{self, ack::Answer, command::Operation};

use crate::bench::*;

#[test]
fn s1_05_a_client_waits_until_its_connect_is_acked() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    assert_eq!(bench.heard(1), [""; 0], "nothing before the ack");
    assert_eq!(
        bench.sent(1),
        ["registered r1", "1 c1/1 connect (30000 ms)"]
    );
    bench.ack(1, (1, 1), accept());
    assert_eq!(bench.heard(1), ["admit json.webpubsub.azure.v1"]);
    bench.opened(1);
    assert_eq!(bench.heard(1), ["connected c1 u1"]);
    assert_eq!(bench.sent(1), ["2 c1/2 connected"]);
}

#[test]
fn s1_06_a_refused_client_gets_the_status_and_no_connected_follows() {
    for (code, shown) in [
        (16, "refuse UNAUTHENTICATED"),
        (7, "refuse PERMISSION_DENIED"),
        (3, "refuse INVALID_ARGUMENT"),
        (0, "refuse UNKNOWN"),
    ] {
        let mut bench = Bench::new();
        bench.link(1, register("app"));
        bench.connect(1, json(1));
        let status = v1::Status {
            code,
            message: "no".into(),
        };
        bench.forget();
        let status = Some(status);
        bench.ack(1, (1, 1), Answer::Reject(v1::Reject { status }));
        assert_eq!(bench.heard(1), [shown]);
        bench.opened(1);
        bench.gone(1);
        assert_eq!(bench.heard(1), [""; 0], "it has ended");
        assert_eq!(bench.sent(1), [""; 0], "no connected, no disconnected");
        bench.settle(1, 1, 1);
        assert!(bench.hub.is_idle(), "nothing is kept of a refused client");
    }
}

#[test]
fn s1_06_an_error_refuses_like_a_reject() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    bench.ack(1, (1, 1), error(16, "who?"));
    assert_eq!(bench.heard(1), ["refuse UNAUTHENTICATED"]);
}

#[test]
fn s1_07_nothing_waits_for_an_ack_of_connected() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    bench.ack(1, (1, 1), accept());
    bench.opened(1);
    bench.forget();
    assert_eq!(bench.hub.poll_timeout(), None, "no deadline");
    bench.pass(100_000);
    assert_eq!(bench.heard(1), [""; 0]);
    bench.ack(1, (1, 2), done());
    assert_eq!(
        bench.sent(1),
        ["refused 2 INVALID_ARGUMENT"],
        "a notice takes no answer"
    );
}

#[test]
fn s1_08_a_reply_reaches_the_sender_only_before_its_ack() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.open(2, &[]);
    bench.link(1, register("app"));
    bench.forget();
    bench.say(1, event("ask", Some(1), "hi"));
    assert_eq!(bench.sent(1), ["1 c1/3 ask hi (30000 ms)"]);
    bench.ack(1, (1, 3), reply("hello"));
    assert_eq!(bench.heard(1), ["server: hello", "ack 1"]);
    assert_eq!(bench.heard(2), [""; 0]);
}

#[test]
fn s1_08_a_message_without_ack_id_is_replied_to_and_not_acked() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.link(1, register("app"));
    bench.forget();
    bench.say(1, event("ask", None, "a"));
    bench.say(1, event("ask", None, "b"));
    bench.ack(1, (1, 3), reply("hello"));
    bench.ack(1, (1, 4), error(13, "oops"));
    assert_eq!(bench.heard(1), ["server: hello"], "errors are silent");
}

#[test]
fn s1_09_disconnected_comes_exactly_once_for_each_connection_that_had_a_connected() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    bench.ack(1, (1, 1), accept());
    bench.opened(1);
    bench.forget();
    bench.gone(1);
    bench.gone(1);
    let close = v1::CloseAllRequest::default();
    bench.command(1, v1::command::Operation::CloseAll(close));
    bench.end_link(7);
    assert_eq!(
        bench.sent(1),
        ["3 c1/3 disconnected: left", "result 2 changed 0"]
    );
    bench.settle(1, 1, 3);
    assert!(bench.hub.is_idle(), "all is settled");
}

#[test]
fn a_client_that_goes_while_its_connect_is_with_the_upstream_is_cancelled() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    bench.forget();
    bench.gone(1);
    assert_eq!(bench.sent(1), ["cancel c1/1"]);
    assert_eq!(bench.hub.poll_timeout(), None, "nobody waits any more");
    bench.ack(1, (1, 1), accept());
    bench.opened(1);
    assert_eq!(bench.sent(1), ["refused 1 CANCELLED"]);
    assert_eq!(bench.heard(1), [""; 0]);
    bench.settle(1, 1, 1);
    assert!(bench.hub.is_idle(), "nothing is kept");
}

#[test]
fn a_client_that_goes_while_its_connect_is_queued_leaves_nothing_behind() {
    let mut bench = Bench::with(|config| config.require_connect = true);
    bench.connect(1, json(1));
    bench.gone(1);
    assert!(bench.hub.is_idle(), "nobody was told of it");
    assert_eq!(bench.hub.poll_timeout(), None);
    bench.link(1, register("app"));
    assert_eq!(bench.sent(1), ["registered r1"]);
}

#[test]
fn a_client_that_goes_between_admission_and_opening_had_no_connected_and_has_no_disconnected() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    bench.ack(1, (1, 1), accept());
    bench.forget();
    bench.gone(1);
    bench.opened(1);
    assert_eq!(bench.sent(1), [""; 0]);
    assert_eq!(bench.heard(1), [""; 0]);
    bench.settle(1, 1, 1);
    assert!(bench.hub.is_idle(), "nothing is kept");
}

#[test]
fn s1_18_accept_sets_user_groups_roles_and_state() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    let mut new = json(1);
    new.roles.clear();
    new.groups = vec!["token".into()];
    bench.connect(1, new);
    bench.ack(
        1,
        (1, 1),
        Answer::Accept(v1::Accept {
            user_id: Some("ann".into()),
            groups: vec!["given".into()],
            roles: vec!["webpubsub.sendToGroup.given".into()],
            subprotocol: None,
            state: Some("s".into()),
        }),
    );
    bench.opened(1);
    bench.say(
        1,
        request("{'type':'sendToGroup','group':'given','dataType':'text','data':'x','ackId':1}"),
    );
    assert_eq!(
        bench.heard(1),
        [
            "admit json.webpubsub.azure.v1",
            "connected c1 ann",
            "given ann: x",
            "ack 1"
        ]
    );
    let to_user = |user_id: &str| {
        v1::command::Operation::SendToUser(v1::SendToUserRequest {
            user_id: user_id.into(),
            payload: text("y"),
            ..v1::SendToUserRequest::default()
        })
    };
    bench.forget();
    bench.command(1, to_user("ann"));
    bench.command(1, to_user("u1"));
    bench.command(1, to_group("token", "z"));
    assert_eq!(
        bench.sent(1),
        [
            "result 2 delivered 1",
            "result 3 delivered 0",
            "result 4 delivered 1"
        ],
        "the user of the token was replaced, its groups were kept"
    );
}

#[test]
fn s1_18_the_upstream_sees_the_handshake_and_the_context() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.drain();
    let mut new = json(1);
    let values = |values: &[&str]| v1::Values {
        values: values.iter().map(ToString::to_string).collect(),
    };
    new.handshake.claims = [("sub".into(), values(&["u1"]))].into();
    new.handshake.query = [("q".into(), values(&["1", "2"]))].into();
    new.handshake.headers = [("origin".into(), values(&["here"]))].into();
    new.handshake.client_certificates = vec![v1::ClientCertificate {
        thumbprint: "AB".into(),
        content: "PEM".into(),
    }];
    let handshake = new.handshake.clone();
    bench.connect(1, new);
    let event = next_event(&mut bench);
    assert_eq!(event.event, Some(v1::event::Event::Connect(handshake)));
    let context = event.context.unwrap();
    assert_eq!(
        (context.user_id.as_deref(), &*context.subprotocol),
        (Some("u1"), "")
    );

    bench.ack(
        1,
        (1, 1),
        Answer::Accept(v1::Accept {
            state: Some("one".into()),
            ..v1::Accept::default()
        }),
    );
    bench.drain();
    bench.opened(1);
    let context = next_event(&mut bench).context.unwrap();
    assert_eq!(context.subprotocol, "json.webpubsub.azure.v1");
    assert_eq!(&context.state[..], b"one");

    bench.say(1, event_of("ask"));
    next_event(&mut bench);
    let reply = v1::Reply {
        payload: None,
        state: Some("two".into()),
    };
    bench.ack(1, (1, 3), Answer::Reply(reply));
    bench.drain();
    bench.say(1, event_of("ask"));
    let context = next_event(&mut bench).context.unwrap();
    assert_eq!(&context.state[..], b"two", "a reply replaces the state");
}

fn event_of(name: &str) -> headwater_proto::subprotocol::Request {
    event(name, None, "x")
}

fn next_event(bench: &mut Bench) -> v1::Event {
    loop {
        match bench.hub.poll_output() {
            Some(headwater_core::hub::Output::Link { frame, .. }) => match *frame {
                v1::service_frame::Frame::Event(event) => return *event,
                other => panic!("not an event: {other:?}"),
            },
            Some(_) => {}
            None => panic!("no event was sent"),
        }
    }
}

#[test]
fn an_accept_that_is_not_valid_refuses_the_client_and_tells_the_upstream() {
    let unoffered = v1::Accept {
        subprotocol: Some("mine".into()),
        ..v1::Accept::default()
    };
    let bad_group = v1::Accept {
        groups: vec![String::new()],
        ..v1::Accept::default()
    };
    for accept in [unoffered, bad_group] {
        let mut bench = Bench::new();
        bench.link(1, register("app"));
        bench.connect(1, json(1));
        bench.forget();
        bench.ack(1, (1, 1), Answer::Accept(accept));
        assert_eq!(bench.heard(1), ["refuse INTERNAL"]);
        assert_eq!(bench.sent(1), ["refused 1 INVALID_ARGUMENT"]);
    }
}

#[test]
fn a_token_with_a_group_that_is_not_valid_is_the_clients_fault() {
    let mut bench = Bench::new();
    let mut new = json(1);
    new.groups = vec![" ".into()];
    bench.connect(1, new);
    assert_eq!(bench.heard(1), ["refuse INVALID_ARGUMENT"]);
    assert!(bench.hub.is_idle(), "nothing is kept");
}

#[test]
fn the_application_may_choose_a_subprotocol_of_its_own() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    let mut new = json(1);
    new.handshake.subprotocols = vec!["mine".into(), "json.webpubsub.azure.v1".into()];
    bench.connect(1, new);
    bench.ack(
        1,
        (1, 1),
        Answer::Accept(v1::Accept {
            subprotocol: Some("mine".into()),
            ..v1::Accept::default()
        }),
    );
    bench.opened(1);
    assert_eq!(
        bench.heard(1),
        ["admit mine"],
        "a simple client: no connected message"
    );
}

#[test]
fn a_simple_client_that_sends_to_a_group_needs_the_permission() {
    let mut new = simple(1);
    new.simple_mode = SimpleMode::SendToGroup("g".into());
    let mut bench = Bench::new();
    bench.connect(1, new.clone());
    assert_eq!(bench.heard(1), ["admit none"]);
    new.id = "c2".into();
    new.roles = vec!["webpubsub.sendToGroup.h".into()];
    bench.connect(2, new);
    assert_eq!(bench.heard(2), ["refuse PERMISSION_DENIED"]);
}

#[test]
fn s1_23_a_connect_that_is_not_answered_is_refused_and_a_late_ack_has_no_effect() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, json(1));
    bench.forget();
    assert_eq!(
        bench.hub.poll_timeout().unwrap().at.since_start().as_secs(),
        30
    );
    bench.pass(29_999);
    assert_eq!(bench.heard(1), [""; 0]);
    bench.pass(1);
    assert_eq!(bench.heard(1), ["refuse DEADLINE_EXCEEDED"]);
    bench.ack(1, (1, 1), accept());
    bench.ack(1, (1, 1), accept());
    assert_eq!(
        bench.sent(1),
        ["refused 1 DEADLINE_EXCEEDED", "refused 2 DEADLINE_EXCEEDED"]
    );
    assert_eq!(bench.heard(1), [""; 0]);
    bench.settle(1, 1, 1);
    assert!(bench.hub.is_idle());
    assert_eq!(bench.hub.poll_timeout(), None);
}

#[test]
fn s1_23_a_message_that_is_not_answered_fails_at_its_sender_who_may_try_again() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.link(1, register("app"));
    bench.say(1, event("ask", Some(5), "x"));
    bench.forget();
    bench.pass(30_000);
    assert_eq!(bench.heard(1), ["ack 5 InternalServerError"]);
    bench.ack(1, (1, 3), reply("late"));
    assert_eq!(bench.sent(1), ["refused 1 DEADLINE_EXCEEDED"]);
    assert_eq!(bench.heard(1), [""; 0], "the late reply is not sent");
    bench.say(1, event("ask", Some(5), "x"));
    assert_eq!(
        bench.sent(1),
        ["2 c1/4 ask x (30000 ms)"],
        "the id of a failed request is free"
    );
}

#[test]
fn s1_23_an_ack_that_comes_with_the_deadline_is_late_though_the_driver_is_late_too() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.link(1, register("app"));
    bench.say(1, event("ask", Some(1), "x"));
    bench.forget();
    bench.now = bench.now + Duration::from_secs(31);
    bench.ack(1, (1, 3), reply("late"));
    assert_eq!(bench.heard(1), ["ack 1 InternalServerError"]);
    assert_eq!(bench.sent(1), ["refused 1 DEADLINE_EXCEEDED"]);
}

#[test]
fn s1_23_a_failing_message_closes_a_simple_client() {
    for fail_by_time in [false, true] {
        let mut bench = Bench::new();
        bench.connect(1, simple(1));
        bench.opened(1);
        bench.link(1, register("app"));
        bench.say(1, event("message", None, "x"));
        bench.forget();
        if fail_by_time {
            bench.pass(30_000);
        } else {
            bench.ack(1, (1, 3), error(13, "oops"));
        }
        assert_eq!(bench.heard(1), ["close 1011 the upstream failed"]);
        assert_eq!(bench.sent(1), ["2 c1/4 disconnected: the upstream failed"]);
    }
}

#[test]
fn s1_50_a_simple_client_hears_bare_replies_and_no_acks() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.connect(1, simple(1));
    bench.ack(1, (1, 1), accept());
    bench.opened(1);
    bench.say(1, event("message", None, "x"));
    bench.ack(1, (1, 3), reply("bare"));
    bench.say(1, event("message", None, "y"));
    bench.ack(1, (1, 4), done());
    assert_eq!(bench.heard(1), ["admit none", "bare"]);
}

#[test]
fn the_time_left_is_what_is_left_after_waiting() {
    let mut bench = Bench::with(|config| config.require_connect = true);
    bench.connect(1, json(1));
    bench.pass(12_000);
    bench.link(1, register("app"));
    assert_eq!(
        bench.sent(1),
        ["registered r1", "1 c1/1 connect (18000 ms)"]
    );
}

#[test]
fn shut_down_closes_all_and_lets_nobody_in() {
    let mut bench = Bench::new();
    bench.open(1, &[]);
    bench.connect(2, simple(2));
    bench.opened(2);
    bench.link(1, register("app"));
    bench.connect(3, json(3));
    bench.forget();
    bench
        .hub
        .shut_down("bye", Duration::from_secs(5), bench.now);
    assert_eq!(bench.heard(1), ["disconnected: bye", "close 1001 bye"]);
    assert_eq!(bench.heard(2), ["close 1001 bye"]);
    assert_eq!(bench.heard(3), ["refuse UNAVAILABLE"]);
    assert_eq!(
        bench.sent(1),
        [
            "2 c1/3 disconnected: bye",
            "3 c2/3 disconnected: bye",
            "cancel c3/1",
        ]
    );
    bench.connect(4, json(4));
    bench.link(2, register("app"));
    assert_eq!(bench.heard(4), ["refuse UNAVAILABLE"]);
    assert_eq!(bench.sent(2), ["end UNAVAILABLE"]);
    bench.settle(1, 1, 3);
    assert!(bench.hub.is_idle(), "all is settled");
    assert_eq!(bench.sent(1), ["drain 5000"], "told when it has heard all");
    bench.drain_link(1);
    assert_eq!(bench.sent(1), ["end OK"]);
}

/// What a hub raises after a long silence has all of its time, whoever is the first to speak.
#[test]
fn notices_that_are_raised_in_a_quiet_hub_wait_their_whole_time() {
    const QUIET: Duration = Duration::from_secs(3600);
    let mut bench = Bench::new();
    let notice_timeout = Duration::from_secs(30);
    bench.link(
        1,
        v1::Register {
            window: window(1, 0),
            events: filter("d", &[]),
            ..register("app")
        },
    );
    for n in 1..=3 {
        bench.open(n, &[]);
    }
    bench.gone(1);
    bench.forget();
    bench.now = bench.now + QUIET;
    let close = Operation::CloseConnection(v1::CloseConnectionRequest {
        connection_id: "c2".into(),
        ..v1::CloseConnectionRequest::default()
    });
    bench.hub.command(close, bench.now).unwrap();
    let due = |bench: &Bench| bench.hub.poll_timeout().map(|deadline| deadline.at);
    assert_eq!(due(&bench), Some(bench.now + notice_timeout), "a command");
    bench.settle(1, 1, 1);
    assert_eq!(bench.sent(1), ["2 c2/3 disconnected: "]);
    bench.now = bench.now + QUIET;
    bench.hub.shut_down("bye", Duration::ZERO, bench.now);
    assert_eq!(due(&bench), Some(bench.now + notice_timeout), "leaving");
    bench.settle(1, 2, 2);
    assert_eq!(bench.sent(1)[0], "3 c3/3 disconnected: bye");
}

#[test]
fn shut_down_does_not_wait_for_an_upstream_that_is_not_there() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.end_link(1);
    bench.connect(1, json(1));
    bench.hub.shut_down("bye", Duration::ZERO, bench.now);
    assert_eq!(bench.heard(1), ["refuse UNAVAILABLE"]);
    assert!(bench.hub.is_idle(), "nothing can come of waiting");
    assert_eq!(bench.hub.poll_timeout(), None);
}

#[test]
fn inputs_of_unknown_connections_and_links_are_ignored() {
    let mut bench = Bench::new();
    bench.opened(9);
    bench.say(9, event("x", Some(1), "x"));
    bench.gone(9);
    bench.ack(9, (9, 1), accept());
    bench.command(9, to_group("g", "x"));
    bench.settle(9, 0, u64::MAX);
    bench.drain_link(9);
    bench.end_link(9);
    bench.input(Input::Timeout);
    bench.drain();
    assert_eq!(bench.outputs, [""; 0]);
}
