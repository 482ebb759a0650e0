//! The bytes of the protocol, written out: what is deployed must be understood for ever.

use headwater_upstream::v1::{self, event::Event, service_frame::Frame};
use prost::Message as _;

/// `ServiceFrame.event` (2) with `seq` (1), `id` (2) of connection `c` and number 2, and one of the kinds.
fn frame(kind: &[u8]) -> Vec<u8> {
    let event = [b"\x08\x01\x12\x05\x0a\x01c\x10\x02", kind].concat();
    let length = u8::try_from(event.len()).expect("one byte is enough");
    [&[0x12, length], &event[..]].concat()
}

fn event(kind: Event) -> v1::ServiceFrame {
    let event = v1::Event {
        seq: 1,
        id: Some(v1::EventId {
            connection_id: "c".into(),
            number: 2,
        }),
        event: Some(kind),
        ..v1::Event::default()
    };
    v1::ServiceFrame {
        frame: Some(Frame::Event(Box::new(event))),
    }
}

#[test]
fn s1_04_the_bytes_of_each_kind_of_event() {
    let connect = v1::Connect {
        subprotocols: vec!["p".into()],
        ..v1::Connect::default()
    };
    let message = v1::Message {
        name: "e".into(),
        payload: Some(v1::Payload {
            r#type: v1::DataType::Text.into(),
            data: "x".into(),
        }),
        metadata: [].into(),
    };
    let disconnected = v1::Disconnected { reason: "r".into() };
    let kinds: [(Event, &[u8]); 4] = [
        (Event::Connect(connect), b"\x52\x03\x22\x01p"),
        (Event::Connected(v1::Connected {}), b"\x5a\x00"),
        (
            Event::Message(message),
            b"\x62\x0a\x0a\x01e\x12\x05\x08\x01\x12\x01x",
        ),
        (Event::Disconnected(disconnected), b"\x6a\x03\x0a\x01r"),
    ];
    for (kind, bytes) in kinds {
        let bytes = frame(bytes);
        let value = event(kind);
        assert_eq!(value.encode_to_vec(), bytes, "{value:?}");
        assert_eq!(v1::ServiceFrame::decode(&bytes[..]), Ok(value));
    }
}
