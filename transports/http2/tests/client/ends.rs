//! How streams and connections end, and how far a call is said to have come.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use h2::Reason;
use headwater_http2::{Http2Client, Http2ClientConfig};
use headwater_rpc::{CallOptions, Client, Code, EndedBy, Metadata, Reached, channel::Connection};

use crate::support::{
    Command, GOAWAY, HEADERS, Pair, RST_STREAM, Raw, client_of, connect, headers, listen, message,
    soon, trailers,
};

/// A call that is complete before it is opened goes out as one DATA frame that ends the stream.
#[tokio::test]
async fn a_unary_call_is_its_headers_and_one_last_data_frame() {
    let mut pair = Pair::new().await;
    let call = pair.unary();
    let mut stream = pair.server.stream().await;
    let head = stream.request.headers().clone();
    assert_eq!(stream.request.method(), "POST");
    assert_eq!(stream.request.uri().path(), "/t.T/X");
    assert_eq!(stream.request.uri().scheme_str(), Some("http"));
    assert_eq!(head["te"], "trailers");
    assert_eq!(head["content-type"], "application/grpc");
    let agent = concat!("headwater-rpc/", env!("CARGO_PKG_VERSION"));
    assert_eq!(head["user-agent"], agent, "nobody's name but ours");
    let body = stream.request.body_mut();
    let data = soon("the message", body.data()).await;
    let data = data.expect("a message").expect("no reset");
    assert_eq!(&data[..], [0, 0, 0, 0, 2, b'h', b'i']);
    assert!(body.is_end_stream(), "the half-close came with the message");
    stream.answer();
    assert_eq!(
        call.await.expect("no panic"),
        Ok(Bytes::from_static(&[1])),
        "it is answered"
    );
}

/// RFC 9113, 5.1.2: calls beyond what the server allows wait for a place, and no longer than their deadline.
#[tokio::test(start_paused = true)]
async fn calls_wait_for_the_servers_limit_of_streams() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let mut pair = Pair::with(builder, &Http2ClientConfig::default()).await;
    let first = pair.unary();
    let held = pair.server.stream().await;
    let second = pair.unary();
    let options = CallOptions {
        timeout: Some(Duration::from_secs(1)),
        ..CallOptions::default()
    };
    let hasty = pair
        .client
        .unary("/t.T/X", Metadata::new(), Bytes::new(), options);
    let hasty = hasty.await.map_err(|status| status.code);
    assert_eq!(hasty, Err(Code::DeadlineExceeded));
    assert!(pair.server.is_idle(), "a second stream was opened");
    held.answer();
    assert!(first.await.expect("no panic").is_ok());
    pair.server.stream().await.answer();
    assert!(second.await.expect("no panic").is_ok());
    assert!(pair.server.is_idle(), "the call past its time was sent");
}

/// A server that allows few streams cannot have the client hold any number of calls.
#[tokio::test]
async fn calls_that_wait_for_a_stream_are_bounded() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let mut pair = Pair::with(builder, &Http2ClientConfig::default()).await;
    let first = pair.unary();
    let held = pair.server.stream().await;
    let waiting: Vec<_> = (0..1024).map(|_| pair.unary()).collect();
    let refused = soon("the call too many", pair.unary()).await;
    let status = refused.expect("no panic").expect_err("nobody answers");
    assert_eq!(status.code, Code::Unavailable);
    assert!(status.message.contains("too many calls wait"), "{status}");
    let finished = waiting.iter().filter(|call| call.is_finished()).count();
    assert_eq!(finished, 0, "those before it wait on");
    for call in waiting {
        call.abort();
        assert!(call.await.is_err(), "it was given up");
    }
    let next = pair.unary();
    held.answer();
    assert!(first.await.expect("no panic").is_ok());
    pair.server.stream().await.answer();
    let outcome = soon("the next call", next).await.expect("no panic");
    assert!(outcome.is_ok(), "calls that are given up wait no more");
}

/// Places come back from calls that are given up.
#[tokio::test]
async fn a_cancelled_call_gives_its_place_back() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let mut pair = Pair::with(builder, &Http2ClientConfig::default()).await;
    for _ in 0..10 {
        let calls = [pair.unary(), pair.unary()];
        let mut streams = [pair.server.stream().await, pair.server.stream().await];
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        for stream in &mut streams {
            assert_eq!(stream.reset().await, Reason::CANCEL);
        }
    }
}

/// RFC 9113, 6.8: after GOAWAY what is open goes on, and nothing new begins.
#[tokio::test]
async fn after_go_away_open_calls_go_on_and_new_ones_fail() {
    let mut pair = Pair::new().await;
    let call = pair.unary();
    let stream = pair.server.stream().await;
    pair.server.command(Command::GoAway);
    let why = soon("the end of the connection", pair.connection.closed()).await;
    assert_eq!(why.code, Code::Unavailable);
    let refused = pair.unary().await.expect("no panic");
    assert_eq!(
        refused.map_err(|status| status.code),
        Err(Code::Unavailable),
        "a connection that goes takes no call"
    );
    assert!(pair.server.is_idle(), "the call was sent");
    stream.answer();
    assert!(
        call.await.expect("no panic").is_ok(),
        "the open one ends well"
    );
}

/// A call that waits for a place on a connection that goes is not sent, and may go elsewhere.
#[tokio::test]
async fn a_call_that_waits_for_a_place_hears_of_go_away() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let mut pair = Pair::with(builder, &Http2ClientConfig::default()).await;
    let first = pair.unary();
    let held = pair.server.stream().await;
    let waiting = pair.unary();
    tokio::task::yield_now().await;
    pair.server.command(Command::GoAway);
    let outcome = soon("the call that waits", waiting)
        .await
        .expect("no panic");
    let outcome = outcome.map_err(|status| status.code);
    assert_eq!(outcome, Err(Code::Unavailable));
    assert!(pair.server.is_idle(), "it was sent");
    held.answer();
    assert!(first.await.expect("no panic").is_ok());
}

/// Both sides of a lost connection know it, and a call on it may have come to its handler.
#[tokio::test]
async fn a_lost_connection_says_so() {
    let mut pair = Pair::new().await;
    let call = pair.unary();
    let _stream = pair.server.stream().await;
    pair.server.command(Command::Break);
    let why = soon("the end of the connection", pair.connection.closed()).await;
    assert_eq!(why.code, Code::Unavailable);
    let status = call.await.expect("no panic").expect_err("it was lost");
    assert_eq!(status.code, Code::Unavailable);
    let closed = pair.broke().await;
    assert_eq!(closed.reached, Reached::Handler, "{closed:?}");
    assert_eq!(closed.by, EndedBy::Transport);
}

/// S4-54: a stream that was refused came to no handler.
#[tokio::test]
async fn s4_54_a_refused_stream_reached_only_the_library() {
    let mut pair = Pair::new().await;
    let call = pair.unary();
    let mut stream = pair.server.stream().await;
    stream.respond.send_reset(Reason::REFUSED_STREAM);
    let status = call.await.expect("no panic").expect_err("it was refused");
    assert_eq!(status.code, Code::Unavailable);
    assert_eq!(pair.broke().await.reached, Reached::Library);
}

/// S4-54: nor did one above the last that a GOAWAY names, while those up to it go on.
#[tokio::test]
async fn s4_54_a_stream_above_go_away_reached_only_the_library() {
    let (listener, address) = listen().await;
    let config = Http2ClientConfig::default();
    let (connection, mut raw) = tokio::join!(connect(address, &config), Raw::accept(&listener));
    let connection: Arc<dyn Connection> = connection.into();
    let (client, mut breaks) = client_of(&connection);
    let call = || {
        let (metadata, options) = (Metadata::new(), CallOptions::default());
        client.unary("/t.T/X", metadata, Bytes::new(), options)
    };
    let calls = async { tokio::join!(call(), call()) };
    let script = async {
        raw.next(HEADERS).await.expect("the first");
        raw.next(HEADERS).await.expect("the second");
        // The streams are 1 and 3, and this has seen 1 alone.
        raw.write(GOAWAY, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
        let closed = breaks.recv().await.expect("the second");
        assert_eq!(closed.reached, Reached::Library, "{closed:?}");
        assert_eq!(closed.status.code, Code::Unavailable);
        drop(raw);
        let closed = breaks.recv().await.expect("the first");
        assert_eq!(closed.reached, Reached::Handler, "{closed:?}");
    };
    let ((first, second), ()) = soon("both to end", async { tokio::join!(calls, script) }).await;
    assert_eq!(first.map_err(|status| status.code), Err(Code::Unavailable));
    assert_eq!(second.map_err(|status| status.code), Err(Code::Unavailable));
}

/// `PROTOCOL-HTTP2.md`, "Errors": what each code of a reset means.
#[tokio::test]
async fn every_reset_is_the_status_that_the_protocol_says() {
    let mut pair = Pair::new().await;
    let cases = [
        (Reason::NO_ERROR, Code::Internal),
        (Reason::PROTOCOL_ERROR, Code::Internal),
        (Reason::INTERNAL_ERROR, Code::Internal),
        (Reason::FLOW_CONTROL_ERROR, Code::Internal),
        (Reason::SETTINGS_TIMEOUT, Code::Internal),
        (Reason::FRAME_SIZE_ERROR, Code::Internal),
        (Reason::REFUSED_STREAM, Code::Unavailable),
        (Reason::CANCEL, Code::Cancelled),
        (Reason::COMPRESSION_ERROR, Code::Internal),
        (Reason::CONNECT_ERROR, Code::Internal),
        (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
    ];
    for (reason, expected) in cases {
        for begun in [false, true] {
            let call = pair.unary();
            let mut stream = pair.server.stream().await;
            if begun {
                let mut body = stream
                    .respond
                    .send_response(headers(), false)
                    .expect("open");
                body.send_data(message(), false).expect("open");
                body.send_reset(reason);
            } else {
                stream.respond.send_reset(reason);
            }
            let outcome = call.await.expect("no panic").map_err(|status| status.code);
            assert_eq!(outcome, Err(expected), "{reason:?}, after headers: {begun}");
            let refused = reason == Reason::REFUSED_STREAM;
            let expected = if refused {
                Reached::Library
            } else {
                Reached::Handler
            };
            assert_eq!(pair.broke().await.reached, expected, "{reason:?}");
        }
    }
}

/// Tiny messages cost more memory than their bytes, and `h2` bounds that: but not so soon that a reader who pauses costs
/// everybody the connection.
#[tokio::test]
async fn tiny_messages_that_wait_do_not_cost_the_connection() {
    const COUNT: usize = 100_000;
    let mut pair = Pair::new().await;
    let call = pair
        .client
        .call("/t.T/X", Metadata::new(), CallOptions::default());
    let (_sender, mut receiver) = call.await.expect("it opens");
    let mut stream = pair.server.stream().await;
    let response = stream.respond.send_response(headers(), false);
    let mut body = response.expect("open");
    let tiny = Bytes::from_static(&[0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    for _ in 0..COUNT {
        body.send_data(tiny.clone(), false).expect("open");
    }
    body.send_trailers(trailers("0")).expect("open");
    // All of it has come before the answer of a later call.
    let other = pair.unary();
    pair.server.stream().await.answer();
    assert!(other.await.expect("no panic").is_ok());
    let mut messages = Vec::new();
    while soon("the messages", receiver.next_batch(&mut messages)).await != Ok(0) {}
    assert_eq!(messages.len(), COUNT);
}

/// A client that stops says what it had still to say: the reset of what was given up, and GOAWAY.
#[tokio::test]
async fn a_client_that_leaves_says_so() {
    let (listener, address) = listen().await;
    let config = Http2ClientConfig::default();
    let transport = Http2Client::new(&format!("http://{address}"), &config);
    let client = Client::new(transport.expect("a valid url"));
    let running = client.clone();
    let running = tokio::spawn(async move { running.connect().await });
    let calling = client.clone();
    let call = tokio::spawn(async move {
        let (metadata, options) = (Metadata::new(), CallOptions::default());
        let answer = calling.unary("/t.T/X", metadata, Bytes::new(), options);
        answer.await
    });
    let mut raw = soon("a connection", Raw::accept(&listener)).await;
    raw.next(HEADERS).await.expect("the call");
    call.abort();
    client.begin_graceful_shutdown();
    let ended = soon("the client", running).await;
    assert_eq!(ended.expect("no panic"), Ok(()));
    let reset = soon("a reset", raw.next(RST_STREAM)).await;
    assert_eq!(reset, Some(vec![0, 0, 0, 8]), "CANCEL");
    assert!(raw.next(GOAWAY).await.is_some(), "no good-bye");
    assert_eq!(raw.next(GOAWAY).await, None, "it did not hang up");
}

/// What this side ends takes no new calls, and lets the open ones end.
#[tokio::test]
async fn a_graceful_shutdown_waits_for_what_is_open() {
    let mut pair = Pair::new().await;
    let call = pair.unary();
    let stream = pair.server.stream().await;
    pair.connection.begin_graceful_shutdown();
    soon("the end", pair.connection.closed()).await;
    let refused = pair.unary().await.expect("no panic");
    assert_eq!(
        refused.map_err(|status| status.code),
        Err(Code::Unavailable)
    );
    stream.answer();
    assert!(call.await.expect("no panic").is_ok());
}

/// A path that HTTP cannot carry ends its call alone.
#[tokio::test]
async fn a_path_that_is_none_fails_its_own_call() {
    let mut pair = Pair::new().await;
    for path in ["", "X", "/t.T/ä b"] {
        let (metadata, options) = (Metadata::new(), CallOptions::default());
        let call = pair.client.unary(path, metadata, Bytes::new(), options);
        let outcome = call.await.map_err(|status| status.code);
        assert_eq!(outcome, Err(Code::InvalidArgument), "{path:?}");
    }
    let call = pair.unary();
    pair.server.stream().await.answer();
    assert!(call.await.expect("no panic").is_ok());
}
