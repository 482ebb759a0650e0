use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::subprotocol::*;
use crate::websocket::MessageKind;

fn encode(response: &Response<'_>) -> String {
    let mut out = Vec::new();
    Protocol::Json.encode(response, &mut out);
    assert_eq!(out[0], 0x81, "one whole text frame");
    let (length, text) = match out[1] {
        126 => (u16::from_be_bytes([out[2], out[3]]), &out[4..]),
        length => (u16::from(length), &out[2..]),
    };
    assert_eq!(
        text.len(),
        usize::from(length),
        "the header tells the length"
    );
    String::from_utf8(text.to_vec()).unwrap()
}

fn payload(data_type: DataType, data: &[u8]) -> Payload {
    Payload {
        data_type,
        data: Bytes::copy_from_slice(data),
    }
}

#[test]
fn every_response_is_written() {
    let none = Metadata::new();
    let some = Metadata::from([("k".into(), "v\"".into()), ("a".into(), String::new())]);
    let text = payload(DataType::Text, "ü\"\\\n".as_bytes());
    let object = payload(DataType::Json, br#"{"a": [1, null]}"#);
    let quoted = payload(DataType::Json, br#""hi""#);
    let binary = payload(DataType::Binary, &[0, 1, 2, 0xff]);
    let protobuf = payload(DataType::Protobuf, b"");
    let failed = |name, message| Response::Ack {
        ack_id: u64::MAX,
        outcome: Err(AckError { name, message }),
    };
    for (response, expected) in [
        (
            Response::Connected {
                connection_id: "c",
                user_id: Some("u\""),
            },
            r#"{"type":"system","event":"connected","userId":"u\"","connectionId":"c"}"#,
        ),
        (
            Response::Connected {
                connection_id: "c",
                user_id: None,
            },
            r#"{"type":"system","event":"connected","userId":null,"connectionId":"c"}"#,
        ),
        (
            Response::Disconnected {
                reason: "bye\t\u{1}",
            },
            r#"{"type":"system","event":"disconnected","message":"bye\t\u0001"}"#,
        ),
        (
            Response::Ack {
                ack_id: 0,
                outcome: Ok(()),
            },
            r#"{"type":"ack","ackId":0,"success":true}"#,
        ),
        (
            failed(AckErrorName::Duplicate, "again"),
            r#"{"type":"ack","ackId":18446744073709551615,"success":false,"error":{"name":"Duplicate","message":"again"}}"#,
        ),
        (
            failed(AckErrorName::Forbidden, ""),
            r#"{"type":"ack","ackId":18446744073709551615,"success":false,"error":{"name":"Forbidden","message":""}}"#,
        ),
        (
            failed(AckErrorName::BadRequest, "b"),
            r#"{"type":"ack","ackId":18446744073709551615,"success":false,"error":{"name":"BadRequest","message":"b"}}"#,
        ),
        (
            failed(AckErrorName::InternalServerError, "i"),
            r#"{"type":"ack","ackId":18446744073709551615,"success":false,"error":{"name":"InternalServerError","message":"i"}}"#,
        ),
        (Response::Pong, r#"{"type":"pong"}"#),
        (
            Response::GroupMessage {
                group: "g",
                from_user_id: Some("u"),
                payload: &text,
                metadata: &none,
            },
            r#"{"type":"message","from":"group","group":"g","fromUserId":"u","dataType":"text","data":"ü\"\\\n"}"#,
        ),
        (
            Response::GroupMessage {
                group: "g\\",
                from_user_id: None,
                payload: &object,
                metadata: &some,
            },
            r#"{"type":"message","from":"group","group":"g\\","dataType":"json","data":{"a": [1, null]},"metadata":{"a":"","k":"v\""}}"#,
        ),
        (
            Response::ServerMessage {
                payload: &quoted,
                metadata: &none,
            },
            r#"{"type":"message","from":"server","dataType":"json","data":"hi"}"#,
        ),
        (
            Response::ServerMessage {
                payload: &binary,
                metadata: &some,
            },
            r#"{"type":"message","from":"server","dataType":"binary","data":"AAEC/w==","metadata":{"a":"","k":"v\""}}"#,
        ),
        (
            Response::ServerMessage {
                payload: &protobuf,
                metadata: &none,
            },
            r#"{"type":"message","from":"server","dataType":"protobuf","data":""}"#,
        ),
    ] {
        assert_eq!(encode(&response), expected);
    }
}

#[test]
fn responses_follow_each_other_in_one_buffer() {
    let mut out = Vec::new();
    Protocol::Json.encode(&Response::Pong, &mut out);
    Protocol::Json.encode(&Response::Pong, &mut out);
    assert_eq!(
        out,
        b"\x81\x0f{\"type\":\"pong\"}\x81\x0f{\"type\":\"pong\"}"
    );
}

#[test]
fn every_ascii_character_survives_in_a_string() {
    let all: String = (0..=0x7f).map(char::from).collect();
    let written = encode(&Response::Disconnected { reason: &all });
    let read: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(read["message"], all.as_str());
}

proptest! {
    #[test]
    fn serde_json_reads_what_was_meant(
        group: String, user: Option<String>, text: String, bytes: Vec<u8>, number: i64, ack_id: u64,
        metadata in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
    ) {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let tree = json!([number, {text.clone(): [text]}]);
        for (payload, data) in [
            (payload(DataType::Text, text.as_bytes()), json!(text)),
            (payload(DataType::Json, format!("{tree:#}").as_bytes()), tree),
            (payload(DataType::Binary, &bytes), json!(base64)),
            (payload(DataType::Protobuf, &bytes), json!(base64)),
        ] {
            let mut expected = json!({
                "type": "message", "from": "group", "group": group, "dataType": payload.data_type.name(), "data": data,
            });
            if let Some(user) = &user {
                expected["fromUserId"] = json!(user);
            }
            if !metadata.is_empty() {
                expected["metadata"] = json!(metadata);
            }
            let written = encode(&Response::GroupMessage {
                group: &group, from_user_id: user.as_deref(), payload: &payload, metadata: &metadata,
            });
            prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
        }
        let error = AckError { name: AckErrorName::Forbidden, message: &text };
        let written = encode(&Response::Ack { ack_id, outcome: Err(error) });
        let expected = json!({
            "type": "ack", "ackId": ack_id, "success": false, "error": {"name": "Forbidden", "message": text},
        });
        prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
    }

    #[test]
    fn what_is_written_is_read_back(text: String, bytes: Vec<u8>) {
        for sent in [
            payload(DataType::Text, text.as_bytes()),
            payload(DataType::Json, json!([text]).to_string().as_bytes()),
            payload(DataType::Binary, &bytes),
            payload(DataType::Protobuf, &bytes),
        ] {
            let written = encode(&Response::ServerMessage { payload: &sent, metadata: &Metadata::new() });
            let request = written.replacen(r#""type":"message","from":"server""#, r#""type":"event","event":"e""#, 1);
            let request = Protocol::Json.decode(MessageKind::Text, request.into()).unwrap();
            let Operation::Event { payload: read, .. } = request.operation else {
                return Err(TestCaseError::fail("another operation"));
            };
            prop_assert_eq!(read, sent);
        }
    }
}
