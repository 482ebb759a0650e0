//! Server sessions on a fake socket and a clock that stands still.

mod fake;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_proto::{
    Code,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{CancelReason, IncomingCall, Router};
use tokio::{sync::mpsc, time::Instant};

use self::fake::{Came, Fake, bounds, open, packet, request};
use super::*;

const ECHO: &str = "/t.T/Echo";
/// Waits until it is cancelled, and reads nothing.
const WAIT: &str = "/t.T/Wait";
/// Sends 1 KiB again and again.
const FLOOD: &str = "/t.T/Flood";
/// Ends when it is told to.
const GO: &str = "/t.T/Go";

struct Handlers {
    router: Router,
    cancelled: mpsc::UnboundedReceiver<(CancelReason, Instant)>,
    go: Arc<tokio::sync::Notify>,
}

fn handlers() -> Handlers {
    let router = Router::new();
    let (saw, cancelled) = mpsc::unbounded_channel();
    let go = Arc::new(tokio::sync::Notify::new());
    router.unary(ECHO, |request| async { Ok(request.message) });
    router.stream(WAIT, move |call| {
        let saw = saw.clone();
        async move {
            let call: IncomingCall = call;
            let reason = call.cancellation.cancelled().await;
            let _ = saw.send((reason, Instant::now()));
        }
    });
    router.stream(FLOOD, |call| async move {
        let chunk = Bytes::from(vec![0; 1 << 10]);
        while call.sender.send(chunk.clone()).await.is_ok() {}
    });
    let told = Arc::clone(&go);
    router.stream(GO, move |call| {
        let told = Arc::clone(&told);
        async move {
            let call: IncomingCall = call;
            told.notified().await;
            let _ = call.sender.finish(Ok(()), headwater_rpc::Metadata::new());
        }
    });
    Handlers {
        router,
        cancelled,
        go,
    }
}

fn kinds(packets: &[RpcPacket]) -> Vec<PacketType> {
    packets.iter().map(RpcPacket::r#type).collect()
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanishes_is_noticed_in_the_stated_time() {
    let mut handlers = handlers();
    let mut fake = Fake::serve(handlers.router, bounds()).await;
    let began = Instant::now();
    fake.says(&open(WAIT, 1));
    let (reason, at) = handlers.cancelled.recv().await.expect("it is told");
    assert_eq!(reason, CancelReason::Peer);
    assert_eq!(
        at - began,
        Duration::from_secs(8),
        "the interval and the timeout"
    );
    (&mut fake.session).await.expect("no panic");
    assert_eq!(fake.log().pings, 1, "it was asked first");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_is_kept() {
    let handlers = handlers();
    let fake = Fake::serve(handlers.router, bounds()).await;
    for round in 1..20 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(fake.log().pings, round, "it was silent for too long");
        fake.comes(Came::Sign);
    }
    assert!(!fake.session.is_finished(), "it answered each time");
}

/// Behind a slow line a pong may come late, for the ping waits behind all that is on its way.
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_something_now_and_then_is_kept() {
    let handlers = handlers();
    let fake = Fake::serve(handlers.router, bounds()).await;
    fake.says(&packet(PacketType::Request, FLOOD, 1));
    for _ in 0..20 {
        fake.log().is_blocked = true;
        let mut more = packet(PacketType::ClientExtension, FLOOD, 1);
        more.extend().credit = Some(headwater_proto::pw_rpc::Credit {
            messages: 300,
            bytes: 300 << 10,
        });
        // The one thing that is heard: that there is room for more.
        fake.says(&more);
        tokio::time::sleep(Duration::from_secs(7)).await;
        fake.unblock();
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    assert!(!fake.session.is_finished(), "it takes what is sent");
}

#[tokio::test(start_paused = true)]
async fn a_socket_without_calls_is_closed_after_its_time() {
    let handlers = handlers();
    let config = SessionConfig {
        ping_interval: Duration::from_secs(3600),
        idle_timeout: Some(Duration::from_secs(10)),
        ..bounds()
    };
    let fake = Fake::serve(handlers.router, config).await;
    fake.says(&open(GO, 1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!fake.session.is_finished(), "it has a call");
    handlers.go.notify_one();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!fake.session.is_finished(), "it is not idle long enough");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let close = fake.log().close.clone();
    assert_eq!(close.map(|(code, _)| code), Some(1001));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_refuses_new_calls_and_lets_open_ones_end() {
    let handlers = handlers();
    let mut fake = Fake::serve(handlers.router, bounds()).await;
    fake.says(&open(GO, 1));
    fake.until("the call is open", |_| fake.server.open_calls() == 1)
        .await;
    fake.stopping.send_replace(true);
    fake.until("it is announced", |log| {
        let extension = log.packets.last().and_then(|it| it.extension.as_ref());
        extension.is_some_and(|extension| extension.going_away)
    })
    .await;
    fake.says(&request(ECHO, 2, "late"));
    fake.until("it is refused", |log| {
        log.packets.last().is_some_and(|it| it.call_id == 2)
    })
    .await;
    let refused = fake.log().packets.last().cloned().expect("it came");
    assert_eq!(refused.r#type(), PacketType::ServerError);
    let code = refused.outcome().map_err(|status| status.code);
    assert_eq!(code, Err(Code::Unavailable));
    assert!(
        refused.extension.is_some_and(|it| it.refused),
        "may be sent again"
    );

    assert_eq!(fake.log().close, None, "a call is open");
    handlers.go.notify_one();
    (&mut fake.session).await.expect("no panic");
    let log = fake.log();
    let last = log.packets.last().map(RpcPacket::r#type);
    assert_eq!(last, Some(PacketType::Response), "it ended as it likes");
    assert_eq!(log.close.as_ref().map(|(code, _)| *code), Some(1001));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_bounds_what_waits_for_it() {
    let handlers = handlers();
    let plain = SessionConfig {
        is_extended: false,
        ping_interval: Duration::from_secs(3600),
        ..bounds()
    };
    let fake = Fake::serve(handlers.router, plain).await;
    fake.log().is_blocked = true;
    for call_id in 1..=20 {
        // No extension, so there is no credit that could hold it back.
        fake.says(&packet(PacketType::Request, FLOOD, call_id));
    }
    fake.until("all are open", |_| fake.server.open_calls() == 20)
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let most = fake.log().unflushed_most;
    // What is unwritten when the last pull is taken, and that pull.
    assert!(most < (128 << 10) + (270 << 10), "{most} bytes wait");
    let before = fake.log().packets.len();
    fake.unblock();
    fake.until("it goes on", |log| log.packets.len() > before + 1000)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_makes_mistakes_and_reads_no_answers_is_not_read() {
    let handlers = handlers();
    let config = SessionConfig {
        ping_interval: Duration::from_secs(3600),
        ..bounds()
    };
    let fake = Fake::serve(handlers.router, config).await;
    fake.log().is_blocked = true;
    const MISTAKES: usize = 100_000;
    for _ in 0..MISTAKES {
        fake.says(&packet(PacketType::ClientStream, ECHO, 7));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let read = fake.log().messages;
    let waits = fake.log().unflushed;
    assert!(read < MISTAKES / 2, "{read} of {MISTAKES} were read");
    assert!(waits < 2 << 20, "{waits} bytes of answers wait");
    fake.unblock();
    fake.until("the rest is read", |log| log.messages == MISTAKES)
        .await;
    let answers = fake.log().packets.len();
    assert_eq!(answers, MISTAKES, "each has its answer");
}

#[tokio::test(start_paused = true)]
async fn what_comes_together_is_answered_in_one_write() {
    let handlers = handlers();
    let fake = Fake::serve(handlers.router, bounds()).await;
    for call_id in 1..=64 {
        fake.says(&request(ECHO, call_id, "x"));
    }
    fake.until("all are answered", |log| log.packets.len() == 64)
        .await;
    assert_eq!(fake.log().flushes, 1);
    let all = kinds(&fake.log().packets);
    assert!(
        all.iter().all(|kind| *kind == PacketType::Response),
        "headers, message and status of a call are one packet: {all:?}"
    );
}

/// A cancel reaches the handler with its packet; nothing else comes, and nobody reads.
#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_a_handler_that_does_not_read() {
    let mut handlers = handlers();
    let fake = Fake::serve(handlers.router, bounds()).await;
    let began = Instant::now();
    fake.says(&open(WAIT, 1));
    fake.until("it is open", |_| fake.server.open_calls() == 1)
        .await;
    let mut cancel = packet(PacketType::ClientError, WAIT, 1);
    cancel.status = 1;
    fake.says(&cancel);
    let (reason, at) = handlers.cancelled.recv().await.expect("it is told");
    assert_eq!((reason, at - began), (CancelReason::Peer, Duration::ZERO));
    assert_eq!(fake.log().packets, [], "a cancel is not answered");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_travels_with_the_request() {
    let mut handlers = handlers();
    let config = SessionConfig {
        ping_interval: Duration::from_secs(3600),
        ..bounds()
    };
    let fake = Fake::serve(handlers.router, config).await;
    let began = Instant::now();
    let mut request = open(WAIT, 1);
    let timeout = Duration::from_secs(3);
    request.extend().set_timeout(Some(timeout));
    fake.says(&request);
    let (reason, at) = handlers.cancelled.recv().await.expect("it is told");
    assert_eq!(reason, CancelReason::Deadline);
    let took = at - began;
    assert!(took >= timeout && took < timeout * 2, "{took:?}");
    fake.until("the client is told", |log| !log.packets.is_empty())
        .await;
    let outcome = fake.log().packets[0].outcome().map_err(|it| it.code);
    assert_eq!(outcome, Err(Code::DeadlineExceeded));
}

/// S5-66: of a peer that knows no credit, a call whose requests nobody reads is bounded.
#[tokio::test(start_paused = true)]
async fn s5_66_a_plain_peer_that_is_not_read_is_cut_off_in_that_call() {
    let mut handlers = handlers();
    let plain = SessionConfig {
        is_extended: false,
        ..bounds()
    };
    let fake = Fake::serve(handlers.router, plain).await;
    fake.says(&packet(PacketType::Request, WAIT, 1));
    let mut message = packet(PacketType::ClientStream, WAIT, 1);
    message.payload = Bytes::from(vec![0; 1 << 10]);
    for _ in 0..300 {
        fake.says(&message);
    }
    fake.until("it is told", |log| !log.packets.is_empty())
        .await;
    let first = fake.log().packets[0].clone();
    assert_eq!(first.r#type(), PacketType::ServerError);
    let code = first.outcome().map_err(|status| status.code);
    assert_eq!(code, Err(Code::ResourceExhausted));
    handlers.cancelled.recv().await.expect("the handler knows");
    // Others on the socket go on, and a plain peer gets nothing that it does not know.
    let mut other = packet(PacketType::Request, ECHO, 2);
    other.payload = Bytes::from("x");
    fake.says(&other);
    fake.until("it is served", |log| {
        log.packets.last().is_some_and(|it| it.call_id == 2)
    })
    .await;
    let answer = fake.log().packets.last().cloned().expect("it came");
    assert_eq!(
        (answer.r#type(), answer.payload),
        (PacketType::Response, "x".into())
    );
    assert_eq!(answer.extension, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_dropped_ends_its_calls() {
    let mut handlers = handlers();
    let fake = Fake::serve(handlers.router, bounds()).await;
    fake.says(&open(WAIT, 1));
    fake.until("it is open", |_| fake.server.open_calls() == 1)
        .await;
    fake.session.abort();
    let (reason, _) = handlers.cancelled.recv().await.expect("it is told");
    assert_eq!(reason, CancelReason::Peer);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_end_of_a_socket_counts() {
    let handlers = handlers();
    let fake = Fake::serve(handlers.router, bounds()).await;
    fake.says(&open(GO, 1));
    fake.comes(Came::Over(Over::with_code(1002, "nonsense")));
    fake.until("it is closed", |log| log.close.is_some()).await;
    let close = fake.log().close.clone();
    assert_eq!(close, Some((1002, "nonsense".to_owned())));
    assert_eq!(fake.server.open_calls(), 0, "nobody waits");
}
