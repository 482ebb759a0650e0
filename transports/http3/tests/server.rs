//! The server, as clients see it that speak HTTP/3 by hand.

mod support;

use std::time::Duration;

use headwater_http3::Http3ServerConfig;
use headwater_rpc::{CancelReason, Code};
use support::{
    EARLY, ECHO, Fixture, STREAM, WAIT, open, raw, read, serve, unary, until,
    wire::{DATA, frame, message, request},
    within,
};

async fn default() -> Fixture {
    serve(Http3ServerConfig::default()).await
}

/// S4-64, as far as HTTP/3 has it: what bounds a server that nobody configures.
#[test]
fn s4_64_the_defaults_are_bounded() {
    let config = Http3ServerConfig::default();
    assert_eq!(config.connection_age_max, None);
    assert_eq!(config.connection_age_grace, None);
    assert_eq!(config.idle_timeout, None);
    assert_eq!(config.concurrent_streams_max, 128);
    assert_eq!(config.field_section_bytes_max, 16 << 10);
    let silence = config.keepalive_interval + config.keepalive_timeout;
    assert_eq!(silence, Duration::from_secs(10));
}

/// S4-80: the same shape as over HTTP/2, byte for byte: headers, messages with their prefix, trailers with the status.
#[tokio::test]
async fn s4_80_a_call_has_the_shape_of_http2() {
    let fixture = default().await;
    let client = raw::connect(&fixture).await;
    let (mut send, mut recv) = client
        .send(&[request(ECHO, &[]), message(b"abc")].concat())
        .await;
    send.finish().expect("it is open");
    let answer = raw::read(&mut recv).await.expect("it is answered");
    // HEADERS: `:status: 200` of the static table, then the content type.
    assert_eq!(
        (answer[0], &answer[2..5]),
        (1, &[0, 0, 0xd9][..]),
        "{answer:x?}"
    );
    let data = frame(DATA, b"\0\0\0\0\x03abc");
    let at = answer.windows(data.len()).position(|at| at == data);
    let trailers = &answer[at.expect("the message is one DATA frame") + data.len()..];
    assert_eq!(
        (trailers[0], &trailers[2..4]),
        (1, &[0, 0][..]),
        "trailers end it"
    );
    assert_eq!(
        raw::stopped(&send).await,
        None,
        "the request was read to its end"
    );
}

/// S4-80: any content type that begins with `application/grpc` and goes on with `+` or `;`.
#[tokio::test]
async fn s4_80_the_content_type_may_name_the_format() {
    let fixture = default().await;
    let client = raw::connect(&fixture).await;
    let bytes = [request(ECHO, &[("x", "y")]), message(b"x")].concat();
    let (mut send, mut recv) = client.send(&bytes).await;
    let _ = send.finish();
    assert!(raw::read(&mut recv).await.is_ok());
}

/// S4-82: a deadline that passes while the request is still coming: RESET_STREAM with H3_REQUEST_CANCELLED, and
/// STOP_SENDING.
#[tokio::test(start_paused = true)]
async fn s4_82_a_passed_deadline_ends_both_directions() {
    let mut fixture = default().await;
    let client = raw::connect(&fixture).await;
    let bytes = request(STREAM, &[("grpc-timeout", "500m")]);
    let (send, mut recv) = client.send(&bytes).await;
    let ended = raw::read(&mut recv).await;
    assert_eq!(ended, Err(0x10c), "RESET_STREAM");
    assert_eq!(raw::stopped(&send).await, Some(0x10c), "STOP_SENDING");
    assert_eq!(fixture.cancels.recv().await, Some(CancelReason::Deadline));
    until("no stream", || fixture.counters.streams() == 0).await;
}

/// S4-82: of a request that has come whole, there is nothing to stop.
#[tokio::test(start_paused = true)]
async fn s4_82_a_whole_request_is_not_stopped() {
    let mut fixture = default().await;
    let client = raw::connect(&fixture).await;
    let bytes = [request(WAIT, &[("grpc-timeout", "500m")]), message(b"")];
    let (mut send, mut recv) = client.send(&bytes.concat()).await;
    send.finish().expect("it is open");
    assert_eq!(raw::read(&mut recv).await, Err(0x10c), "RESET_STREAM");
    assert_eq!(raw::stopped(&send).await, None, "no STOP_SENDING");
    assert_eq!(fixture.cancels.recv().await, Some(CancelReason::Deadline));
}

/// S4-83: done before the client, the server sends all it has and its end, and then STOP_SENDING with H3_NO_ERROR; what
/// the client does upon that changes nothing.
#[tokio::test(start_paused = true)]
async fn s4_83_an_early_answer_stops_the_request_without_an_error() {
    let fixture = default().await;
    let client = raw::connect(&fixture).await;
    let (mut send, mut recv) = client
        .send(&[request(EARLY, &[]), message(b"x")].concat())
        .await;
    let answer = raw::read(&mut recv).await.expect("it ends regularly");
    assert!(answer.windows(6).any(|at| at == b"\0\0\0\0\x01x"));
    assert_eq!(raw::stopped(&send).await, Some(0x100), "H3_NO_ERROR");
    let _ = send.reset(quinn::VarInt::from_u32(0x10c));
    until("no stream", || fixture.counters.streams() == 0).await;
    assert_eq!(client.quic.close_reason(), None, "the connection goes on");
}

/// A client's cancel reaches a handler that only waits, upon STOP_SENDING alone.
#[tokio::test]
async fn a_cancel_reaches_a_handler_that_only_waits() {
    let mut fixture = default().await;
    let client = raw::connect(&fixture).await;
    let (mut send, mut recv) = client
        .send(&[request(WAIT, &[]), message(b"")].concat())
        .await;
    send.finish().expect("it is open");
    until("the call", || fixture.server.open_calls() == 1).await;
    recv.stop(quinn::VarInt::from_u32(0x10c))
        .expect("it is open");
    let reason = within("the cancel", fixture.cancels.recv()).await;
    assert_eq!(reason, Some(CancelReason::Peer));
}

/// A request that is reset in the middle is no request that is complete.
#[tokio::test]
async fn a_reset_is_no_half_close() {
    let mut fixture = default().await;
    let client = raw::connect(&fixture).await;
    let (mut send, _recv) = client
        .send(&[request(STREAM, &[]), message(b"x")].concat())
        .await;
    until("the call", || fixture.server.open_calls() == 1).await;
    send.reset(quinn::VarInt::from_u32(0x10c))
        .expect("it is open");
    let reason = within("the cancel", fixture.cancels.recv()).await;
    assert_eq!(reason, Some(CancelReason::Peer));
}

/// The server's control stream, by which it is known to be ready, and what came on it.
async fn control(client: &raw::RawClient) -> (quinn::RecvStream, Vec<u8>) {
    loop {
        let stream = within("a stream", client.quic.accept_uni()).await;
        let mut stream = stream.expect("the connection lives");
        let chunk = within("its type", stream.read_chunk(1024, true)).await;
        let bytes = chunk.expect("it is open").expect("it has a type").bytes;
        if bytes[0] == 0 {
            return (stream, bytes.to_vec());
        }
    }
}

/// All that comes on it from then on.
async fn rest((mut stream, mut bytes): (quinn::RecvStream, Vec<u8>)) -> Vec<u8> {
    while let Ok(Some(chunk)) = stream.read_chunk(1024, true).await {
        bytes.extend_from_slice(&chunk.bytes);
    }
    bytes
}

/// S4-84: the id of GOAWAY is greater than that of every stream that is served; later streams are rejected, which says that
/// they can be sent elsewhere; the open ones end regularly.
#[tokio::test]
async fn s4_84_goaway_names_the_stream_after_the_last_one_that_is_served() {
    for served in [0, 1, 3] {
        let fixture = default().await;
        let client = raw::connect(&fixture).await;
        let said = control(&client).await;
        let mut streams = Vec::new();
        for _ in 0..served {
            streams.push(
                client
                    .send(&[request(STREAM, &[]), message(b"x")].concat())
                    .await,
            );
        }
        until("the calls", || fixture.counters.streams() == served).await;
        fixture.server.begin_graceful_shutdown();
        if served > 0 {
            let (_send, mut recv) = client.send(&request(STREAM, &[])).await;
            assert_eq!(
                raw::read(&mut recv).await,
                Err(0x10b),
                "H3_REQUEST_REJECTED"
            );
        }
        for (mut send, mut recv) in streams {
            send.finish().expect("it is open");
            let answer = raw::read(&mut recv).await.expect("it ends regularly");
            assert!(answer.windows(6).any(|at| at == b"\0\0\0\0\x01x"));
        }
        let said = rest(said).await;
        let goaway = [7, 1, served as u8 * 4];
        assert!(said.ends_with(&goaway), "{served} are served: {said:x?}");
        assert_eq!(client.closed().await, 0x100, "H3_NO_ERROR");
    }
}

/// S4-66: an old connection is told to leave in two steps, serves what comes in between, and is cut after its grace.
#[tokio::test(start_paused = true)]
async fn s4_66_an_old_connection_leaves_in_two_steps() {
    let config = Http3ServerConfig {
        connection_age_max: Some(Duration::from_secs(100)),
        connection_age_grace: Some(Duration::from_secs(50)),
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let client = raw::connect(&fixture).await;
    let said = control(&client).await;
    let (_send, mut recv) = client.send(&request(STREAM, &[])).await;
    tokio::time::sleep(Duration::from_secs(89)).await;
    assert_eq!(client.quic.close_reason(), None, "it is not old");
    let began = tokio::time::Instant::now();
    let said = rest(said).await;
    let first = [[7, 8].to_vec(), u64::MAX.to_be_bytes().to_vec()].concat();
    let first = &first[..first.len() - 1];
    let at = said.windows(first.len()).position(|at| at == first);
    let rest = &said[at.expect("the largest id first") + first.len()..];
    assert_eq!(
        rest,
        [0xfc, 7, 1, 4],
        "then the one after the last: {said:x?}"
    );
    let _ = recv.read_to_end(1000).await;
    let cut = began.elapsed();
    let bounds = Duration::from_secs(1 + 49)..Duration::from_secs(21 + 52);
    assert!(bounds.contains(&cut), "it was cut {cut:?} after 89 s");
}

/// A connection without a stream for too long is ended, and one with a stream is not.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_ended() {
    let config = Http3ServerConfig {
        idle_timeout: Some(Duration::from_secs(100)),
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let busy = raw::connect(&fixture).await;
    let _stream = busy.send(&request(STREAM, &[])).await;
    let idle = raw::connect(&fixture).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(fixture.counters.connections(), 2);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(idle.closed().await, 0x100);
    assert_eq!(busy.quic.close_reason(), None, "it has a stream");
}

/// A graceful stop that takes too long ends its calls, and then its connections.
#[tokio::test]
async fn a_stop_without_end_is_bounded() {
    let config = Http3ServerConfig {
        shutdown_timeout: Some(Duration::from_millis(50)),
        ..Http3ServerConfig::default()
    };
    let mut fixture = serve(config).await;
    let client = fixture.client();
    let (_sender, mut receiver) = open(&client, STREAM).await;
    until("the call", || fixture.server.open_calls() == 1).await;
    fixture.server.begin_graceful_shutdown();
    let (_, outcome) = read(&mut receiver).await;
    assert_eq!(
        outcome.map_err(|status| status.code),
        Err(Code::Unavailable)
    );
    let stopped = within("the stop", &mut fixture.serving).await;
    assert_eq!(stopped.expect("no panic"), Ok(()));
    assert_eq!(fixture.counters.connections(), 0);
}

/// A client that comes while the server stops is refused at once.
#[tokio::test]
async fn a_stopping_server_refuses_connections() {
    let fixture = default().await;
    let client = fixture.client();
    let (_sender, _receiver) = open(&client, STREAM).await;
    until("the call", || fixture.server.open_calls() == 1).await;
    fixture.server.begin_graceful_shutdown();
    let late = fixture.client();
    let outcome = unary(&late, ECHO, "x").await;
    assert_eq!(
        outcome.map_err(|status| status.code),
        Err(Code::Unavailable)
    );
}
