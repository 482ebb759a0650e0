//! What upstreams answer: acks that fit, that do not, that come twice, late, or in another order.

use headwater_core::hub::{Input, LinkKey};
use headwater_proto::v1::{self};

use crate::{
    bench::*,
    upstreams::{open_with, wants},
};

#[test]
fn s1_24_acks_that_are_duplicate_unknown_or_misfit_have_no_effect() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    bench.link(2, wants("other", "", &[]));
    open_with(&mut bench, 1, 1, 1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.forget();
    bench.ack(1, (1, 3), accept());
    bench.ack(1, (1, 99), done());
    bench.ack(1, (9, 1), done());
    bench.ack(1, (1, 0), done());
    bench.ack(2, (1, 3), reply("not yours"));
    assert_eq!(bench.heard(1), [""; 0]);
    bench.ack(1, (1, 3), reply("yes"));
    bench.ack(1, (1, 3), reply("again"));
    bench.settle(1, 3, 3);
    bench.ack(1, (1, 3), reply("and again"));
    assert_eq!(bench.heard(1), ["server: yes", "ack 1"], "one effect");
    assert_eq!(
        bench.sent(1),
        [
            "refused 2 INVALID_ARGUMENT",
            "refused 3 NOT_FOUND",
            "refused 4 NOT_FOUND",
            "refused 5 NOT_FOUND",
            "refused 7 ALREADY_EXISTS",
            "refused 8 ALREADY_EXISTS"
        ]
    );
    assert_eq!(bench.sent(2), ["refused 1 NOT_FOUND"]);
}

#[test]
fn s1_24_an_ack_after_the_client_left_has_no_effect() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.forget();
    bench.gone(1);
    bench.ack(1, (1, 3), reply("late"));
    bench.ack(1, (1, 3), reply("late"));
    assert_eq!(
        bench.sent(1),
        [
            "cancel c1/3",
            "4 c1/4 disconnected: left",
            "refused 2 CANCELLED",
            "refused 3 ALREADY_EXISTS"
        ]
    );
    assert_eq!(bench.heard(1), [""; 0]);
    bench.settle(1, 1, 4);
    assert!(bench.hub.is_idle());
    bench.ack(1, (1, 3), reply("late"));
    assert_eq!(bench.sent(1), ["refused 4 NOT_FOUND"], "nothing is kept");
}

#[test]
fn s1_19_an_answer_or_operation_that_the_hub_does_not_know_harms_nobody() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.forget();
    let ack = v1::Ack {
        seq: bench.next_seq(1),
        id: Some(v1::EventId {
            connection_id: "c1".into(),
            number: 3,
        }),
        answer: None,
    };
    bench.input(Input::Ack(LinkKey(1), ack.into()));
    let nameless = v1::Ack {
        seq: bench.next_seq(1),
        ..v1::Ack::default()
    };
    bench.input(Input::Ack(LinkKey(1), nameless.into()));
    let command = v1::Command {
        seq: bench.next_seq(1),
        ..v1::Command::default()
    };
    bench.input(Input::Command(LinkKey(1), command.into()));
    bench.ack(1, (1, 3), done());
    assert_eq!(
        bench.sent(1),
        [
            "refused 2 INVALID_ARGUMENT",
            "refused 3 NOT_FOUND",
            "result 4 UNIMPLEMENTED"
        ]
    );
    assert_eq!(
        bench.heard(1),
        ["ack 1"],
        "the event could still be answered"
    );
}

#[test]
fn a_reply_with_a_payload_that_is_not_valid_fails_the_message() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.forget();
    let payload = v1::Payload {
        r#type: v1::DataType::Text.into(),
        data: (&b"\xff"[..]).into(),
    };
    bench.ack(
        1,
        (1, 3),
        v1::ack::Answer::Reply(v1::Reply {
            payload: Some(payload),
            state: None,
        }),
    );
    assert_eq!(bench.heard(1), ["ack 1 InternalServerError"]);
    assert_eq!(bench.sent(1), ["refused 2 INVALID_ARGUMENT"]);
}

#[test]
fn a_reply_with_a_state_over_64_kib_fails_the_message_and_stores_nothing() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    let with_state = |bytes: usize| {
        v1::ack::Answer::Reply(v1::Reply {
            payload: text("not said"),
            state: Some(vec![7; bytes].into()),
        })
    };
    bench.say(1, event("ask", Some(1), "x"));
    bench.forget();
    bench.ack(1, (1, 3), with_state((64 << 10) + 1));
    assert_eq!(bench.heard(1), ["ack 1 InternalServerError"]);
    assert_eq!(bench.sent(1), ["refused 2 INVALID_ARGUMENT"]);
    bench.say(1, event("ask", Some(2), "x"));
    bench.ack(1, (1, 4), with_state(64 << 10));
    assert_eq!(bench.heard(1), ["server: not said", "ack 2"]);
    assert_eq!(
        bench.sent(1),
        ["4 c1/4 ask x (30000 ms)"],
        "with no state yet, and the link lives"
    );
}

#[test]
fn an_accept_with_a_state_or_a_user_id_that_is_too_large_refuses_the_client() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    let with = |state: usize, user_id: usize| {
        v1::ack::Answer::Accept(v1::Accept {
            state: Some(vec![7; state].into()),
            user_id: Some("u".repeat(user_id)),
            ..v1::Accept::default()
        })
    };
    let cases = [
        (with((64 << 10) + 1, 0), false),
        (with(0, 1025), false),
        (with(64 << 10, 1024), true),
    ];
    for (n, (answer, admitted)) in (1..).zip(cases) {
        bench.connect(n, json(n));
        bench.forget();
        bench.ack(1, (n, 1), answer);
        if admitted {
            assert_eq!(bench.heard(n), ["admit json.webpubsub.azure.v1"]);
            assert_eq!(bench.sent(1), [""; 0]);
        } else {
            assert_eq!(bench.heard(n), ["refuse INTERNAL"]);
            assert_eq!(bench.sent(1), [format!("refused {n} INVALID_ARGUMENT")]);
        }
    }
}

#[test]
fn an_event_settled_without_an_answer_has_failed() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    bench.say(1, event("ask", Some(1), "x"));
    bench.connect(2, json(2));
    bench.forget();
    bench.settle(1, 3, 4);
    assert_eq!(bench.heard(1), ["ack 1 InternalServerError"]);
    assert_eq!(bench.heard(2), ["refuse INTERNAL"]);
    assert_eq!(bench.hub.poll_timeout(), None);
}

#[test]
fn settling_what_was_not_sent_settles_nothing() {
    let mut bench = Bench::new();
    bench.link(
        1,
        v1::Register {
            window: window(1, 0),
            ..wants("app", "", &["*"])
        },
    );
    bench.open(1, &[]);
    bench.forget();
    for id in 1..=3 {
        bench.say(1, event("ask", Some(id), "x"));
    }
    bench.ack(1, (1, 3), done());
    bench.forget();
    bench.settle(1, 5, 3);
    bench.settle(1, 7, 9);
    assert_eq!(bench.sent(1), [""; 0]);
    bench.settle(1, 0, u64::MAX);
    assert_eq!(bench.sent(1), ["2 c1/4 ask x (30000 ms)"]);
    assert_eq!(
        bench.heard(1),
        [""; 0],
        "the next one was not settled unseen"
    );
}

#[test]
fn s1_20_answers_in_reverse_order_reach_their_own_requests() {
    let mut bench = Bench::new();
    bench.link(1, register("app"));
    open_with(&mut bench, 1, 1, 1);
    for id in 11..=13 {
        bench.say(1, event("ask", Some(id), "x"));
    }
    bench.forget();
    for number in [5, 4, 3] {
        bench.ack(1, (1, number), reply(&format!("to {number}")));
    }
    assert_eq!(
        bench.heard(1),
        [
            "server: to 5",
            "ack 13",
            "server: to 4",
            "ack 12",
            "server: to 3",
            "ack 11"
        ]
    );
}

#[test]
fn s1_16_a_thousand_clients_share_one_link_and_none_is_lost() {
    let mut bench = Bench::new();
    bench.link(
        1,
        v1::Register {
            window: window(10, 0),
            ..register("app")
        },
    );
    bench.drain();
    for n in 1..=1000 {
        bench.connect(n, json(n));
    }
    bench.drain();
    let mut connects = Vec::new();
    loop {
        let frames = bench.sent(1);
        if frames.is_empty() {
            break;
        }
        for frame in frames.iter().filter(|frame| frame.contains("connect ")) {
            let id = frame.split([' ', '/']).nth(1).unwrap();
            let n: u32 = id[1..].parse().unwrap();
            connects.push(n);
            bench.ack(1, (n, 1), accept());
        }
        bench.settle(1, 0, u64::MAX);
    }
    assert_eq!(connects, Vec::from_iter(1..=1000), "each once, in order");
    for n in 1..=1000 {
        assert_eq!(bench.heard(n), ["admit json.webpubsub.azure.v1"]);
    }
}
