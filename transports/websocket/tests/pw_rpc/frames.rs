//! Frames of RFC 6455 that must fail, and packets that are none: each ends its own socket at most.

use futures_util::SinkExt as _;
use headwater_proto::pw_rpc::PacketType;
use headwater_websocket::WebSocketServerConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{ECHO, Target, packet, with, within};

/// A frame of a client whose mask is zero, so that the payload stands there as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The close code that the server ends with. It says nothing before.
async fn close_code(raw: &mut TcpStream, name: &str) -> u16 {
    let mut rest = Vec::new();
    let reading = within(name, raw.read_to_end(&mut rest)).await;
    reading.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        rest.first(),
        Some(&0x88),
        "{name}: no close frame: {rest:?}"
    );
    u16::from_be_bytes([rest[2], rest[3]])
}

#[tokio::test]
async fn frames_that_must_fail_end_their_socket_with_the_right_code() {
    let long = 9 << 20;
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a reserved bit", frame(0xC2, b""), 1002),
        ("a reserved data opcode", frame(0x83, b""), 1002),
        ("a reserved control opcode", frame(0x8B, b""), 1002),
        ("a frame without a mask", vec![0x82, 0], 1002),
        ("a control frame in pieces", frame(0x09, b""), 1002),
        ("a long control frame", frame(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b""), 1002),
        (
            "a message within a message",
            [frame(0x02, b"a"), frame(0x82, b"b")].concat(),
            1002,
        ),
        (
            "a length that could be shorter",
            vec![0x82, 0x80 | 126, 0, 1, 0, 0, 0, 0, 1],
            1002,
        ),
        (
            "a length of 64 bits",
            vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            1002,
        ),
        ("half a close code", frame(0x88, &[3]), 1002),
        (
            "a close code for reports",
            frame(0x88, &1005u16.to_be_bytes()),
            1002,
        ),
        ("text that is not UTF-8", frame(0x81, &[0xFF]), 1007),
        (
            "a reason that is not UTF-8",
            frame(0x88, &[3, 0xE8, 0xFF]),
            1007,
        ),
        ("text", frame(0x81, b"hello"), 1003),
        (
            "a message over the limit",
            [&[0x82, 0xFF][..], &(long as u64).to_be_bytes(), &[0; 4]].concat(),
            1009,
        ),
        (
            "a message over the limit in pieces",
            [
                frame(0x02, &vec![0; 5 << 20]),
                frame(0x80, &vec![0; 5 << 20]),
            ]
            .concat(),
            1009,
        ),
    ];
    let target = Target::start().await;
    for (name, bytes, code) in cases {
        let mut raw = target.raw().await;
        // A call is open, which ends with the socket.
        let open = packet(PacketType::Request, crate::support::WAIT, 1);
        let open = frame(0x82, &open.to_bytes());
        raw.write_all(&open).await.expect("it is open");
        // A server that hangs up in the middle has had enough.
        let _ = raw.write_all(&bytes).await;
        assert_eq!(close_code(&mut raw, name).await, code, "{name}");
        target.is_as_before(name).await;
    }
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let close = frame(0x88, &4711u16.to_be_bytes());
    raw.write_all(&close).await.expect("it is open");
    assert_eq!(close_code(&mut raw, "a close").await, 4711);
    target.is_as_before("a close").await;
}

#[tokio::test]
async fn the_bound_of_a_message_can_be_set() {
    let target = Target::with(WebSocketServerConfig {
        message_bytes_max: Some(1000),
        ..WebSocketServerConfig::default()
    })
    .await;
    let mut raw = target.raw().await;
    let _ = raw.write_all(&frame(0x82, &[0; 1001])).await;
    assert_eq!(close_code(&mut raw, "1001 bytes").await, 1009);
}

/// Packets that are none, or are not for a server, are ignored, and the socket goes on.
#[tokio::test]
async fn packets_that_are_none_do_not_end_their_socket() {
    let target = Target::start().await;
    let mut peer = target.peer(Some("pw_rpc")).await;
    let mut no_channel = with(packet(PacketType::Request, ECHO, 1), "x");
    no_channel.channel_id = 0;
    let mut no_service = with(packet(PacketType::Request, ECHO, 1), "x");
    no_service.service_id = 0;
    let mut unknown = packet(PacketType::Request, ECHO, 1);
    unknown.r#type = 98;
    let packets: [(&str, Vec<u8>); 8] = [
        ("nothing", vec![]),
        ("no protobuf", vec![0xFF; 100]),
        ("a truncated packet", vec![0x2A, 200, 1]),
        ("no channel", no_channel.to_bytes().into()),
        ("no service", no_service.to_bytes().into()),
        (
            "for a client",
            packet(PacketType::Response, ECHO, 1).to_bytes().into(),
        ),
        (
            "of a call that is none",
            packet(PacketType::ClientError, ECHO, 1).to_bytes().into(),
        ),
        ("of no type", unknown.to_bytes().into()),
    ];
    for (call_id, (name, bytes)) in (10..).zip(packets) {
        let message = Message::Binary(bytes.into());
        peer.0.send(message).await.expect("it is open");
        peer.is_served(call_id, name).await;
        target.good.is_served(name).await;
    }
}
