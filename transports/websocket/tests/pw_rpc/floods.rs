//! Too much of something: the flood is taken without holding anything of it, or ends, and everyone else is served on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use headwater_proto::{
    Code, Metadata,
    pw_rpc::{Extension, PacketType},
};
use headwater_rpc::ServerConfig;
use headwater_websocket::WebSocketServerConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
};

use crate::support::{ECHO, FLOOD, Good, NONE, Target, WAIT, eventually, packet, with, within};

/// A frame of a client, with a mask of zero.
fn message(packet: &headwater_proto::pw_rpc::RpcPacket) -> Vec<u8> {
    let bytes = packet.to_bytes();
    let len = u8::try_from(bytes.len()).expect("short");
    assert!(len < 126, "short");
    [&[0x82, 0x80 | len, 0, 0, 0, 0][..], &bytes].concat()
}

/// Sends without reading, until all is sent or the server takes no more for a while; others are served meanwhile.
async fn flood(target: &Target, name: &str, piece: Vec<u8>) {
    let mut raw = target.raw().await;
    let flood = piece.repeat((256 << 10) / piece.len());
    for _ in 0..8 {
        let writing = tokio::time::timeout(Duration::from_millis(200), raw.write_all(&flood));
        let is_stuck = writing.await.is_err();
        target.good.is_served(name).await;
        if is_stuck {
            break;
        }
    }
    drop(raw);
    target.is_as_before(name).await;
}

#[tokio::test]
async fn floods_that_nobody_reads_the_answers_of() {
    let target = Target::start().await;
    let mut cancelled = message(&packet(PacketType::Request, WAIT, 1));
    cancelled.extend(message(&packet(PacketType::ClientError, WAIT, 1)));
    let mut unary = packet(PacketType::Request, ECHO, 1);
    unary.payload = vec![7; 60].into();
    let floods = [
        ("pings", vec![0x89, 0x84, 0, 0, 0, 0, 1, 2, 3, 4]),
        ("pongs", vec![0x8A, 0x80, 0, 0, 0, 0]),
        ("empty messages", vec![0x82, 0x80, 0, 0, 0, 0]),
        (
            "garbage",
            vec![0x82, 0x84, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
        (
            "calls of nothing",
            message(&packet(PacketType::Request, NONE, 1)),
        ),
        (
            "messages of no call",
            message(&packet(PacketType::ClientStream, ECHO, 9)),
        ),
        ("calls that are cancelled at once", cancelled),
        ("calls in place of themselves", message(&unary)),
        (
            "floods in place of themselves",
            message(&packet(PacketType::Request, FLOOD, 1)),
        ),
    ];
    for (name, piece) in floods {
        flood(&target, name, piece).await;
    }
}

/// A message in pieces of no bytes that never ends.
#[tokio::test]
async fn a_message_without_an_end() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    raw.write_all(&[0x02, 0x80, 0, 0, 0, 0])
        .await
        .expect("open");
    let pieces = [0x00, 0x80, 0, 0, 0, 0].repeat(50_000);
    for _ in 0..10 {
        raw.write_all(&pieces).await.expect("it is open");
        target
            .good
            .is_served("beside a message without an end")
            .await;
    }
    drop(raw);
    target.is_as_before("a message without an end").await;
}

#[tokio::test]
async fn calls_over_the_limit_are_refused_and_others_go_on() {
    let target = Target::with(WebSocketServerConfig {
        calls_max: 3,
        ..WebSocketServerConfig::default()
    })
    .await;
    let mut peer = target.peer(Some("pw_rpc")).await;
    for call_id in 1..=4 {
        peer.says(&packet(PacketType::Request, WAIT, call_id)).await;
    }
    let refused = peer.hears().await;
    let outcome = refused.outcome().map_err(|status| status.code);
    let got = (refused.r#type(), refused.call_id, outcome);
    let expected = (PacketType::ServerError, 4, Err(Code::ResourceExhausted));
    assert_eq!(got, expected);
    target.good.is_served("while another socket is full").await;

    let mut cancel = packet(PacketType::ClientError, WAIT, 1);
    cancel.status = 1;
    peer.says(&cancel).await;
    // Its handler hears of it before this test goes on.
    eventually("the call to end", || target.server.open_calls() == 2).await;
    peer.is_served(5, "a place is free again").await;
    drop(peer);
    target.is_as_before("a full socket").await;
}

/// Rapid reset: calls that were cancelled count as long as their handlers run, all together and by their method.
#[tokio::test]
async fn cancelled_calls_bound_their_handlers() {
    const DEAF: &str = "/t.T/Deaf";
    let target = Target::with(WebSocketServerConfig {
        calls_max: 3,
        method_calls_max: Some(2),
        ..WebSocketServerConfig::default()
    })
    .await;
    let running = Arc::<AtomicUsize>::default();
    let end = Arc::new(Semaphore::new(0));
    let (runs, ends) = (Arc::clone(&running), Arc::clone(&end));
    target.router.stream(DEAF, move |call| {
        let (runs, ends) = (Arc::clone(&runs), Arc::clone(&ends));
        async move {
            let _call = call;
            runs.fetch_add(1, Ordering::SeqCst);
            let _ = ends.acquire().await;
            runs.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let mut peer = target.peer(Some("pw_rpc")).await;
    for round in 0..10 {
        for call_id in [1, 2] {
            peer.says(&packet(PacketType::Request, DEAF, call_id)).await;
            if round > 0 {
                let refused = peer.hears().await;
                let outcome = refused.outcome().map_err(|status| status.code);
                assert_eq!(outcome, Err(Code::ResourceExhausted), "round {round}");
                continue;
            }
            let what = format!("handler {call_id}");
            eventually(&what, || running.load(Ordering::SeqCst) == call_id as usize).await;
            let mut cancel = packet(PacketType::ClientError, DEAF, call_id);
            cancel.status = 1;
            peer.says(&cancel).await;
        }
        assert_eq!(running.load(Ordering::SeqCst), 2, "as many as may run");
    }
    peer.is_served(3, "another method").await;
    peer.says(&packet(PacketType::Request, WAIT, 4)).await;
    eventually("a third handler", || target.server.open_calls() == 1).await;
    peer.says(&packet(PacketType::Request, ECHO, 5)).await;
    let refused = peer.hears().await.outcome().map_err(|status| status.code);
    assert_eq!(refused, Err(Code::ResourceExhausted), "three handlers run");
    target.good.is_served("while another socket is full").await;

    end.close();
    eventually("the handlers to end", || {
        running.load(Ordering::SeqCst) == 0
    })
    .await;
    peer.is_served(6, "a place is free again").await;
    drop(peer);
    target.is_as_before("cancelled calls").await;
}

/// Responses of ended calls that the client gives no credit for are given up, wherever they wait: all of them in the machine,
/// or some still in the call.
#[tokio::test]
async fn responses_that_get_no_credit_are_given_up() {
    for messages in [300, 1000] {
        let bounds = ServerConfig {
            unread_timeout: Some(Duration::from_millis(50)),
            ..ServerConfig::default()
        };
        let target = Target::with_bounds(WebSocketServerConfig::default(), bounds).await;
        let path = "/t.T/Much";
        target.router.stream(path, move |call| async move {
            for _ in 0..messages {
                call.sender.try_send("x".into()).expect("there is room");
            }
            let _ = call.sender.finish(Ok(()), Metadata::new());
        });
        let mut peer = target.peer(Some("headwater.v1.pw_rpc")).await;
        let mut request = packet(PacketType::Request, path, 1);
        *request.extend() = Extension::default();
        peer.says(&request).await;
        let mut got = 0;
        let end = loop {
            let heard = peer.hears().await;
            if heard.r#type() != PacketType::ServerStream {
                break heard;
            }
            got += usize::from(!heard.payload.is_empty());
        };
        assert_eq!(
            got, 256,
            "of {messages}: the credit that every call begins with"
        );
        let outcome = end.outcome().map_err(|status| status.code);
        assert_eq!(outcome, Err(Code::Cancelled), "of {messages}");
        target.is_as_before("responses without credit").await;
    }
}

#[tokio::test]
async fn connections_over_the_limit_are_refused() {
    let mut config = WebSocketServerConfig::default();
    config.listener.connections_max = 2;
    let target = Target::with(config).await;
    let other = target.peer(None).await;
    let late = Good::new(target.addr);
    let refused = late.call().await.map_err(|status| status.code);
    assert_eq!(refused, Err(Code::Unavailable));
    target.good.is_served("when the server is full").await;
    drop(other);
    late.call_when_ready().await.expect("a place is free again");
}

/// A peer that has a call and falls silent: no FIN, no pong. Its call ends, because nothing is heard of it.
#[tokio::test]
async fn a_peer_that_vanishes_without_a_word() {
    let target = Target::with(WebSocketServerConfig {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(50),
        ..WebSocketServerConfig::default()
    })
    .await;
    let mut raw = target.raw().await;
    let open = message(&packet(PacketType::Request, WAIT, 1));
    raw.write_all(&open).await.expect("it is open");
    eventually("the call to open", || target.server.open_calls() == 1).await;
    eventually("the call to end", || target.server.open_calls() == 0).await;
    target.good.is_served("after a peer has vanished").await;
    let mut rest = Vec::new();
    let end = within("the end of the socket", raw.read_to_end(&mut rest)).await;
    end.expect("it is closed");
    assert_eq!(rest.first(), Some(&0x89), "it was asked first: {rest:?}");
}

/// A peer that reads nothing of a stream is held, and ended by its silence or not at all, while the handler is blocked.
#[tokio::test]
async fn a_peer_that_reads_nothing_holds_its_handler_back() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let open = message(&with(packet(PacketType::Request, FLOOD, 1), ""));
    raw.write_all(&open).await.expect("it is open");
    eventually("the call to open", || target.server.open_calls() == 1).await;
    for _ in 0..20 {
        target
            .good
            .is_served("beside a peer that reads nothing")
            .await;
    }
    drop(raw);
    target.is_as_before("a peer that reads nothing").await;
}
