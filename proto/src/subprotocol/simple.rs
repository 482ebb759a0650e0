//! Clients without a subprotocol, or with one of the application's own: a frame is a payload, and nothing else is said.

use super::*;
use crate::websocket::encode_message;

/// The event that a frame of a simple client is.
const EVENT: &str = "message";

pub(super) fn decode(kind: MessageKind, message: Bytes) -> Result<Request, Malformed> {
    let data_type = match kind {
        MessageKind::Text => DataType::Text,
        MessageKind::Binary => DataType::Binary,
    };
    if kind == MessageKind::Text && core::str::from_utf8(&message).is_err() {
        return Err(Malformed::content("the text is not UTF-8"));
    }
    Ok(Request {
        ack_id: None,
        operation: Operation::Event {
            name: String::from(EVENT),
            payload: Payload {
                data_type,
                data: message,
            },
            metadata: Metadata::new(),
        },
    })
}

pub(super) fn encode(response: &Response<'_>, out: &mut Vec<u8>) {
    let payload = match response {
        Response::GroupMessage { payload, .. } | Response::ServerMessage { payload, .. } => payload,
        Response::Connected { .. }
        | Response::Disconnected { .. }
        | Response::Ack { .. }
        | Response::Pong => return,
    };
    let kind = match payload.data_type {
        DataType::Text | DataType::Json => MessageKind::Text,
        DataType::Binary | DataType::Protobuf => MessageKind::Binary,
    };
    encode_message(kind, &payload.data, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn payload(data_type: DataType, data: &'static str) -> Payload {
        Payload {
            data_type,
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    #[test]
    fn every_frame_is_the_event_named_message() {
        for (kind, data_type) in [
            (MessageKind::Text, DataType::Text),
            (MessageKind::Binary, DataType::Binary),
        ] {
            let request = Protocol::Simple
                .decode(kind, Bytes::from_static(b"{}"))
                .unwrap();
            assert_eq!(request.ack_id, None);
            assert_eq!(
                request.operation,
                Operation::Event {
                    name: "message".into(),
                    payload: payload(data_type, "{}"),
                    metadata: Metadata::new(),
                }
            );
        }
    }

    #[test]
    fn text_that_is_not_utf8_closes_with_1007() {
        let error = Protocol::Simple
            .decode(MessageKind::Text, Bytes::from_static(b"\xff"))
            .unwrap_err();
        assert_eq!(error.close_code, 1007);
    }

    #[test]
    fn payloads_arrive_unwrapped_in_frames_of_their_kind() {
        let metadata = Metadata::from([("k".into(), "v".into())]);
        for (data_type, data, frame) in [
            (DataType::Text, "hi", &b"\x81\x02hi"[..]),
            (DataType::Json, "\"hi\"", b"\x81\x04\"hi\""),
            (DataType::Binary, "hi", b"\x82\x02hi"),
            (DataType::Protobuf, "hi", b"\x82\x02hi"),
            (DataType::Text, "", b"\x81\x00"),
        ] {
            let payload = payload(data_type, data);
            for response in [
                Response::GroupMessage {
                    group: "g",
                    from_user_id: Some("u"),
                    payload: &payload,
                    metadata: &metadata,
                },
                Response::ServerMessage {
                    payload: &payload,
                    metadata: &metadata,
                },
            ] {
                let mut out = vec![];
                Protocol::Simple.encode(&response, &mut out);
                assert_eq!(out, frame, "{data_type:?} {data}");
            }
        }
    }

    #[test]
    fn nothing_else_is_said() {
        let error = AckError {
            name: AckErrorName::Forbidden,
            message: "no",
        };
        for response in [
            Response::Connected {
                connection_id: "c",
                user_id: None,
            },
            Response::Disconnected { reason: "bye" },
            Response::Ack {
                ack_id: 1,
                outcome: Ok(()),
            },
            Response::Ack {
                ack_id: 1,
                outcome: Err(error),
            },
            Response::Pong,
        ] {
            let mut out = vec![];
            Protocol::Simple.encode(&response, &mut out);
            assert!(out.is_empty(), "{response:?} is encoded");
        }
    }
}
