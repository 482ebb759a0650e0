//! How connections end that work: of age, of idleness, of too many pings, and with their server. All on paused time,
//! which runs on while everybody waits.

#[path = "hostile/frames.rs"]
#[allow(dead_code, reason = "the hostile peers need more of it")]
mod frames;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use frames::{
    CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, NO_ERROR, PING, Raw, block,
    frame, message, request, reset,
};
use headwater_http2::{
    Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig, Keepalive, ServerCounters,
};
use headwater_rpc::{
    CallOptions, CancelReason, Client, Code, Metadata, Router, Server, ServerConfig, Status,
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

const ECHO: &str = "/t.T/Echo";
/// Tells why it was cancelled, and ends; when its server stops, only after its client has no more to say.
const WAIT: &str = "/t.T/Wait";
const NONE: &str = "/t.T/None";

const MINUTE: Duration = Duration::from_secs(60);
/// Longer than anything waits that is not meant to wait for ever.
const LONG: Duration = Duration::from_secs(600);

struct Fixture {
    addr: SocketAddr,
    server: Server,
    counters: ServerCounters,
    serving: JoinHandle<Result<(), Status>>,
    cancelled: mpsc::UnboundedReceiver<CancelReason>,
}

async fn serve(config: Http2ServerConfig) -> Fixture {
    frames::tick();
    let (cancels, cancelled) = mpsc::unbounded_channel();
    let router = Router::new();
    router.unary(ECHO, |request| async { Ok(request.message) });
    router.stream(WAIT, move |mut call| {
        let cancels = cancels.clone();
        async move {
            let reason = call.cancellation.cancelled().await;
            cancels.send(reason).expect("the test listens");
            let mut messages = Vec::new();
            if reason == CancelReason::Stopping {
                while call
                    .receiver
                    .next_batch(&mut messages)
                    .await
                    .is_ok_and(|count| count > 0)
                {}
            }
            // Whoever is gone needs no end.
            let _ = call.sender.finish(Ok(()), Metadata::new());
        }
    });
    let transport = Http2Server::bind("127.0.0.1:0", config).await;
    let transport = transport.expect("a free port on loopback");
    let (addr, counters) = (transport.local_addr(), transport.counters());
    let server = Server::new(transport, router, ServerConfig::default());
    let running = server.clone();
    Fixture {
        addr,
        server,
        counters,
        serving: tokio::spawn(async move { running.serve().await }),
        cancelled,
    }
}

async fn write(raw: &mut Raw, bytes: &[u8]) {
    raw.write(bytes).await.expect("it is open");
}

/// The time is this, within the second that pings and timers may take.
#[track_caller]
fn is_about(took: Duration, expected: Duration) {
    let bounds = expected..expected + Duration::from_secs(1);
    assert!(bounds.contains(&took), "{took:?}, not {expected:?}");
}

/// S4-64: the defaults, for gRPC's and ours where ours differ by intent.
#[test]
fn s4_64_the_defaults() {
    let config = Http2ServerConfig::default();
    let off = [
        config.connection_age_max,
        config.connection_age_grace,
        config.idle_timeout,
        config.shutdown_timeout,
    ];
    assert_eq!(off, [None; 4], "as gRPC: ages and idle are off");
    assert_eq!(ServerConfig::default().receive_message_bytes_max, 4 << 20);
    assert_eq!(config.keepalive_interval, Duration::from_secs(5));
    assert_eq!(config.keepalive_timeout, Duration::from_secs(5));
    assert_eq!(config.ping_interval_min, Duration::from_secs(5));
    assert!(config.ping_without_calls);
    assert!(
        Keepalive::default().interval >= config.ping_interval_min,
        "a client of ours is not cut"
    );
    assert_eq!(config.frame_bytes_max, 1 << 20);
    assert_eq!(config.stream_window_bytes, 4 << 20);
    assert_eq!(config.connection_window_bytes, 16 << 20);
    assert_eq!(config.concurrent_streams_max, 128);
    assert_eq!(config.connections_max, 1024);
}

/// S4-66: at its age, the client is first told to open no more streams, and those that it opened before it heard of it
/// are served; then which the last one was. Open streams have the grace, and then the connection is cut.
#[tokio::test(start_paused = true)]
async fn s4_66_two_steps_then_grace_then_the_cut() {
    let grace = Duration::from_secs(30);
    let mut fixture = serve(Http2ServerConfig {
        connection_age_max: Some(10 * MINUTE),
        connection_age_grace: Some(grace),
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = Raw::client(fixture.addr).await;
    let began = Instant::now();
    write(&mut raw, &block(0, 1, &request(WAIT))).await;

    let first = raw.next(GOAWAY).await;
    let told = began.elapsed();
    assert!(
        (9 * MINUTE..=11 * MINUTE + Duration::from_secs(1)).contains(&told),
        "{told:?} is not 10 minutes, give or take a tenth"
    );
    assert_eq!(
        (first.error(), first.last_stream()),
        (NO_ERROR, u32::MAX >> 1)
    );
    // Its ping was not answered yet: this stream was under way.
    write(&mut raw, &block(END_STREAM, 3, &request(NONE))).await;
    let mut answered = false;
    let second = loop {
        let frame = raw.read().await.expect("open streams go on");
        answered |= frame.kind == HEADERS && frame.stream == 3;
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!((second.error(), second.last_stream()), (NO_ERROR, 3));
    if !answered {
        assert_eq!(raw.next(HEADERS).await.stream, 3, "it is served");
    }
    raw.rest().await;
    is_about(began.elapsed() - told, grace);
    assert_eq!(fixture.cancelled.recv().await, Some(CancelReason::Peer));
}

/// S4-66: without a grace, open streams go on to their end, and then the connection closes.
#[tokio::test(start_paused = true)]
async fn s4_66_without_a_grace_the_last_stream_closes_the_connection() {
    let fixture = serve(Http2ServerConfig {
        connection_age_max: Some(MINUTE),
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = Raw::client(fixture.addr).await;
    write(&mut raw, &block(0, 1, &request(WAIT))).await;
    raw.next(GOAWAY).await;
    raw.next(GOAWAY).await;
    let hours = tokio::time::timeout(LONG, raw.next(GOAWAY)).await;
    assert!(hours.is_err(), "nothing ends the open stream");
    assert_eq!(fixture.counters.connections(), 1);
    write(&mut raw, &reset(1, CANCEL)).await;
    raw.rest().await;
}

/// S4-64: idle means without a stream, however long one was open before.
#[tokio::test(start_paused = true)]
async fn s4_64_a_connection_is_idle_from_its_last_stream_on() {
    let fixture = serve(Http2ServerConfig {
        idle_timeout: Some(MINUTE),
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = Raw::client(fixture.addr).await;
    write(&mut raw, &block(0, 1, &request(WAIT))).await;
    let busy = tokio::time::timeout(LONG, raw.next(GOAWAY)).await;
    assert!(busy.is_err(), "it is not idle");
    let began = Instant::now();
    write(&mut raw, &reset(1, CANCEL)).await;
    assert_eq!(raw.next(GOAWAY).await.error(), NO_ERROR);
    is_about(began.elapsed(), MINUTE);
    raw.rest().await;

    let mut unused = Raw::client(fixture.addr).await;
    let began = Instant::now();
    unused.next(GOAWAY).await;
    is_about(began.elapsed(), MINUTE);
}

/// S4-65: pings faster than allowed end the connection with what gRPC's clients understand, and its calls with it.
#[tokio::test(start_paused = true)]
async fn s4_65_too_many_pings() {
    let mut fixture = serve(Http2ServerConfig::default()).await;
    let mut raw = Raw::client(fixture.addr).await;
    write(&mut raw, &block(0, 1, &request(WAIT))).await;
    for _ in 0..3 {
        write(&mut raw, &frame(PING, 0, 0, &[0; 8])).await;
        let early = tokio::time::timeout(Duration::from_secs(4), raw.next(GOAWAY)).await;
        assert!(early.is_err(), "one ping and two strikes are allowed");
    }
    write(&mut raw, &frame(PING, 0, 0, &[0; 8])).await;
    let end = raw.next(GOAWAY).await;
    assert_eq!(end.error(), ENHANCE_YOUR_CALM);
    assert_eq!(end.debug_data(), "too_many_pings");
    assert_eq!(end.last_stream(), 1, "what it may have seen");
    assert!(raw.read().await.is_err(), "it is the last frame");
    assert_eq!(fixture.cancelled.recv().await, Some(CancelReason::Peer));
}

fn client(addr: SocketAddr) -> Client {
    let config = Http2ClientConfig {
        keepalive: Some(Keepalive {
            without_calls: true,
            ..Keepalive::default()
        }),
        ..Http2ClientConfig::default()
    };
    let transport = Http2Client::new(&format!("http://{addr}"), &config);
    let client = Client::new(transport.expect("a valid url"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    client
}

/// S4-65: a client of ours asks every 10 s, with a call open and without, and is never cut for it.
#[tokio::test(start_paused = true)]
async fn s4_65_clients_of_ours_are_patient_enough() {
    let mut fixture = serve(Http2ServerConfig::default()).await;
    let client = client(fixture.addr);
    let options = CallOptions::default();
    let call = client.call(WAIT, Metadata::new(), options).await;
    let call = call.expect("it opens");
    tokio::time::sleep(LONG).await;
    assert!(fixture.cancelled.try_recv().is_err(), "the call is open");
    drop(call);
    assert_eq!(fixture.cancelled.recv().await, Some(CancelReason::Peer));
    tokio::time::sleep(LONG).await;
    assert_eq!(fixture.counters.connections(), 1, "still connected");
}

/// S4-26: the handlers of a server that stops are told, may still finish, and new calls are refused.
#[tokio::test(start_paused = true)]
async fn s4_26_handlers_are_told_and_may_still_finish() {
    let mut fixture = serve(Http2ServerConfig::default()).await;
    let client = client(fixture.addr);
    let options = CallOptions::default();
    let call = client.call(WAIT, Metadata::new(), options).await;
    let (sender, mut receiver) = call.expect("it opens");
    let echo = || {
        client.unary(
            ECHO,
            Metadata::new(),
            Bytes::from("x"),
            CallOptions::default(),
        )
    };
    echo().await.expect("it serves");
    fixture.server.begin_graceful_shutdown();
    assert_eq!(fixture.cancelled.recv().await, Some(CancelReason::Stopping));
    let refused = async {
        // Until the client has heard of it, a call is still served.
        while echo().await.is_ok() {
            tokio::task::yield_now().await;
        }
        echo().await.expect_err("refused").code
    };
    let refused = tokio::time::timeout(MINUTE, refused).await;
    assert_eq!(refused, Ok(Code::Unavailable));
    tokio::time::sleep(LONG).await;
    assert!(!fixture.serving.is_finished(), "it waits for its handler");
    sender.finish(Ok(()), Metadata::new()).expect("open");
    let mut messages = Vec::new();
    let end = receiver.next_batch(&mut messages).await;
    assert_eq!(end.map_err(|error| error.status), Ok(0), "it ended well");
    let served = tokio::time::timeout(MINUTE, fixture.serving).await;
    let served = served.expect("it stops").expect("no panic");
    assert_eq!(served, Ok(()));
}

/// S4-26: out of time, calls end with a status that says so, and the server has stopped.
#[tokio::test(start_paused = true)]
async fn s4_26_out_of_time_calls_end_with_unavailable() {
    let bound = Duration::from_secs(20);
    let fixture = serve(Http2ServerConfig {
        shutdown_timeout: Some(bound),
        ..Http2ServerConfig::default()
    })
    .await;
    let client = client(fixture.addr);
    let options = CallOptions::default();
    let call = client.call(WAIT, Metadata::new(), options).await;
    let (_sender, mut receiver) = call.expect("it opens");
    let echo = client.unary(ECHO, Metadata::new(), Bytes::new(), CallOptions::default());
    echo.await.expect("it serves");
    let began = Instant::now();
    fixture.server.begin_graceful_shutdown();
    let mut messages = Vec::new();
    let end = receiver.next_batch(&mut messages).await;
    let status = end.expect_err("the handler did not end").status;
    assert_eq!(
        (status.code, &*status.message),
        (Code::Unavailable, "the server is shutting down")
    );
    is_about(began.elapsed(), bound);
    fixture.serving.await.expect("no panic").expect("it stops");
    is_about(began.elapsed(), bound);
}

/// S4-07, S4-26: out of time, a client that takes no answers and answers no pings is cut a second later.
#[tokio::test(start_paused = true)]
async fn s4_26_out_of_time_a_client_that_takes_nothing_is_cut() {
    let bound = Duration::from_secs(20);
    let fixture = serve(Http2ServerConfig {
        shutdown_timeout: Some(bound),
        keepalive_timeout: LONG,
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = Raw::client(fixture.addr).await;
    // No window for any stream, and an answer that waits for one.
    write(&mut raw, &frames::setting(4, 0)).await;
    let mut call = block(0, 1, &request(ECHO));
    call.extend(frame(DATA, END_STREAM, 1, &message(b"x")));
    write(&mut raw, &call).await;
    raw.next(HEADERS).await;
    let began = Instant::now();
    fixture.server.begin_graceful_shutdown();
    fixture.serving.await.expect("no panic").expect("it stops");
    is_about(began.elapsed(), bound + Duration::from_secs(1));
    assert_eq!(fixture.counters.connections(), 0, "nobody is left");
    raw.rest().await;
}

/// S4-07: a server that is dropped leaves no client waiting.
#[tokio::test(start_paused = true)]
async fn s4_07_an_abrupt_stop_ends_every_connection() {
    let fixture = serve(Http2ServerConfig::default()).await;
    let client = client(fixture.addr);
    let options = CallOptions::default();
    let call = client.call(WAIT, Metadata::new(), options).await;
    let (_sender, mut receiver) = call.expect("it opens");
    let echo = client.unary(ECHO, Metadata::new(), Bytes::new(), CallOptions::default());
    echo.await.expect("it serves");
    let mut silent = Raw::client(fixture.addr).await;
    silent.next(frames::SETTINGS).await;
    fixture.serving.abort();
    let mut messages = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(1), receiver.next_batch(&mut messages));
    let end = end.await.expect("at once");
    assert_eq!(end.expect_err("no answer").status.code, Code::Unavailable);
    let rest = tokio::time::timeout(Duration::from_secs(1), silent.rest()).await;
    assert!(rest.is_ok(), "a connection outlived its server");
}
