//! S1-04: the bytes of each kind of event on the link, field by field. (The seed's own wire has a suite of its own.)

use headwater_upstream::v1;
use prost::Message as _;

use crate::support::*;

/// One field, length-delimited, by hand.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

fn varint_field(number: u8, value: u64) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3);
    out.extend(varint(value));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// `ServiceFrame { event }`, with the time left as it came, for that is the clock's.
fn frame(
    seq: u64,
    id: &str,
    number: u64,
    context: &[u8],
    left: u32,
    body: (u8, Vec<u8>),
) -> Vec<u8> {
    let id = [field(1, id.as_bytes()), varint_field(2, number)].concat();
    let mut event = [varint_field(1, seq), field(2, &id), field(4, context)].concat();
    if left > 0 {
        event.extend(varint_field(5, left.into()));
    }
    event.extend(field(body.0, &body.1));
    field(2, &event)
}

async fn raw(link: &mut Link) -> (Vec<u8>, v1::Event) {
    let mut batch = Vec::new();
    let next = link.receiver.next_batch(&mut batch);
    let count = soon("a frame", next).await.expect("the link goes on");
    assert_eq!(count, 1, "one event at a time in this test");
    let frame = v1::ServiceFrame::decode(batch[0].clone()).expect("decodable");
    match frame.frame {
        Some(v1::service_frame::Frame::Event(event)) => (batch[0].to_vec(), *event),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn s1_04_the_bytes_of_each_kind_of_event() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut knock = stage.knock("chat");
    knock.query = "&q=1".into();
    let entering = tokio::spawn(knock.enter());
    let (bytes, event) = raw(&mut link).await;
    let id = event.id.clone().expect("an id").connection_id;
    let Some(v1::event::Event::Connect(connect)) = &event.event else {
        panic!("{event:?}");
    };
    // claims = 1, query = 2, headers = 3 (maps), subprotocols = 4.
    let entry = |number, name: &str, values: &v1::Values| {
        let all: Vec<u8> = values
            .values
            .iter()
            .flat_map(|value| field(1, value.as_bytes()))
            .collect();
        field(
            number,
            &[field(1, name.as_bytes()), field(2, &all)].concat(),
        )
    };
    let mut body = Vec::new();
    for (number, map) in [
        (1, &connect.claims),
        (2, &connect.query),
        (3, &connect.headers),
    ] {
        body.extend(
            map.iter()
                .flat_map(|(name, values)| entry(number, name, values)),
        );
    }
    assert_eq!(connect.query.len(), 1);
    body.extend(field(4, JSON.as_bytes()));
    let ada = field(1, b"ada");
    assert_eq!(
        bytes,
        frame(1, &id, 1, &ada, event.time_left_ms, (10, body)),
        "connect"
    );
    link.accept(&event);

    let context = [ada, field(2, JSON.as_bytes())].concat();
    let (bytes, event) = raw(&mut link).await;
    assert_eq!(
        bytes,
        frame(2, &id, 2, &context, 0, (11, Vec::new())),
        "connected"
    );
    link.settle(&event);

    let mut client = entering.await.expect("let in");
    client.event("say", "hello", 1).await;
    let (bytes, event) = raw(&mut link).await;
    let payload = [varint_field(1, 1), field(2, b"hello")].concat();
    let body = [field(1, b"say"), field(2, &payload)].concat();
    assert_eq!(
        bytes,
        frame(3, &id, 3, &context, event.time_left_ms, (12, body)),
        "message"
    );
    link.reply(&event, "x");
    link.settle(&event);
    client.json().await;

    client.leave().await;
    let (bytes, _) = raw(&mut link).await;
    let body = field(1, b"the client closed the connection");
    assert_eq!(
        bytes,
        frame(4, &id, 4, &context, 0, (13, body)),
        "disconnected"
    );
}
