//! There and back, field by field.

mod commands;
mod events;

use alloc::{vec, vec::Vec};

use bytes::Bytes;
use headwater_proto::{
    Code,
    v1::{self, DataType, Payload, ack::Answer},
    wps_rpc::{self, AckConnectMessage, AckEventMessage},
};

use super::*;

fn payload_of(data_type: DataType, data: &'static [u8]) -> Payload {
    Payload {
        r#type: data_type.into(),
        data: Bytes::from_static(data),
    }
}

fn bad_status() -> v1::Status {
    v1::Status {
        code: 7,
        message: "not you".into(),
    }
}

#[test]
fn a_payload_of_each_type_there_and_back() {
    for (data_type, data) in [
        (DataType::Text, "grüße".as_bytes()),
        (DataType::Text, b""),
        (DataType::Json, b"{\"a\": [1]}"),
        (DataType::Binary, b"\xff\x00"),
        (DataType::Protobuf, b"\x0a\x01x"),
    ] {
        let ours = payload_of(data_type, data);
        let theirs = message(ours.clone()).expect("what its type says");
        assert_eq!(payload(theirs), Some(ours), "{data_type:?}");
    }
    let untyped = message(payload_of(DataType::Unspecified, b"x")).expect("binary");
    assert_eq!(payload(untyped), Some(payload_of(DataType::Binary, b"x")));
}

#[test]
fn a_message_without_data_says_nothing_and_text_must_be_text() {
    assert_eq!(payload(wps_rpc::Message { data: None }), None);
    for data_type in [DataType::Text, DataType::Json] {
        let refused = message(payload_of(data_type, b"\xff")).expect_err("not UTF-8");
        assert_eq!(refused.code, Code::InvalidArgument, "{data_type:?}");
    }
}

#[test]
fn a_registration_there_and_back() {
    let full = v1::Register {
        hub: "chat".into(),
        app: "app".into(),
        events: Some(v1::EventFilter {
            connect: true,
            connected: false,
            disconnected: true,
            messages: vec!["a".into(), "*".into()],
        }),
        window: Some(v1::Window {
            events: 3,
            bytes: 1 << 40,
        }),
        resume: None,
        app_version: "1.2".into(),
    };
    let bare = v1::Register {
        window: Some(v1::Window::default()),
        ..v1::Register::default()
    };
    for ours in [full, bare] {
        assert_eq!(register(register_message(ours.clone())), ours);
    }
}

/// Each field of an accept, and each kind of answer.
fn answers() -> Vec<Answer> {
    vec![
        Answer::Accept(v1::Accept::default()),
        Answer::Accept(v1::Accept {
            user_id: Some("ada".into()),
            groups: vec!["g".into(), "h".into()],
            roles: vec!["r".into()],
            subprotocol: Some("p".into()),
            state: Some(Bytes::from_static(b"state")),
        }),
        // What is there and empty is not what is left out.
        Answer::Accept(v1::Accept {
            user_id: Some("".into()),
            subprotocol: Some("".into()),
            state: Some(Bytes::new()),
            ..v1::Accept::default()
        }),
        Answer::Reject(v1::Reject {
            status: Some(bad_status()),
        }),
        Answer::Reply(v1::Reply::default()),
        Answer::Reply(v1::Reply {
            payload: Some(payload_of(DataType::Text, b"hi")),
            state: Some(Bytes::new()),
        }),
        Answer::Error(bad_status()),
    ]
}

#[test]
fn an_answer_of_each_kind_there_and_back() {
    for ours in answers() {
        let ack = v1::Ack {
            seq: 9,
            id: Some(v1::EventId {
                connection_id: "c".into(),
                number: 4,
            }),
            answer: Some(ours.clone()),
        };
        let (connection_id, event_id, hub, back) = match ack_request(ack, "chat") {
            Ok(AckRequest::Connect(request)) => (
                request.connection_id,
                request.event_id,
                request.hub,
                connect_answer(request.ack_connect_message),
            ),
            Ok(AckRequest::Message(request)) => (
                request.connection_id,
                request.event_id,
                request.hub,
                message_answer(request.ack_event_message),
            ),
            Err(status) => panic!("{status}: {ours:?}"),
        };
        let named = (connection_id.as_str(), event_id, hub.as_str());
        assert_eq!((named, back), (("c", 4, "chat"), ours));
    }
}

#[test]
fn an_answer_that_is_left_out_says_yes() {
    let accept = Answer::Accept(v1::Accept::default());
    assert_eq!(connect_answer(None), accept);
    assert_eq!(connect_answer(Some(AckConnectMessage::default())), accept);
    let reply = Answer::Reply(v1::Reply::default());
    assert_eq!(message_answer(None), reply);
    assert_eq!(message_answer(Some(AckEventMessage::default())), reply);
    let missing = ack_request(v1::Ack::default(), "chat").expect_err("no answer");
    assert_eq!(missing.code, Code::InvalidArgument);
}
