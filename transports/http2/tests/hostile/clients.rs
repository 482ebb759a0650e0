//! Toward our server: clients that hold on to what they have, or never begin.

use std::time::Duration;

use bytes::Bytes;
use headwater_http2::Http2ServerConfig;
use headwater_rpc::Code;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::{
    frames::{
        CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, NO_ERROR, PREFACE,
        REFUSED_STREAM, RST_STREAM, SETTINGS, block, frame, go_away, message, request, reset,
        setting, tick,
    },
    target::{ECHO, Good, HANG, NONE, Target, WAIT, eventually},
};

#[tokio::test]
async fn a_stream_over_the_limit_is_refused() {
    let target = Target::with(Http2ServerConfig {
        concurrent_streams_max: 2,
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = target.raw().await;
    for stream in [1, 3, 5] {
        let open = block(0, stream, &request(WAIT));
        raw.write(&open).await.expect("it is open");
    }
    let refused = raw.next(RST_STREAM).await;
    assert_eq!((refused.stream, refused.error()), (5, REFUSED_STREAM));
    target
        .good
        .is_served("while another connection is full")
        .await;

    raw.write(&reset(1, CANCEL)).await.expect("it is open");
    // Its handler hears of it before this test goes on.
    let calls = || target.server.open_calls();
    eventually(|| calls() == 1, || format!("{} calls", calls())).await;
    let again = block(END_STREAM, 7, &request(NONE));
    raw.write(&again).await.expect("it is open");
    assert_eq!(raw.next(HEADERS).await.stream, 7, "a stream was free again");
    drop(raw);
    target.is_as_before("a full connection").await;
}

/// Streams that are opened and on which nothing comes: they are bounded, and go with their connection.
#[tokio::test]
async fn half_open_streams() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let most = Http2ServerConfig::default().concurrent_streams_max;
    for index in 0..most {
        let open = block(0, 2 * index + 1, &request(WAIT));
        raw.write(&open).await.expect("it is open");
    }
    let calls = || target.server.open_calls();
    eventually(|| calls() == most as usize, || format!("{} calls", calls())).await;
    raw.write(&block(0, 2 * most + 1, &request(WAIT)))
        .await
        .expect("it is open");
    assert_eq!(raw.next(RST_STREAM).await.error(), REFUSED_STREAM);
    target.good.is_served("beside half-open streams").await;
    drop(raw);
    target.is_as_before("half-open streams").await;
}

/// Paused time runs on while everybody waits, so the bound comes at once, and only because it is there.
#[tokio::test(start_paused = true)]
async fn a_unary_call_without_its_message_does_not_hold_its_stream() {
    tick();
    let target = Target::with(Http2ServerConfig {
        concurrent_streams_max: 1,
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = target.raw().await;
    let began = Instant::now();
    let open = block(0, 1, &request(ECHO));
    raw.write(&open).await.expect("it is open");
    target.good.is_served("while another's call is open").await;
    let bound = tokio::time::timeout(Duration::from_secs(60), raw.next(HEADERS));
    let answer = bound.await.expect("the call is bounded in time");
    assert_eq!(answer.stream, 1, "the call was answered");
    let took = began.elapsed();
    let expected = Duration::from_secs(9)..Duration::from_secs(12);
    assert!(expected.contains(&took), "it took {took:?}, not 10 s");

    let next = block(END_STREAM, 3, &request(NONE));
    raw.write(&next).await.expect("it is open");
    assert_eq!(raw.next(HEADERS).await.stream, 3, "the one stream is free");
}

/// Answers that their client gives no window for wait, as many as there may be streams, and no more.
#[tokio::test]
async fn zero_windows_with_responses_pending() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    raw.write(&setting(4, 0)).await.expect("it is open");
    let most = Http2ServerConfig::default().concurrent_streams_max;
    for index in 0..most {
        let stream = 2 * index + 1;
        let mut call = block(0, stream, &request(ECHO));
        call.extend(frame(DATA, END_STREAM, stream, &message(&[7; 400])));
        raw.write(&call).await.expect("it is open");
    }
    for _ in 0..most {
        raw.next(HEADERS).await;
    }
    assert_eq!(target.counters.streams(), most as usize, "all wait");
    assert_eq!(target.server.open_calls(), 0, "their calls have ended");
    raw.write(&block(END_STREAM, 2 * most + 1, &request(ECHO)))
        .await
        .expect("it is open");
    assert_eq!(raw.next(RST_STREAM).await.error(), REFUSED_STREAM);
    target.good.is_served("beside closed windows").await;

    // With a window, all of it comes.
    raw.write(&setting(4, 60_000)).await.expect("it is open");
    for _ in 0..60 {
        assert_eq!(raw.next(DATA).await.payload, message(&[7; 400]));
    }
    drop(raw);
    target.is_as_before("closed windows").await;
}

/// RFC 9113, 6.9.1: a window that overflows is an error, of the stream or of the connection.
#[tokio::test]
async fn a_window_that_overflows() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let most = u32::MAX >> 1;
    raw.write(&block(0, 1, &request(WAIT))).await.expect("open");
    raw.write(&crate::frames::window_update(1, most))
        .await
        .expect("it is open");
    assert_eq!(raw.next(RST_STREAM).await.stream, 1, "its stream ends");
    raw.is_served(3, "after a stream's window").await;
    raw.write(&crate::frames::window_update(0, most))
        .await
        .expect("it is open");
    raw.next(GOAWAY).await;
    target.is_as_before("windows that overflow").await;
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_at_once() {
    let target = Target::with(Http2ServerConfig {
        connections_max: 2,
        ..Http2ServerConfig::default()
    })
    .await;
    let mut idle = target.raw().await;
    idle.next(SETTINGS).await;

    let mut third = TcpStream::connect(target.addr)
        .await
        .expect("the system accepts it");
    let mut said = Vec::new();
    // A reset is as good an end as a close.
    let _ = third.read_to_end(&mut said).await;
    assert!(said.is_empty(), "nobody speaks HTTP/2 there: {said:?}");
    let late = Good::new(target.addr);
    let refused = late.call().await.map_err(|status| status.code);
    assert_eq!(refused, Err(Code::Unavailable));
    target.good.is_served("when the server is full").await;

    drop(idle);
    // The server frees the place when it sees the end of the connection.
    let answer = late.call_when_ready().await;
    assert_eq!(answer, Ok(Bytes::from("x")), "a place is free again");
}

/// Paused time runs on while everybody waits.
#[tokio::test(start_paused = true)]
async fn a_client_that_dribbles_its_preface() {
    tick();
    let target = Target::start().await;
    let began = Instant::now();
    let mut stream = TcpStream::connect(target.addr).await.expect("it listens");
    let mut sent = 0;
    for byte in PREFACE {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        target.good.is_served("while another dribbles").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(
        (10..=13).contains(&sent),
        "{sent} bytes in {:?}",
        began.elapsed()
    );
    target.is_as_before("a preface that dribbles").await;
}

#[tokio::test]
async fn bytes_that_are_no_http_2() {
    let client_hello: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];
    let cases: [(&str, Vec<u8>); 4] = [
        ("TLS where there is none", client_hello.repeat(10)),
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nhost: test\r\n\r\n".to_vec()),
        ("nothing that is known", vec![0xAA; 5000]),
        (
            "a wrong preface",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        ),
    ];
    let target = Target::start().await;
    for (name, bytes) in cases {
        let mut stream = TcpStream::connect(target.addr).await.expect("it listens");
        // A server that hangs up in the middle has had enough.
        let _ = stream.write_all(&bytes).await;
        let mut rest = Vec::new();
        let end = tokio::time::timeout(HANG, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "{name}: the connection stays open");
        target.is_as_before(name).await;
    }
}

/// Frames that no connection can go on after (RFC 9113, 4.2, 5.1.1, 6).
#[tokio::test]
async fn frames_that_break_the_connection() {
    let two = [block(0, 3, &request(WAIT)), block(0, 1, &request(WAIT))];
    let cases: [(&str, Vec<u8>); 7] = [
        (
            "a frame over the limit",
            frame(DATA, 0, 1, &vec![0; 2 << 20]),
        ),
        ("data without a stream", frame(DATA, 0, 0, &[1])),
        ("headers of a stream of ours", block(0, 2, &request(WAIT))),
        ("a stream below one before", two.concat()),
        (
            "a ping of seven bytes",
            frame(crate::frames::PING, 0, 0, &[0; 7]),
        ),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        (
            "headers that are no HPACK",
            frame(HEADERS, 4, 1, &[0xFF; 40]),
        ),
    ];
    let target = Target::start().await;
    for (name, bytes) in cases {
        let mut raw = target.raw().await;
        // A server that hangs up in the middle has had enough.
        let _ = raw.write(&bytes).await;
        let rest = tokio::time::timeout(HANG, raw.rest()).await;
        assert!(rest.is_ok(), "{name}: the connection goes on");
        target.is_as_before(name).await;
    }
}

/// A client may leave, and say so: what it has opened goes on.
#[tokio::test]
async fn a_client_that_goes_away() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    raw.write(&block(0, 1, &request(ECHO))).await.expect("open");
    raw.synchronise().await;
    raw.write(&go_away(0, NO_ERROR)).await.expect("it is open");
    raw.write(&frame(DATA, END_STREAM, 1, &message(b"late")))
        .await
        .expect("it is open");
    assert_eq!(raw.next(DATA).await.payload, message(b"late"));
    target.good.is_served("after another went").await;
    drop(raw);
    target.is_as_before("a client that leaves").await;
}

#[tokio::test]
async fn a_storm_of_go_away() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    raw.write(&block(0, 1, &request(WAIT))).await.expect("open");
    // A server that hangs up in the middle has had enough.
    let _ = raw.write(&go_away(0, ENHANCE_YOUR_CALM).repeat(5000)).await;
    target.good.is_served("beside a storm").await;
    drop(raw);
    target.is_as_before("a storm of GOAWAY").await;
}
