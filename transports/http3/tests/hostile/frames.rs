//! Frames that have no place where they are: they end their connection (RFC 9114, 7.2), and no other.

use headwater_http3::Http3ServerConfig;

use crate::support::{
    self, ECHO, STREAM, raw, serve, unary,
    wire::{DATA, GOAWAY, HEADERS, SETTINGS, frame, message, request, trailers, varint},
};

#[tokio::test]
async fn misplaced_frames_on_a_request_end_their_connection() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let after = |bytes: Vec<u8>| [request(STREAM, &[]), bytes].concat();
    let cases: Vec<(&str, Vec<u8>, u64)> = vec![
        ("DATA first", message(b"x"), 0x105),
        ("SETTINGS", frame(SETTINGS, &[]), 0x105),
        ("GOAWAY after headers", after(frame(GOAWAY, &[0])), 0x105),
        ("PUSH_PROMISE", after(frame(0x5, &[0, 0])), 0x105),
        ("a type of HTTP/2", after(frame(0x8, &[0; 4])), 0x105),
        (
            "DATA after trailers",
            after([trailers("0"), message(b"x")].concat()),
            0x105,
        ),
        (
            "HEADERS after trailers",
            after([trailers("0"), trailers("0")].concat()),
            0x105,
        ),
        (
            "an end within a frame",
            after([varint(DATA), varint(5), vec![0]].concat()),
            0x106,
        ),
        (
            "an end within a head",
            after(varint(1 << 20)[..2].to_vec()),
            0x106,
        ),
    ];
    for (what, bytes, code) in cases {
        let client = raw::connect(&fixture).await;
        let (mut send, _recv) = client.send(&bytes).await;
        let _ = send.finish();
        assert_eq!(client.closed().await, code, "{what}");
        assert_eq!(
            unary(&good, ECHO, what).await,
            Ok(what.into()),
            "beside {what}"
        );
    }
}

#[tokio::test]
async fn frames_that_nobody_knows_say_nothing() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let client = raw::connect(&fixture).await;
    let unknown = frame(0x21 + 0x1f * 7, &[9; 100_000]);
    let bytes = [
        unknown.clone(),
        request(ECHO, &[]),
        unknown.clone(),
        frame(DATA, &[]),
        message(b"x"),
        unknown,
    ];
    let (mut send, mut recv) = client.send(&bytes.concat()).await;
    let _ = send.finish();
    let answer = raw::read(&mut recv).await.expect("it is answered");
    assert!(
        answer.windows(6).any(|at| at == b"\0\0\0\0\x01x"),
        "{answer:x?}"
    );
}

#[tokio::test]
async fn streams_of_the_connection_are_what_they_say() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let settings = || [vec![0], frame(SETTINGS, &[])].concat();
    let long = [vec![0], varint(SETTINGS), varint(1 << 30), vec![0; 100]].concat();
    let later = [settings(), varint(0x21), varint(1 << 20)].concat();
    let cases: Vec<(&str, Vec<Vec<u8>>, u64)> = vec![
        ("two control streams", vec![settings(), settings()], 0x103),
        (
            "no settings",
            vec![[vec![0], frame(GOAWAY, &[0])].concat()],
            0x10a,
        ),
        ("settings of 1 GiB", vec![long], 0x107),
        ("a long frame after them", vec![later], 0x107),
        (
            "HEADERS on it",
            vec![[settings(), frame(HEADERS, &[0, 0])].concat()],
            0x105,
        ),
        (
            "an insertion",
            vec![settings(), vec![2, 0xC0, 1, b'x']],
            0x201,
        ),
        (
            "a capacity",
            vec![settings(), vec![2, 0x3F, 0xE1, 0x1F]],
            0x201,
        ),
        ("an acknowledgement", vec![settings(), vec![3, 0x80]], 0x202),
        ("two encoders", vec![settings(), vec![2], vec![2]], 0x103),
    ];
    for (what, streams, code) in cases {
        let (_endpoint, quic) = raw::connect_silent(&fixture).await;
        let mut open = Vec::new();
        for bytes in streams {
            open.push(raw::uni(&quic, &bytes).await);
        }
        let closed = support::within(what, quic.closed()).await;
        assert_eq!(raw::close_code(&closed), code, "{what}");
        assert_eq!(
            unary(&good, ECHO, what).await,
            Ok(what.into()),
            "beside {what}"
        );
    }
}

#[tokio::test]
async fn critical_streams_may_not_end() {
    let fixture = serve(Http3ServerConfig::default()).await;
    for kind in [0, 2, 3] {
        let (_endpoint, quic) = raw::connect_silent(&fixture).await;
        let control = raw::begin(&quic).await;
        let mut ending = match kind {
            0 => control,
            kind => raw::uni(&quic, &[kind]).await,
        };
        let _ = ending.finish();
        let closed = support::within("the end", quic.closed()).await;
        assert_eq!(raw::close_code(&closed), 0x104, "stream type {kind}");
    }
}

/// A stream of a type that nobody knows is stopped, and its connection goes on (RFC 9114, 6.2).
#[tokio::test]
async fn streams_of_unknown_types_are_stopped() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let client = raw::connect(&fixture).await;
    for _ in 0..100 {
        let stream = raw::uni(&client.quic, &[0x40, 0x99, 1, 2, 3]).await;
        assert_eq!(raw::stopped(&stream).await, Some(0x103));
    }
    let (mut send, mut recv) = client
        .send(&[request(ECHO, &[]), message(b"x")].concat())
        .await;
    let _ = send.finish();
    assert!(raw::read(&mut recv).await.is_ok());
}
