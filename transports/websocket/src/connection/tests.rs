//! Hostile clients, on a paused clock: time passes only where everybody waits.

use std::time::Duration;

use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};

use super::*;
use crate::Handshake;

const GOOD: &str = "GET /client HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Accepts every good handshake.
async fn answer(request: Request<Incoming>, _peer: Peer) -> Response<Full<Bytes>> {
    tokio::task::yield_now().await;
    match Handshake::check(&request) {
        Ok(handshake) => handshake.accept(None).unwrap(),
        Err(rejection) => rejection.response(),
    }
}

/// The client's end of a connection that is being served, and what stops it.
fn connect() -> (DuplexStream, watch::Sender<()>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (stop, stopping) = watch::channel(());
    let peer = Peer {
        address: ([127, 0, 0, 1], 1).into(),
    };
    let builder = builder(&ListenerConfig::default());
    tokio::spawn(serve(builder, server, peer, answer, stopping));
    (client, stop)
}

/// All that the server says until it ends the connection, as text, after `request` was sent.
async fn exchange(request: &str) -> String {
    let (mut client, _stop) = connect();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_handshake_is_answered_with_101() {
    let answer = exchange(&format!("{GOOD}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let lower = answer.to_lowercase();
    assert!(
        lower.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dropped_after_ten_seconds() {
    let start = Instant::now();
    assert_eq!(exchange("").await, "");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_byte_a_second_is_dropped_after_ten_seconds() {
    let (mut client, _stop) = connect();
    let start = Instant::now();
    for byte in GOOD.as_bytes() {
        if client.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let elapsed = start.elapsed().as_secs();
    assert!((10..=11).contains(&elapsed), "dropped after {elapsed} s");
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_is_dropped_when_the_next_request_does_not_come() {
    let start = Instant::now();
    let (mut client, _stop) = connect();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let plain = "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n";
    client.write_all(plain.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 426 "));
    assert!(start.elapsed().as_secs() <= 19, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_bad_handshake_is_answered_and_ends_the_connection_at_once() {
    let doubled_key = format!("{GOOD}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    let no_host = format!("{GOOD}\r\n").replace("Host: here\r\n", "");
    let two_hosts = format!("{GOOD}Host: there\r\n\r\n");
    let old_version = format!("{GOOD}\r\n").replace("Version: 13", "Version: 8");
    let both_lengths =
        format!("{GOOD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let length = format!("{GOOD}Content-Length: 5\r\n\r\nhello");
    let plain = "GET /client HTTP/1.1\r\nHost: here\r\n\r\n".to_owned();
    let put = format!("{GOOD}\r\n").replace("GET", "PUT");
    let http_1_0 = format!("{GOOD}\r\n").replace("HTTP/1.1", "HTTP/1.0");
    let long = format!("{GOOD}X-Long: {}\r\n\r\n", "x".repeat(16 * 1024));
    let many = format!("{GOOD}{}\r\n", "X-Many: x\r\n".repeat(64));
    let folded = format!("{GOOD}X-Folded: a\r\n b\r\n\r\n");
    let no_name = format!("{GOOD}: nameless\r\n\r\n");
    let garbage = "\u{16}\u{3}\u{1}\u{2} this is TLS\r\n\r\n".to_owned();
    for (what, request, status) in [
        ("a doubled key", doubled_key, 400),
        ("no host", no_host, 400),
        ("two hosts", two_hosts, 400),
        ("an old version", old_version, 426),
        ("length plus chunked", both_lengths, 400),
        ("a body", length, 400),
        ("no upgrade", plain, 426),
        ("not GET", put, 405),
        ("HTTP/1.0", http_1_0, 505),
        ("a long header", long, 431),
        ("many headers", many, 431),
        ("a folded header", folded, 400),
        ("a header without a name", no_name, 400),
        ("no HTTP", garbage, 400),
    ] {
        let start = Instant::now();
        let answer = exchange(&request).await;
        // An answer may be of HTTP/1.0 where the request is.
        assert_eq!(
            answer.get(8..13),
            Some(&*format!(" {status} ")),
            "{what}: {answer}"
        );
        assert_eq!(start.elapsed(), Duration::ZERO, "{what}: it must not wait");
    }
}

#[tokio::test(start_paused = true)]
async fn another_version_is_told_which_one_is_spoken() {
    let answer = exchange(&format!("{GOOD}\r\n").replace("Version: 13", "Version: 8")).await;
    assert!(
        answer.contains("\r\nsec-websocket-version: 13\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\nSec-WebSocket-Version must be 13\n"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_connection_that_waits_for_a_request() {
    let (mut client, stop) = connect();
    let start = Instant::now();
    stop.send_replace(());
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    stop.closed().await;
}
