use alloc::{string::ToString, vec, vec::Vec};

use headwater_proto::websocket::MessageKind;

use super::*;

fn at(seconds: u64) -> Time {
    Time::after_start(Duration::from_secs(seconds))
}

fn session(protocol: Protocol) -> Session {
    Session::new(
        protocol,
        SimpleMode::SendEvent,
        SessionConfig::default(),
        Time::ZERO,
    )
}

fn drain(session: &mut Session) -> Vec<Output> {
    core::iter::from_fn(|| session.poll_output()).collect()
}

fn text(text: &'static str) -> Input {
    Input::Incoming(Incoming::Message {
        kind: MessageKind::Text,
        data: Bytes::from_static(text.as_bytes()),
    })
}

fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    websocket::encode_close(code, reason, &mut frame);
    frame
}

/// Runs to the next deadline, which must be there, and gives what came of it.
fn wait(session: &mut Session) -> (Time, Why, Vec<Output>) {
    let deadline = session.poll_timeout().expect("something is due");
    session.handle(Input::Timeout, deadline.at);
    (deadline.at, deadline.why, drain(session))
}

#[test]
fn a_quiet_client_is_pinged_after_30_s_and_dropped_after_75_s() {
    let mut session = session(Protocol::Json);
    let (pinged_at, why, outputs) = wait(&mut session);
    assert_eq!((pinged_at, why), (at(30), Why::KeepAlive));
    assert_eq!(outputs, [Output::Transmit(Bytes::from_static(b"\x89\x00"))]);

    let (dropped_at, why, outputs) = wait(&mut session);
    assert_eq!((dropped_at, why), (at(75), Why::Silence));
    let reason = "the client fell silent".to_string();
    assert_eq!(
        outputs,
        [
            Output::End {
                reason,
                last: Bytes::new()
            },
            Output::Drop
        ]
    );
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn whatever_a_client_sends_shows_that_it_lives() {
    let mut session = session(Protocol::Json);
    wait(&mut session);
    session.handle(Input::Incoming(Incoming::Pong(Bytes::new())), at(40));
    assert_eq!(drain(&mut session), vec![]);
    assert_eq!(
        session.poll_timeout(),
        Some(Deadline {
            at: at(70),
            why: Why::KeepAlive
        })
    );
}

#[test]
fn silence_means_nothing_while_the_driver_does_not_read() {
    let mut session = session(Protocol::Json);
    session.handle(Input::Paused(true), at(10));
    assert_eq!(session.poll_timeout(), None);
    session.handle(Input::Paused(false), at(500));
    assert_eq!(
        session.poll_timeout(),
        Some(Deadline {
            at: at(530),
            why: Why::KeepAlive
        })
    );
}

#[test]
fn a_ping_is_answered_with_its_own_bytes() {
    let mut session = session(Protocol::Simple);
    session.handle(
        Input::Incoming(Incoming::Ping(Bytes::from_static(b"x"))),
        at(1),
    );
    assert_eq!(
        drain(&mut session),
        [Output::Transmit(Bytes::from_static(b"\x8a\x01x"))]
    );
}

#[test]
fn malformed_json_ends_the_session_with_1007_after_telling_why() {
    let mut session = session(Protocol::Json);
    session.handle(text("{"), at(1));
    session.handle(text(r#"{"type":"ping"}"#), at(1));
    let outputs = drain(&mut session);
    let [Output::End { reason, last }] = &outputs[..] else {
        panic!("one end, and nothing after it: {outputs:?}")
    };
    let mut expected = Vec::new();
    Protocol::Json.encode(&Response::Disconnected { reason }, &mut expected);
    expected.extend(close_frame(1007, reason));
    assert_eq!(*last, expected);
}

#[test]
fn a_binary_frame_on_json_ends_the_session_with_1003() {
    let mut session = session(Protocol::Json);
    let data = Bytes::from_static(b"{}");
    session.handle(
        Input::Incoming(Incoming::Message {
            kind: MessageKind::Binary,
            data,
        }),
        at(1),
    );
    let outputs = drain(&mut session);
    let [Output::End { reason, last }] = &outputs[..] else {
        panic!("one end: {outputs:?}")
    };
    assert!(
        last.ends_with(&close_frame(1003, reason)),
        "the close frame says 1003"
    );
}

#[test]
fn a_frame_that_rfc_6455_forbids_ends_the_session_with_its_code() {
    let mut session = session(Protocol::Simple);
    let violation = Violation {
        close_code: 1009,
        reason: "the message is too long",
    };
    session.handle(Input::Violation(violation), at(1));
    let last = close_frame(1009, "the message is too long").into();
    assert_eq!(
        drain(&mut session),
        [Output::End {
            reason: "the message is too long".into(),
            last
        }]
    );
}

#[test]
fn a_client_that_closes_hears_its_code_again_and_has_5_s_to_go() {
    let mut session = session(Protocol::Json);
    session.handle(
        Input::Incoming(Incoming::Close {
            code: Some(4000),
            reason: "done".into(),
        }),
        at(1),
    );
    let reason = "the client closed the connection".to_string();
    assert_eq!(
        drain(&mut session),
        [Output::End {
            reason,
            last: close_frame(4000, "").into()
        }]
    );
    let (dropped_at, why, outputs) = wait(&mut session);
    assert_eq!(
        (dropped_at, why, outputs),
        (at(6), Why::Close, vec![Output::Drop])
    );
}

#[test]
fn after_the_hub_closed_the_clients_close_frame_or_the_lost_stream_ends_it() {
    for last_input in [
        Input::Incoming(Incoming::Close {
            code: None,
            reason: String::new(),
        }),
        Input::Lost,
    ] {
        let mut session = session(Protocol::Json);
        session.handle(Input::Closed, at(1));
        session.handle(text(r#"{"type":"ping"}"#), at(2));
        assert_eq!(
            drain(&mut session),
            vec![],
            "a request after the end is not looked at"
        );
        session.handle(last_input, at(2));
        assert_eq!(drain(&mut session), [Output::Drop]);
    }
}

#[test]
fn a_lost_connection_is_told_to_the_hub_once() {
    let mut session = session(Protocol::Json);
    session.handle(Input::Lost, at(1));
    session.handle(Input::Lost, at(1));
    let reason = "the connection was lost".to_string();
    assert_eq!(
        drain(&mut session),
        [
            Output::End {
                reason,
                last: Bytes::new()
            },
            Output::Drop
        ]
    );
}

#[test]
fn a_simple_frame_is_the_event_named_message_or_goes_to_the_group_of_its_mode() {
    let mut events = session(Protocol::Simple);
    events.handle(text("hi"), at(1));
    let outputs = drain(&mut events);
    assert!(
        matches!(&outputs[..], [Output::Request(Request { operation: Operation::Event { name, .. }, .. })] if name == "message"),
        "{outputs:?}"
    );

    let mode = SimpleMode::SendToGroup("room".into());
    let mut group = Session::new(Protocol::Simple, mode, SessionConfig::default(), Time::ZERO);
    group.handle(text("hi"), at(1));
    let outputs = drain(&mut group);
    assert!(
        matches!(&outputs[..], [Output::Request(Request { operation: Operation::SendToGroup { group, .. }, .. })] if group == "room"),
        "{outputs:?}"
    );
}
