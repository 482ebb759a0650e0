//! Violations, breaks, drains.

use super::*;

#[test]
fn an_event_beyond_the_window_ends_the_link() {
    let mut bench = Bench::registered();
    for seq in 1..=4 {
        bench.say(Said::Event(Box::new(message(seq, "a", seq))));
    }
    bench.drain();
    bench.say(Said::Event(Box::new(message(5, "a", 5))));
    assert_eq!(bench.drain(), [Output::Close(Violation::WindowExceeded)]);
    assert_eq!(
        Violation::WindowExceeded.status().code,
        Code::ResourceExhausted
    );
    bench.say(Said::Event(Box::new(message(6, "b", 1))));
    assert_eq!(bench.drain(), [], "nothing is taken afterwards");
}

#[test]
fn anything_but_registered_first_ends_the_link() {
    let mut bench = Bench::new();
    bench.link.handle(Input::Opened, bench.now);
    bench.drain();
    bench.say(Said::Event(Box::new(message(1, "a", 1))));
    assert_eq!(bench.drain(), [Output::Close(Violation::OutOfOrder)]);

    let mut bench = Bench::registered();
    bench.say(Said::Registered(registered(false, 0)));
    assert_eq!(bench.drain(), [Output::Close(Violation::OutOfOrder)]);
}

#[test]
fn a_broken_link_leaves_commands_unknown_and_takes_no_more_answers() {
    let mut bench = Bench::registered();
    let running = bench.start(message(1, "a", 1));
    bench.say(Said::Event(Box::new(message(2, "a", 2))));
    bench.say(Said::Event(Box::new(notice(3, "a", 3))));
    let first = bench.link.command(to_group("g"), None).expect("granted");
    bench.drain();
    let second = bench.link.command(to_group("h"), None).expect("granted");
    bench.link.handle(Input::Closed, bench.now);
    let unknown = |command| Output::Result {
        command,
        outcome: Err(CommandFailure::Unknown),
    };
    assert_eq!(
        bench.drain(),
        [unknown(first), unknown(second)],
        "the frame of the second was not sent and is gone with its call"
    );
    assert_eq!(
        bench.link.reply(running, v1::Reply::default()),
        Err(AnswerError::LinkLost)
    );
    assert_eq!(
        bench.link.command(to_group("i"), None),
        Err(CommandError::NotRegistered)
    );

    bench.link.handle(Input::Opened, bench.now);
    let resume = v1::Resume {
        registration: "r1".into(),
        token: "secret".into(),
    };
    assert_eq!(bench.drain(), [register(Some(resume))]);
    bench.say(Said::Registered(registered(false, 0)));
    bench.say(Said::Event(Box::new(message(1, "a", 9))));
    assert_eq!(
        bench.drain(),
        [Output::Registered { resumed: false }],
        "the handler of before still holds its lane"
    );
    assert_eq!(
        bench.link.reply(running, v1::Reply::default()),
        Err(AnswerError::LinkLost)
    );
    assert_eq!(bench.link.done(running), Ok(()));
    let outputs = bench.drain();
    let [Output::Start { delivery, event }] = outputs.as_slice() else {
        panic!(
            "the notice is kept, the message is not, and nothing of before is settled: {outputs:?}"
        );
    };
    assert_eq!(event.id, Some(id("a", 3)));
    assert_eq!(bench.link.done(*delivery), Ok(()));
    let outputs = bench.drain();
    let [Output::Start { delivery, event }] = outputs.as_slice() else {
        panic!("then the new link's: {outputs:?}");
    };
    assert_eq!(event.id, Some(id("a", 9)));
    let reply = v1::Reply::default();
    assert_eq!(
        bench.link.reply(*delivery, reply.clone()),
        Ok(1),
        "numbers start afresh"
    );
    assert_eq!(bench.link.done(*delivery), Ok(()));
    assert_eq!(
        bench.drain(),
        [ack(1, id("a", 9), Answer::Reply(reply)), settled(&[(1, 1)])]
    );
}

#[test]
fn a_resumed_registration_goes_on_after_what_was_applied() {
    let mut bench = Bench::registered();
    let running = bench.start(message(1, "a", 1));
    bench.say(Said::Event(Box::new(notice(2, "a", 2))));
    bench.drain();
    bench.link.handle(Input::Closed, bench.now);
    bench.link.handle(Input::Opened, bench.now);
    bench.say(Said::Registered(registered(true, 7)));
    bench.drain();
    bench.link.done(running).expect("runs");
    assert_eq!(
        bench.drain(),
        [],
        "what waited comes again and is not kept twice"
    );
    bench.link.command(to_group("g"), None).expect("granted");
    assert_eq!(bench.drain(), [command(8, to_group("g"))]);
}

#[test]
fn a_service_cannot_resume_what_was_never_there() {
    let mut bench = Bench::new();
    bench.link.handle(Input::Opened, bench.now);
    bench.drain();
    bench.say(Said::Registered(registered(true, 7)));
    assert_eq!(bench.drain(), [Output::Registered { resumed: false }]);
    bench.link.command(to_group("g"), None).expect("granted");
    assert_eq!(bench.drain(), [command(1, to_group("g"))]);
}

#[test]
fn s1_28_a_drain_waits_for_handlers_and_results() {
    let mut bench = Bench::registered();
    let running = bench.start(message(1, "a", 1));
    bench.link.command(to_group("g"), None).expect("granted");
    bench.drain();
    bench.link.drain();
    bench.link.drain();
    assert_eq!(bench.drain(), [transmit(Sent::Drain(v1::Drain::default()))]);
    let reply = v1::Reply::default();
    bench
        .link
        .reply(running, reply.clone())
        .expect("still allowed");
    bench.link.done(running).expect("runs");
    assert_eq!(
        bench.drain(),
        [ack(2, id("a", 1), Answer::Reply(reply)), settled(&[(1, 1)])],
        "a result is missing"
    );
    bench.say(result(1, None));
    let outputs = bench.drain();
    assert_eq!(
        outputs[1..],
        [results_through(1), Output::Drained],
        "what the service must know goes first"
    );
    let crossed = bench.start(notice(2, "b", 1));
    bench.link.done(crossed).expect("runs");
    assert_eq!(
        bench.drain(),
        [settled(&[(2, 2)]), Output::Drained],
        "an event that crossed the drain is served"
    );
}

#[test]
fn s1_28_the_service_may_leave_and_a_gap_is_told() {
    let mut bench = Bench::registered();
    bench.say(Said::Drain(v1::Drain {
        reconnect_within_ms: 1500,
    }));
    bench.say(Said::Gap(v1::Gap { from: 3, to: 5 }));
    let reconnect_within = Duration::from_millis(1500);
    assert_eq!(
        bench.drain(),
        [
            Output::Draining { reconnect_within },
            Output::Gap { from: 3, to: 5 }
        ]
    );
}

#[test]
fn s1_30_a_fresh_token_goes_over_the_live_link_only() {
    let mut bench = Bench::new();
    bench.link.authenticate("early");
    assert_eq!(bench.drain(), []);
    let mut bench = Bench::registered();
    bench.link.authenticate("fresh");
    let token = "fresh".into();
    assert_eq!(
        bench.drain(),
        [transmit(Sent::Authenticate(v1::Authenticate { token }))]
    );
}

#[test]
fn the_resume_token_is_not_in_the_debug_output() {
    let bench = Bench::registered();
    let printed = alloc::format!("{:?}", bench.link);
    assert!(!printed.contains("115, 101, 99"), "{printed}");
    assert!(!printed.contains("r1"), "{printed}");
}

#[test]
fn an_event_sees_what_was_stored_after_it_left_the_service() {
    let mut bench = Bench::registered();
    let first = bench.start(message(1, "a", 1));
    bench.say(Said::Event(Box::new(message(2, "a", 2))));
    let reply = v1::Reply {
        payload: None,
        state: Some("new".into()),
    };
    let answer = bench.link.reply(first, reply).expect("first");
    bench.link.done(first).expect("runs");
    let state = |outputs: &[Output]| {
        outputs.iter().find_map(|output| {
            let Output::Start { event, .. } = output else {
                return None;
            };
            Some(event.context.clone().unwrap_or_default().state)
        })
    };
    assert_eq!(state(&bench.drain()), Some("new".into()), "waited here");
    bench.say(Said::Event(Box::new(message(3, "b", 1))));
    assert_eq!(
        state(&bench.drain()),
        Some("".into()),
        "of another connection"
    );
    bench.say(Said::Refused(v1::Refused {
        seq: answer,
        status: None,
    }));
    let old = v1::ConnectionContext {
        state: "old".into(),
        ..v1::ConnectionContext::default()
    };
    bench.say(Said::Event(Box::new(v1::Event {
        context: Some(old),
        ..event(4, "c", 1, Kind::Message(v1::Message::default()))
    })));
    assert_eq!(
        state(&bench.drain()),
        Some("old".into()),
        "as the service says"
    );
}
