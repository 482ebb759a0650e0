mod random;

use alloc::vec;

use headwater_proto::wps_rpc::streaming_request::Request;

use super::*;

fn machine() -> ServiceCalls {
    let message = RegisterMessage {
        hub: "chat".into(),
        ..RegisterMessage::default()
    };
    ServiceCalls::new(message).expect("valid").0
}

/// A moment, in milliseconds.
fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

/// An event with 100 ms left.
fn event(seq: u64, connection: &str, number: u64, event: Event) -> Input {
    let waits = matches!(event, Event::Connect(_) | Event::Message(_));
    Input::Frame(Frame::Event(Box::new(v1::Event {
        seq,
        id: id(connection, number),
        time_left_ms: if waits { 100 } else { 0 },
        event: Some(event),
        ..v1::Event::default()
    })))
}

fn id(connection: &str, number: u64) -> Option<v1::EventId> {
    Some(v1::EventId {
        connection_id: connection.into(),
        number,
    })
}

fn connect(seq: u64, connection: &str, number: u64) -> Input {
    event(
        seq,
        connection,
        number,
        Event::Connect(v1::Connect::default()),
    )
}

fn message(seq: u64, connection: &str, number: u64) -> Input {
    event(
        seq,
        connection,
        number,
        Event::Message(v1::Message::default()),
    )
}

fn cancel(connection: &str, number: u64) -> Input {
    let id = id(connection, number);
    Input::Frame(Frame::Cancel(v1::Cancel { id }))
}

const fn target(connection_id: &str, event_id: u64, kind: Kind) -> Target<'_> {
    Target {
        connection_id,
        event_id,
        kind,
    }
}

fn reply() -> Answer {
    Answer::Reply(v1::Reply::default())
}

fn drain(machine: &mut ServiceCalls) -> Vec<Output> {
    core::iter::from_fn(|| machine.poll_output()).collect()
}

fn settled(seq: u64) -> Output {
    let ranges = vec![v1::Range { from: seq, to: seq }];
    Output::Settled(v1::Settled { ranges })
}

/// Acks a message, and gives the event that was answered and settled, or the code of the refusal.
fn ack(machine: &mut ServiceCalls, connection: &str, event_id: u64) -> Result<(u64, u64), Code> {
    let target = target(connection, event_id, Kind::Message);
    let seq = machine.ack(target, reply()).map_err(|status| status.code)?;
    let outputs = drain(machine);
    let [Output::Ack(ack), Output::Settled(settled)] = &outputs[..] else {
        panic!("an ack is told and then its event settled: {outputs:?}");
    };
    assert_eq!(ack.seq, seq);
    Ok((
        ack.id.clone().expect("named").number,
        settled.ranges[0].from,
    ))
}

#[test]
fn a_registration_is_checked_as_on_a_link() {
    let code = |app: usize, version: usize, hub: &str| {
        let message = RegisterMessage {
            hub: hub.into(),
            app: "ä".repeat(app),
            app_version: "ä".repeat(version),
            ..RegisterMessage::default()
        };
        let checked = ServiceCalls::new(message);
        checked
            .map(|(_, register)| register.hub)
            .map_err(|status| status.code)
    };
    assert_eq!(code(128, 256, "chat"), Ok("chat".into()));
    for (app, version, hub) in [
        (129, 0, "chat"),
        (0, 257, "chat"),
        (0, 0, ""),
        (0, 0, "Chat"),
    ] {
        assert_eq!(
            code(app, version, hub),
            Err(Code::InvalidArgument),
            "{hub:?}"
        );
    }
}

#[test]
fn the_registration_comes_first_and_notices_are_settled_at_once() {
    let mut machine = machine();
    let registered = v1::Registered {
        registration: "r".into(),
        ..v1::Registered::default()
    };
    machine.handle(Input::Frame(Frame::Registered(registered.into())), at(0));
    machine.handle(event(1, "a", 2, Event::Connected(v1::Connected {})), at(0));
    let outputs = drain(&mut machine);
    let [Output::Registered(name), Output::Transmit(request), last] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!((name.as_str(), last), ("r", &settled(1)));
    let Some(Request::ConnectedRequest(connected)) = &request.request else {
        panic!("{request:?}");
    };
    assert_eq!(connected.connection_id, "a");
    let context = connected.context.as_ref().expect("always");
    assert_eq!((context.event_id, context.hub.as_str()), (2, "chat"));
    assert_eq!(machine.poll_timeout(), None, "nothing waits for a notice");
}

#[test]
fn an_ack_without_an_event_is_for_the_oldest_of_its_kind() {
    let mut machine = machine();
    machine.handle(connect(1, "a", 1), at(0));
    for (seq, number) in [(2, 3), (4, 4), (5, 5)] {
        machine.handle(message(seq, "a", number), at(0));
    }
    machine.handle(message(3, "b", 3), at(0));
    drain(&mut machine);
    let answered = [0; 3].map(|none| ack(&mut machine, "a", none));
    assert_eq!(
        answered,
        [Ok((3, 2)), Ok((4, 4)), Ok((5, 5))],
        "oldest first"
    );
    assert_eq!(
        ack(&mut machine, "b", 0),
        Ok((3, 3)),
        "of another connection"
    );
    let connect = target("a", 0, Kind::Connect);
    assert_eq!(machine.find(connect), Ok(1), "the other kind waits on");
}

/// S1-20 of this mapping.
#[test]
fn s1_20_an_event_that_is_named_is_answered_out_of_order() {
    let mut machine = machine();
    for number in 3..6 {
        machine.handle(message(number, "a", number), at(0));
    }
    drain(&mut machine);
    for number in [5, 4, 3] {
        assert_eq!(ack(&mut machine, "a", number), Ok((number, number)));
    }
    assert_eq!(machine.poll_timeout(), None, "nothing is left of them");
    assert!(machine.waiting.is_empty(), "{machine:?}");
}

#[test]
fn an_ack_that_fits_nothing_is_refused_and_changes_nothing() {
    let mut machine = machine();
    machine.handle(connect(1, "a", 1), at(0));
    drain(&mut machine);
    for (connection, event_id, code) in [
        ("", 1, Code::InvalidArgument),
        // It waits for an ackConnect.
        ("a", 1, Code::InvalidArgument),
        ("a", 0, Code::NotFound),
        ("a", 2, Code::NotFound),
        ("b", 0, Code::NotFound),
    ] {
        let refused = ack(&mut machine, connection, event_id);
        assert_eq!(refused, Err(code), "{connection:?} {event_id}");
    }
    assert_eq!(drain(&mut machine), [], "nothing for the hub");
    assert_eq!(machine.find(target("a", 1, Kind::Connect)), Ok(1));
}

#[test]
fn how_an_event_ended_is_told_to_whoever_answers_it_again_or_late() {
    let mut machine = machine();
    machine.handle(message(1, "a", 3), at(0));
    machine.handle(message(2, "b", 3), at(0));
    machine.handle(message(3, "c", 3), at(50));
    drain(&mut machine);
    assert_eq!(ack(&mut machine, "a", 3), Ok((3, 1)));
    machine.handle(cancel("b", 3), at(60));
    assert_eq!(drain(&mut machine), [settled(2)], "nobody waits any more");
    let due = machine.poll_timeout().expect("one waits");
    // A millisecond after the deadline, which the hub has by then failed it for.
    let expected = Deadline {
        at: at(151),
        why: Why::EventAnswer,
    };
    assert_eq!(due, expected);
    machine.handle(Input::Timeout, at(150));
    assert_eq!(drain(&mut machine), [], "a millisecond early");
    machine.handle(Input::Timeout, due.at);
    assert_eq!(drain(&mut machine), [settled(3)], "it frees its window");
    assert_eq!(machine.poll_timeout(), None);
    for event_id in [0, 3] {
        let codes = ["a", "b", "c"].map(|connection| ack(&mut machine, connection, event_id));
        let told = [Code::AlreadyExists, Code::Cancelled, Code::DeadlineExceeded];
        assert_eq!(codes, told.map(Err), "event {event_id}");
    }
}

#[test]
fn what_has_ended_is_remembered_within_bounds() {
    let mut machine = machine();
    let all = u64::try_from(ENDED_MAX).expect("small") + 1;
    for number in 1..=all {
        machine.handle(message(number, "a", number), at(0));
        drain(&mut machine);
        assert_eq!(ack(&mut machine, "a", number), Ok((number, number)));
    }
    assert_eq!(machine.ended.len(), ENDED_MAX);
    assert!(machine.waiting.is_empty() && machine.deadlines.is_empty());
    assert_eq!(ack(&mut machine, "a", 1), Err(Code::NotFound), "forgotten");
    assert_eq!(ack(&mut machine, "a", 2), Err(Code::AlreadyExists));
}

#[test]
fn what_the_hub_says_of_an_ack_and_of_leaving_is_passed_on() {
    let mut machine = machine();
    let refused = v1::Refused {
        seq: 7,
        status: Some(Status::new(Code::Cancelled, "gone").into()),
    };
    machine.handle(Input::Frame(Frame::Refused(refused)), at(0));
    machine.handle(Input::Frame(Frame::Drain(v1::Drain::default())), at(0));
    machine.handle(Input::Frame(Frame::Gap(v1::Gap::default())), at(0));
    let status = Status::new(Code::Cancelled, "gone");
    let expected = [Output::Refused { seq: 7, status }, Output::Drain];
    assert_eq!(drain(&mut machine), expected);
    assert_eq!(machine.skipped(), 1);
}

#[test]
fn an_event_that_cannot_be_said_is_given_up_and_holds_no_window() {
    let mut machine = machine();
    let unknown = v1::Event {
        seq: 4,
        ..v1::Event::default()
    };
    machine.handle(Input::Frame(Frame::Event(unknown.into())), at(0));
    assert_eq!(
        (drain(&mut machine), machine.skipped()),
        (vec![settled(4)], 1)
    );
}
