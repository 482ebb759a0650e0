//! What our client puts on the wire, byte by byte.

use std::collections::BTreeSet;

use headwater_proto::{
    Metadata,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::CallOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::{Good, TALK, within};

/// A frame as it came, with its mask taken off.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    first: u8,
    key: [u8; 4],
    payload: Vec<u8>,
}

/// Reads one frame, which has to be masked and shorter than 64 KiB.
async fn frame(stream: &mut TcpStream) -> Frame {
    let read = async {
        let first = stream.read_u8().await?;
        let second = stream.read_u8().await?;
        assert_ne!(second & 0x80, 0, "a client's frame is masked");
        let length = match second & 0x7f {
            126 => usize::from(stream.read_u16().await?),
            length => usize::from(length),
        };
        let mut key = [0; 4];
        stream.read_exact(&mut key).await?;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[index % 4];
        }
        std::io::Result::Ok(Frame {
            first,
            key,
            payload,
        })
    };
    within("a frame", read).await.expect("it is open")
}

fn packet(frame: Frame) -> RpcPacket {
    assert_eq!(frame.first, 0x82, "a whole binary message: {frame:?}");
    RpcPacket::read(frame.payload.into()).expect("a packet")
}

/// Takes a connection and answers its handshake, with these bytes directly behind the answer.
async fn accept(listener: &TcpListener, behind: &[u8]) -> TcpStream {
    let (mut stream, _) = within("a client", listener.accept()).await.expect("one");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(within("a request", stream.read_u8()).await.expect("more"));
    }
    let request = String::from_utf8(request).expect("text");
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let accept = derive_accept_key(key.expect("a key").as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: headwater.v1.pw_rpc\r\n\r\n"
    );
    let said = [answer.as_bytes(), behind].concat();
    stream.write_all(&said).await.expect("it is open");
    stream
}

async fn listener() -> (TcpListener, Good) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let good = Good::new(listener.local_addr().expect("it is bound"));
    (listener, good)
}

/// Frames that come together with the answer to the handshake are for the connection; a ping is answered with its bytes,
/// and a close frame with its code.
#[tokio::test]
async fn frames_behind_the_handshake_are_answered() {
    let (listener, good) = listener().await;
    let call = good.0.call(TALK, Metadata::new(), CallOptions::default());
    let (call, mut stream) = tokio::join!(call, accept(&listener, b"\x89\x05hello"));
    let _call = call.expect("it opens");
    let (mut pong, mut request) = (frame(&mut stream).await, frame(&mut stream).await);
    if pong.first != 0x8a {
        std::mem::swap(&mut pong, &mut request);
    }
    assert_eq!((pong.first, &pong.payload[..]), (0x8a, &b"hello"[..]));
    assert_eq!(packet(request).r#type(), PacketType::Request);
    // 3001, in two bytes.
    stream.write_all(b"\x88\x02\x0b\xb9").await.expect("open");
    let close = frame(&mut stream).await;
    assert_eq!((close.first, &close.payload[..]), (0x88, &b"\x0b\xb9"[..]));
}

/// Each frame has a key of its own, and is one packet, however many messages were sent at once.
#[tokio::test]
async fn every_message_is_a_frame_with_a_key_of_its_own() {
    const MESSAGES: usize = 200;
    let (listener, good) = listener().await;
    let call = good.0.call(TALK, Metadata::new(), CallOptions::default());
    let (call, mut stream) = tokio::join!(call, accept(&listener, b""));
    let (sender, _receiver) = call.expect("it opens");
    let request = frame(&mut stream).await;
    let mut keys = BTreeSet::from([request.key]);
    assert_eq!(packet(request).r#type(), PacketType::Request);
    let messages: Vec<bytes::Bytes> = (0..MESSAGES)
        .map(|index| vec![b'm'; index].into())
        .collect();
    assert_eq!(sender.try_send_all(messages.clone()), Ok(MESSAGES));
    for message in messages {
        let frame = frame(&mut stream).await;
        keys.insert(frame.key);
        let packet = packet(frame);
        assert_eq!(packet.r#type(), PacketType::ClientStream);
        assert_eq!(packet.payload, message, "in order, whole");
    }
    // Of so few keys of four bytes hardly ever two are the same.
    assert!(keys.len() + 2 > MESSAGES, "only {} keys", keys.len());
}
