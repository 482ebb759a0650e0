//! Too much of what is allowed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use headwater_http3::Http3ServerConfig;
use quinn::VarInt;
use tokio::time::Instant;

use crate::support::{
    self, DEAF, ECHO, FLOOD, STREAM, WAIT, raw, serve, unary,
    wire::{DATA, frame, message, request},
};

/// A client that opens streams as fast as it can has no more of them than it may, and a good one is served meanwhile.
#[tokio::test]
async fn open_streams_are_bounded() {
    let config = Http3ServerConfig {
        concurrent_streams_max: 16,
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let good = fixture.client();
    let client = raw::connect(&fixture).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        let (mut send, recv) = client
            .send(&[request(WAIT, &[]), message(b"")].concat())
            .await;
        let _ = send.finish();
        streams.push((send, recv));
    }
    support::until("16 streams", || fixture.counters.streams() == 16).await;
    let more = tokio::time::timeout(Duration::from_millis(50), client.quic.open_bi()).await;
    assert!(more.is_err(), "there is no place for a seventeenth");
    assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
    assert_eq!(fixture.server.open_calls(), 16);
}

/// Rapid reset (CVE-2023-44487): streams that are reset at once leave nothing behind, and hardly reach a handler.
#[tokio::test]
async fn a_flood_of_resets_leaves_nothing_behind() {
    let mut fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let client = raw::connect(&fixture).await;
    for round in 0..2000 {
        let (mut send, mut recv) = client
            .send(&[request(WAIT, &[]), message(b"")].concat())
            .await;
        let _ = send.reset(VarInt::from_u32(0x10c));
        let _ = recv.stop(VarInt::from_u32(0x10c));
        if round % 500 == 0 {
            assert_eq!(
                unary(&good, ECHO, "good").await,
                Ok("good".into()),
                "{round}"
            );
        }
    }
    support::until("no stream", || fixture.counters.streams() == 0).await;
    support::until("no call", || fixture.server.open_calls() == 0).await;
    assert_eq!(fixture.counters.connections(), 2, "nobody was cut");
    // Those that reached a handler were cancelled there.
    while fixture.cancels.try_recv().is_ok() {}
}

/// Rapid reset once more, of streams that have reached their handlers: as many run as streams may be open, and the others are
/// refused until these have ended.
#[tokio::test]
async fn accepted_streams_that_are_reset_bound_their_handlers() {
    const REQUEST_REJECTED: u64 = 0x10b;
    let config = Http3ServerConfig {
        concurrent_streams_max: 8,
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let good = fixture.client();
    let client = raw::connect(&fixture).await;
    for round in 0..10 {
        for _ in 0..8 {
            let (mut send, mut recv) = client.send(&request(DEAF, &[])).await;
            if round > 0 {
                let end = raw::read(&mut recv).await;
                assert_eq!(end, Err(REQUEST_REJECTED), "the handlers still run");
                continue;
            }
            let before = fixture.deaf.running();
            support::until("a handler", || {
                fixture.deaf.running() > before || before == 8
            })
            .await;
            let _ = send.reset(VarInt::from_u32(0x10c));
            let _ = recv.stop(VarInt::from_u32(0x10c));
        }
        assert_eq!(fixture.deaf.running(), 8, "as many as streams");
        assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
    }
    fixture.deaf.end();
    support::until("the last handler", || fixture.deaf.running() == 0).await;
    let (mut send, mut recv) = client
        .send(&[request(ECHO, &[]), message(b"x")].concat())
        .await;
    let _ = send.finish();
    let answer = raw::read(&mut recv).await;
    assert!(answer.is_ok(), "the handlers have ended: {answer:?}");
}

/// Streams that are opened and bring no headers are reset in time.
#[tokio::test(start_paused = true)]
async fn a_stream_without_headers_is_reset_in_time() {
    let config = Http3ServerConfig {
        headers_timeout: Duration::from_secs(3),
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let client = raw::connect(&fixture).await;
    let (send, mut recv) = client.send(&[1, 0x40]).await;
    assert_eq!(raw::read(&mut recv).await, Err(0x10c));
    assert_eq!(raw::stopped(&send).await, Some(0x10c));
    support::until("no stream", || fixture.counters.streams() == 0).await;
}

/// Frames that say nothing cost no memory, and nobody else's time.
#[tokio::test]
async fn a_flood_of_empty_frames_does_not_hold_up_others() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let client = raw::connect(&fixture).await;
    let (mut send, _recv) = client.send(&request(STREAM, &[])).await;
    let flooding = tokio::spawn(async move {
        let empty = frame(DATA, &[]).repeat(10_000);
        let unknown = frame(0x21, &[]).repeat(10_000);
        for _ in 0..10 {
            if send.write_all(&empty).await.is_err() || send.write_all(&unknown).await.is_err() {
                return;
            }
        }
    });
    for _ in 0..20 {
        assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
    }
    support::within("the flood", flooding)
        .await
        .expect("no panic");
}

/// A client that never reads blocks its own call, and the server holds no more than its window.
#[tokio::test]
async fn a_client_that_does_not_read_holds_up_itself_alone() {
    let config = Http3ServerConfig {
        send_window_bytes: 256 << 10,
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let good = fixture.client();
    let client = raw::connect(&fixture).await;
    let (_send, _recv) = client.send(&request(FLOOD, &[])).await;
    support::until("the flood", || fixture.server.open_calls() == 1).await;
    let mut sent = 0;
    // It goes on until the windows are full, and then no more.
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = client.quic.stats().udp_rx.bytes;
        if now == sent {
            break;
        }
        sent = now;
    }
    assert!(
        sent < 16 << 20,
        "{sent} bytes came to a client that reads none"
    );
    assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
}

/// An answer that its client makes no room for is given up some time after the handler has ended, and a graceful stop does not
/// wait for it longer.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_given_up() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = quinn::Endpoint::client(local).expect("a free port");
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(1000));
    let config = raw::client_config(&fixture.tls, b"h3", transport).await;
    let connecting = endpoint.connect_with(config, fixture.addr, "localhost");
    let quic = support::within("a handshake", connecting.expect("valid")).await;
    let quic = quic.expect("it connects");
    let _control = raw::begin(&quic).await;
    let call = async || {
        let (mut send, recv) = quic.open_bi().await.expect("it opens");
        let call = [request(ECHO, &[]), message(&[7; 10_000])].concat();
        send.write_all(&call).await.expect("there is room");
        send.finish().expect("it is open");
        support::until("the stream", || fixture.counters.streams() == 1).await;
        (send, recv)
    };
    // Or paused time runs away while datagrams are under way.
    tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let begun = Instant::now();
    let (_send, mut recv) = call().await;
    let reset = tokio::time::timeout(Duration::from_secs(40), recv.received_reset()).await;
    let reset = reset.expect("the server holds the answer for ever");
    assert_eq!(reset.expect("it lives"), Some(VarInt::from_u32(0x10c)));
    assert!(
        begun.elapsed() >= Duration::from_secs(20),
        "it has its time"
    );

    support::until("no stream", || fixture.counters.streams() == 0).await;
    let _unread = call().await;
    fixture.server.begin_graceful_shutdown();
    let closed = tokio::time::timeout(Duration::from_secs(40), quic.closed()).await;
    closed.expect("the stop waits for the answer for ever");
}
