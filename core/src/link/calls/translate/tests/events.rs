use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

use bytes::Bytes;
use headwater_proto::{
    Code,
    v1::{self, DataType, event::Event},
    wps_rpc,
};
use proptest::{collection, option, prelude::*};
use prost::Message as _;

use super::payload_of;
use crate::link::calls::translate::{event, streaming_request};

fn texts() -> impl Strategy<Value = Vec<String>> {
    collection::vec(".{0,8}", 0..3)
}

fn values() -> impl Strategy<Value = BTreeMap<String, v1::Values>> {
    let values = texts().prop_map(|values| v1::Values { values });
    collection::btree_map(".{0,8}", values, 0..3)
}

fn connects() -> impl Strategy<Value = Event> {
    let certificate =
        (".{0,8}", ".{0,8}").prop_map(|(thumbprint, content)| v1::ClientCertificate {
            thumbprint,
            content,
        });
    let certificates = collection::vec(certificate, 0..3);
    (values(), values(), values(), texts(), certificates).prop_map(
        |(claims, query, headers, subprotocols, client_certificates)| {
            Event::Connect(v1::Connect {
                claims,
                query,
                headers,
                subprotocols,
                client_certificates,
            })
        },
    )
}

fn payloads() -> impl Strategy<Value = v1::Payload> {
    prop_oneof![
        ".{0,8}".prop_map(|text| (DataType::Text, Bytes::from(text))),
        Just((DataType::Json, Bytes::from_static(b"[1]"))),
        collection::vec(any::<u8>(), 0..8).prop_map(|data| (DataType::Binary, data.into())),
        collection::vec(any::<u8>(), 0..8).prop_map(|data| (DataType::Protobuf, data.into())),
    ]
    .prop_map(|(data_type, data)| v1::Payload {
        r#type: data_type.into(),
        data,
    })
}

fn messages() -> impl Strategy<Value = Event> {
    let metadata = collection::btree_map(".{0,8}", ".{0,8}", 0..3);
    (".{0,8}", option::of(payloads()), metadata).prop_map(|(name, payload, metadata)| {
        Event::Message(v1::Message {
            name,
            payload,
            metadata,
        })
    })
}

fn contexts() -> impl Strategy<Value = v1::ConnectionContext> {
    let state = collection::vec(any::<u8>(), 0..8);
    (option::of(".{0,8}"), ".{0,8}", state).prop_map(|(user_id, subprotocol, state)| {
        v1::ConnectionContext {
            user_id,
            subprotocol,
            state: state.into(),
        }
    })
}

fn events() -> impl Strategy<Value = v1::Event> {
    let kinds = prop_oneof![
        connects(),
        Just(Event::Connected(v1::Connected {})),
        messages(),
        ".{0,8}".prop_map(|reason| Event::Disconnected(v1::Disconnected { reason })),
    ];
    let id = (".{0,8}", any::<u64>()).prop_map(|(connection_id, number)| v1::EventId {
        connection_id,
        number,
    });
    let trace = (".{1,8}", ".{0,8}").prop_map(|(traceparent, tracestate)| v1::TraceContext {
        traceparent,
        tracestate,
    });
    let rest = (any::<u64>(), any::<bool>(), any::<u32>());
    (id, rest, contexts(), option::of(trace), kinds).prop_map(
        |(id, (seq, redelivered, time_left_ms), context, trace, kind)| v1::Event {
            seq,
            id: Some(id),
            redelivered,
            context: Some(context),
            time_left_ms,
            trace,
            event: Some(kind),
        },
    )
}

proptest! {
    /// S1-18 of this mapping: every field that an event has.
    #[test]
    fn s1_18_an_event_is_the_same_after_the_way_there_and_back(ours in events()) {
        let theirs = streaming_request(ours.clone(), "chat").expect("a payload of its type");
        let theirs = theirs.expect("a known kind");
        let over_the_wire = wps_rpc::StreamingRequest::decode(&theirs.encode_to_vec()[..]);
        prop_assert_eq!(over_the_wire.as_ref(), Ok(&theirs));
        prop_assert_eq!(event(theirs, ours.seq), Some(ours));
    }
}

#[test]
fn a_kind_that_is_not_known_and_a_payload_that_is_none_are_told_apart() {
    let unknown = v1::Event::default();
    assert_eq!(streaming_request(unknown, "chat"), Ok(None));
    assert_eq!(event(wps_rpc::StreamingRequest::default(), 1), None);
    let mislabelled = v1::Event {
        event: Some(Event::Message(v1::Message {
            payload: Some(payload_of(DataType::Text, b"\xff")),
            ..v1::Message::default()
        })),
        ..v1::Event::default()
    };
    let refused = streaming_request(mislabelled, "chat").expect_err("not UTF-8");
    assert_eq!(refused.code, Code::InvalidArgument);
}

/// One field, length-delimited, by hand; short ones only.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).expect("short")];
    out.extend(bytes);
    out
}

/// S1-04 of this mapping: the seed's numbers 1 to 4, and field 1 of each kind, a placeholder there, never sent.
#[test]
fn s1_04_the_bytes_of_each_kind_of_event() {
    let values = |value: &str| v1::Values {
        values: vec![value.into()],
    };
    let entry = |name: &[u8], value: &[u8]| [field(1, name), field(2, &field(1, value))].concat();
    let certificate = v1::ClientCertificate {
        thumbprint: "AB".into(),
        content: "PEM".into(),
    };
    let connect = v1::Connect {
        claims: [("a".into(), values("1"))].into(),
        query: [("b".into(), values("2"))].into(),
        headers: [("c".into(), values("3"))].into(),
        subprotocols: vec!["json".into()],
        client_certificates: vec![certificate],
    };
    let connect_bytes = [
        field(4, &entry(b"a", b"1")),
        field(5, &entry(b"b", b"2")),
        field(6, &entry(b"c", b"3")),
        field(7, b"json"),
        field(8, &[field(1, b"AB"), field(2, b"PEM")].concat()),
    ];
    let said = v1::Message {
        name: "say".into(),
        payload: Some(payload_of(DataType::Text, b"hi")),
        metadata: [("k".into(), "v".into())].into(),
    };
    let said_bytes = [
        field(4, b"say"),
        field(5, &field(1, b"hi")),
        field(6, &[field(1, b"k"), field(2, b"v")].concat()),
    ];
    let reason = Event::Disconnected(v1::Disconnected {
        reason: "bye".into(),
    });
    let cases: [(u8, Event, Vec<u8>); 4] = [
        (1, Event::Connect(connect), connect_bytes.concat()),
        (2, Event::Connected(v1::Connected {}), Vec::new()),
        (3, Event::Message(said), said_bytes.concat()),
        (4, reason, field(4, b"bye")),
    ];
    let context_bytes = [
        &b"\x08\x05\x10\x01"[..],
        &field(3, b"ada"),
        &field(4, b"json"),
        &field(5, b"\xff"),
        b"\x30\x07",
        &field(7, b"00-1"),
        &field(8, b"x=y"),
        &field(15, b"chat"),
    ];
    for (number, kind, body) in cases {
        let ours = v1::Event {
            seq: 77,
            id: Some(v1::EventId {
                connection_id: "id".into(),
                number: 5,
            }),
            redelivered: true,
            context: Some(v1::ConnectionContext {
                user_id: Some("ada".into()),
                subprotocol: "json".into(),
                state: Bytes::from_static(b"\xff"),
            }),
            time_left_ms: 7,
            trace: Some(v1::TraceContext {
                traceparent: "00-1".into(),
                tracestate: "x=y".into(),
            }),
            event: Some(kind),
        };
        let request = streaming_request(ours, "chat").expect("valid");
        let bytes = request.expect("a known kind").encode_to_vec();
        let event = [field(2, b"id"), field(3, &context_bytes.concat()), body].concat();
        assert_eq!(bytes, field(number, &event), "kind {number}");
    }
}
