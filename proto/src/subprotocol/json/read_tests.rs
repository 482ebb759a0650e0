use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::subprotocol::*;
use crate::websocket::MessageKind;

fn decode(message: &str) -> Result<Request, Malformed> {
    Protocol::Json.decode(
        MessageKind::Text,
        Bytes::copy_from_slice(message.as_bytes()),
    )
}

fn accepted(message: &str) -> Request {
    match decode(message) {
        Ok(request) => request,
        Err(error) => panic!("{message} is refused: {error:?}"),
    }
}

fn refused(message: &str) -> Malformed {
    match decode(message) {
        Ok(request) => panic!("{message} is accepted: {request:?}"),
        Err(error) => error,
    }
}

fn payload(data_type: DataType, data: impl AsRef<[u8]>) -> Payload {
    Payload {
        data_type,
        data: Bytes::copy_from_slice(data.as_ref()),
    }
}

fn to_group(payload: Payload) -> Operation {
    Operation::SendToGroup {
        group: "g".into(),
        payload,
        no_echo: false,
        metadata: Metadata::new(),
    }
}

#[test]
fn every_request_is_read() {
    let metadata = Metadata::from([("k".into(), "v".into()), ("l".into(), String::new())]);
    for (message, ack_id, operation) in [
        (
            r#"{"type":"joinGroup","group":"g","ackId":1}"#,
            Some(1),
            Operation::JoinGroup { group: "g".into() },
        ),
        (
            r#"{"type":"joinGroup","group":"g"}"#,
            None,
            Operation::JoinGroup { group: "g".into() },
        ),
        (
            r#"{"type":"leaveGroup","group":"g","ackId":2}"#,
            Some(2),
            Operation::LeaveGroup { group: "g".into() },
        ),
        (
            r#"{"type":"sendToGroup","group":"g","dataType":"text","data":"hi","noEcho":true,"ackId":3}"#,
            Some(3),
            Operation::SendToGroup {
                group: "g".into(),
                payload: payload(DataType::Text, "hi"),
                no_echo: true,
                metadata: Metadata::new(),
            },
        ),
        (
            r#"{"type":"event","event":"e","dataType":"json","data":{"a":[1]},"ackId":4,"metadata":{"l":"","k":"v"}}"#,
            Some(4),
            Operation::Event {
                name: "e".into(),
                payload: payload(DataType::Json, r#"{"a":[1]}"#),
                metadata,
            },
        ),
        (r#"{"type":"ping"}"#, None, Operation::Ping),
        (r#"{"type":"ping","ackId":5}"#, None, Operation::Ping),
        (
            r#"{"type":"sequenceAck","sequenceId":5}"#,
            None,
            Operation::Nothing,
        ),
    ] {
        assert_eq!(
            accepted(message),
            Request { ack_id, operation },
            "{message}"
        );
    }
}

#[test]
fn data_is_what_the_data_type_says() {
    for (properties, expected) in [
        (
            r#""dataType":"text","data":"a\n\u00fc\ud83d\ude00""#,
            payload(DataType::Text, "a\nü😀"),
        ),
        (
            r#""dataType":"text","data":"""#,
            payload(DataType::Text, ""),
        ),
        (
            r#""dataType":"json","data":"hi""#,
            payload(DataType::Json, r#""hi""#),
        ),
        (
            r#""dataType":"binary","data":"AAEC""#,
            payload(DataType::Binary, [0, 1, 2]),
        ),
        (
            r#""dataType":"binary","data":"+\/8=""#,
            payload(DataType::Binary, [0xfb, 0xff]),
        ),
        (
            r#""dataType":"binary","data":"""#,
            payload(DataType::Binary, ""),
        ),
        (
            r#""dataType":"protobuf","data":"CgE=""#,
            payload(DataType::Protobuf, [10, 1]),
        ),
        (r#""data": [1 , 2] "#, payload(DataType::Json, "[1 , 2]")),
        (r#""data":null"#, payload(DataType::Json, "null")),
        (r#""dataType":null,"data":1"#, payload(DataType::Json, "1")),
        (r#""data":1e999"#, payload(DataType::Json, "1e999")),
        (r#""data":"\ud800""#, payload(DataType::Json, r#""\ud800""#)),
    ] {
        let message = format!(r#"{{"type":"sendToGroup","group":"g",{properties}}}"#);
        assert_eq!(
            accepted(&message).operation,
            to_group(expected),
            "{message}"
        );
    }
}

#[test]
fn type_and_data_type_have_no_case() {
    let request =
        accepted(r#"{"TYPE":1,"type":"SENDtogroup","group":"G","dataType":"TeXt","data":"A"}"#);
    let Operation::SendToGroup {
        group,
        payload: sent,
        ..
    } = request.operation
    else {
        panic!("{request:?}");
    };
    assert_eq!(group, "G", "a group has case");
    assert_eq!(sent, payload(DataType::Text, "A"));
}

#[test]
fn payloads_share_the_bytes_of_the_message() {
    for (message, part) in [
        (
            r#"{"type":"event","event":"e","data":{"a":1}}"#,
            r#"{"a":1}"#,
        ),
        (
            r#"{"type":"event","event":"e","dataType":"text","data":"plain"}"#,
            "plain",
        ),
    ] {
        let bytes = Bytes::from_static(message.as_bytes());
        let start = bytes.as_ptr() as usize + message.find(part).unwrap();
        let request = Protocol::Json.decode(MessageKind::Text, bytes).unwrap();
        let Operation::Event { payload, .. } = request.operation else {
            panic!("{request:?}");
        };
        assert_eq!(payload.data, part);
        assert_eq!(
            payload.data.as_ptr() as usize,
            start,
            "{message} was copied"
        );
    }
}

#[test]
fn an_ack_id_has_64_bits() {
    for ack_id in [0, 1, (1 << 53) + 1, u64::MAX] {
        let message = format!(r#"{{"type":"joinGroup","group":"g","ackId":{ack_id}}}"#);
        assert_eq!(accepted(&message).ack_id, Some(ack_id));
    }
    assert_eq!(
        accepted(r#"{"type":"joinGroup","group":"g","ackId":null}"#).ack_id,
        None
    );
    for ack_id in ["-1", "1.0", "18446744073709551616", r#""1""#, "true", "1e3"] {
        refused(&format!(
            r#"{{"type":"joinGroup","group":"g","ackId":{ack_id}}}"#
        ));
    }
}

#[test]
fn keys_may_be_escaped_and_unknown_ones_are_ignored() {
    let request = accepted(
        r#" {"x":{"type":"ping"},"\u0074ype":"event","event":"e","d\u0061ta":7,"y":[[[]]],"z":null} "#,
    );
    assert_eq!(
        request.operation,
        Operation::Event {
            name: "e".into(),
            payload: payload(DataType::Json, "7"),
            metadata: Metadata::new(),
        }
    );
}

#[test]
fn metadata_alone_stands_for_empty_text() {
    let request = accepted(r#"{"type":"event","event":"e","metadata":{"k":"v"}}"#);
    assert_eq!(
        request.operation,
        Operation::Event {
            name: "e".into(),
            payload: payload(DataType::Text, ""),
            metadata: Metadata::from([("k".into(), "v".into())]),
        }
    );
    refused(r#"{"type":"event","event":"e","metadata":{}}"#);
    refused(r#"{"type":"event","event":"e"}"#);
}

#[test]
fn what_is_not_offered_is_unsupported_and_keeps_its_ack_id() {
    for (message, kind, ack_id) in [
        (
            r#"{"type":"invoke","invocationId":"i","target":"event","event":"e","data":1}"#,
            "invoke",
            None,
        ),
        (
            r#"{"type":"cancelInvocation","invocationId":"i"}"#,
            "cancelInvocation",
            None,
        ),
        (
            r#"{"type":"sendToGroup","group":"g","stream":{"streamId":"s"}}"#,
            "stream",
            None,
        ),
        (
            r#"{"type":"streamData","streamId":"s","streamSequenceId":1,"dataType":"text","data":""}"#,
            "streamData",
            None,
        ),
        (
            r#"{"type":"streamEnd","streamId":"s","error":{"message":"m"}}"#,
            "streamEnd",
            None,
        ),
        (
            r#"{"type":"setGroupState","group":"g","state":{"a":"b"},"ackId":1}"#,
            "setGroupState",
            Some(1),
        ),
        (
            r#"{"type":"subscribeGroupState","group":"g","ackId":2}"#,
            "subscribeGroupState",
            Some(2),
        ),
        (
            r#"{"type":"unsubscribeGroupState","group":"g","ackId":3}"#,
            "unsubscribeGroupState",
            Some(3),
        ),
    ] {
        let operation = Operation::Unsupported { kind };
        assert_eq!(
            accepted(message),
            Request { ack_id, operation },
            "{message}"
        );
    }
}

#[test]
fn a_value_that_cannot_be_served_is_invalid_and_keeps_its_ack_id() {
    let long = "g".repeat(1025);
    let properties = [
        r#""type":"joinGroup","group":"""#.into(),
        r#""type":"leaveGroup","group":"  ""#.into(),
        format!(r#""type":"joinGroup","group":"{long}""#),
        r#""type":"sendToGroup","group":"a\u0000b","data":1"#.into(),
        r#""type":"sendToGroup","group":"g","data":1,"ttlSeconds":301"#.into(),
        r#""type":"sendToGroup","group":"g","data":1,"ttlSeconds":-1"#.into(),
        r#""type":"sendToGroup","group":"g","data":1,"metadata":{"a b":"c"}"#.into(),
        r#""type":"event","event":"1","data":1"#.into(),
        r#""type":"event","event":"a b","data":1"#.into(),
        r#""type":"event","event":"e","data":1,"metadata":{"a":"\n"}"#.to_string(),
    ];
    for properties in properties {
        let request = accepted(&format!(r#"{{{properties},"ackId":9}}"#));
        assert_eq!(request.ack_id, Some(9));
        let invalid = matches!(request.operation, Operation::Invalid { .. });
        assert!(invalid, "{properties}: {request:?}");
    }
}

#[test]
fn ttl_seconds_are_0_to_300() {
    for seconds in [0, 1, 300] {
        let message =
            format!(r#"{{"type":"sendToGroup","group":"g","data":1,"ttlSeconds":{seconds}}}"#);
        assert_eq!(
            accepted(&message).operation,
            to_group(payload(DataType::Json, "1"))
        );
    }
}

#[test]
fn malformed_messages_close_with_1007() {
    for message in [
        "",
        " ",
        "{",
        "}",
        "[]",
        "null",
        "1",
        r#""ping""#,
        "{}",
        "{}{}",
        r#"{"type":"ping"} x"#,
        r#"{"type":"ping"}{"type":"ping"}"#,
        r#"{"type":"ping",}"#,
        r#"{'type':'ping'}"#,
        r#"{"type":1}"#,
        r#"{"type":null}"#,
        r#"{"type":""}"#,
        r#"{"type":"nonsense"}"#,
        r#"{"type":"pingg"}"#,
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"joinGroup"}"#,
        r#"{"type":"joinGroup","group":1}"#,
        r#"{"type":"joinGroup","group":null}"#,
        r#"{"type":"joinGroup","group":"a","group":"b"}"#,
        r#"{"type":"joinGroup","group":"\ud800"}"#,
        "{\"type\":\"joinGroup\",\"group\":\"a\nb\"}",
        r#"{"type":"sendToGroup","group":"g"}"#,
        r#"{"type":"sendToGroup","data":1}"#,
        r#"{"type":"sendToGroup","group":"g","data":1,"data":2}"#,
        r#"{"type":"sendToGroup","group":"g","data":1,"noEcho":"yes"}"#,
        r#"{"type":"sendToGroup","group":"g","data":1,"ttlSeconds":"1"}"#,
        r#"{"type":"sendToGroup","group":"g","data":1,"metadata":{"a":1}}"#,
        r#"{"type":"sendToGroup","group":"g","data":1,"metadata":[]}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"xml","data":"a"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":1,"data":"a"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"text","data":1}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"text","data":null}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"text","data":"\ud800"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"text","data":"\x"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":"A"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":"AA"}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":"A A="}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":"-_8="}"#,
        r#"{"type":"sendToGroup","group":"g","dataType":"binary","data":[1]}"#,
        r#"{"type":"sendToGroup","group":"g","data":01}"#,
        r#"{"type":"sendToGroup","group":"g","data":nul}"#,
        r#"{"type":"event","data":1}"#,
        r#"{"type":"event","event":"e"}"#,
        r#"{"type":"event","event":{},"data":1}"#,
    ] {
        assert_eq!(refused(message).close_code, 1007, "{message}");
    }
    let error = Protocol::Json
        .decode(
            MessageKind::Text,
            Bytes::from_static(b"{\"type\":\"ping\",\"x\":\"\xff\"}"),
        )
        .unwrap_err();
    assert_eq!(error.close_code, 1007, "text that is not UTF-8");
}

#[test]
fn a_binary_frame_closes_with_1003() {
    let error = Protocol::Json
        .decode(
            MessageKind::Binary,
            Bytes::from_static(b"{\"type\":\"ping\"}"),
        )
        .unwrap_err();
    assert_eq!(error.close_code, 1003);
}

#[test]
fn a_reason_fits_a_close_frame_and_repeats_nothing() {
    let secret = "s3cret".repeat(100);
    for message in [
        secret.clone(),
        format!(r#"{{"type":"{secret}"}}"#),
        format!(r#"{{"type":"ping","ackId":"{secret}"}}"#),
        format!(r#"{{"type":"joinGroup","{secret}":1,"group":2}}"#),
    ] {
        let reason = refused(&message).reason;
        assert!(reason.len() <= 123, "{reason}");
        assert!(!reason.contains("s3cret"), "{reason}");
    }
}

#[test]
fn r5_21_depth_is_capped_without_recursion() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let message = |data| format!(r#"{{"type":"event","event":"e","data":{data}}}"#);
    accepted(&message(nested(128)));
    refused(&message(nested(129)));
    refused(&message(nested(100_000)));
    refused(&"[".repeat(100_000));
    refused(&r#"{"a":"#.repeat(100_000));
    accepted(&format!(r#"{{"type":"ping","x":{}}}"#, nested(100_000)));
}

/// Any JSON value; the numbers are integers, so that comparing is exact.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn serde_json_reads_the_same(
        group in "[^\\p{Cc}]{1,40}", text: String, data in any_json(), bytes: Vec<u8>, ack_id: Option<u64>,
        no_echo: bool, metadata in prop::collection::btree_map("[a-z]{1,5}", "[ -~]{0,9}", 0..4),
    ) {
        prop_assume!(group_name_is_valid(&group));
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
        for (data_type, value) in [
            (DataType::Text, json!(text)),
            (DataType::Json, data),
            (DataType::Binary, json!(base64)),
        ] {
            let message = json!({
                "type": "sendToGroup", "group": group, "dataType": data_type.name(), "data": value,
                "ackId": ack_id, "noEcho": no_echo, "metadata": metadata,
            });
            let request = decode(&message.to_string()).unwrap();
            prop_assert_eq!(request.ack_id, ack_id);
            let Operation::SendToGroup { group: read, payload, no_echo: echo, metadata: pairs } = request.operation else {
                return Err(TestCaseError::fail("another operation"));
            };
            prop_assert_eq!(&read, &group);
            prop_assert_eq!(echo, no_echo);
            prop_assert_eq!(&pairs, &metadata);
            match data_type {
                DataType::Text => prop_assert_eq!(&payload.data[..], text.as_bytes()),
                DataType::Json => {
                    prop_assert_eq!(&serde_json::from_slice::<Value>(&payload.data).unwrap(), &value);
                }
                DataType::Binary | DataType::Protobuf => prop_assert_eq!(&payload.data[..], &bytes[..]),
            }
            prop_assert_eq!(payload.check(), Ok(()));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0_usize..120, at in 0_usize..120, byte: u8) {
        let _ = Protocol::Json.decode(MessageKind::Text, bytes.into());
        let valid = br#"{"type":"sendToGroup","group":"g\u00fc","dataType":"binary","data":"AAEC","ackId":18446744073709551615,"x":[{}]}"#;
        let mut bent = vec![];
        bent.extend_from_slice(valid);
        let at = at % bent.len();
        bent[at] = byte;
        bent.truncate(valid.len().saturating_sub(cut % 40));
        if let Ok(request) = Protocol::Json.decode(MessageKind::Text, bent.into())
            && let Operation::SendToGroup { payload, .. } = request.operation
        {
            prop_assert_eq!(payload.check(), Ok(()));
        }
    }
}
