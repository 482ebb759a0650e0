//! Clients that misbehave: each gets the stated answer, and a good one beside it goes on undisturbed.

use headwater::auth::{AccessKey, ClientGrant, client_url};
use headwater_core::outbox::OutboxLimits;
use headwater_upstream::v1::{self, event::Event};
use headwater_websocket::ListenerConfig;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

/// A good client, before and after: it hears nothing of what others do.
async fn undisturbed(good: &mut Client) {
    good.ping().await;
}

async fn is_closed_with(code: u16, message: Message) {
    let mut config = config();
    config.message_bytes_max = 1000;
    let stage = Stage::with(config).await;
    let mut good = stage.client().await;
    let mut bad = stage.client().await;
    bad.send(message).await;
    let (before, close) = bad.rest().await;
    let (close_code, reason) = close.expect("a close frame");
    assert_eq!(close_code, code, "{reason}");
    let [Message::Text(told)] = &before[..] else {
        panic!("it is told why first: {before:?}");
    };
    let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
    assert_eq!(told["event"], "disconnected");
    undisturbed(&mut good).await;
}

#[tokio::test]
async fn malformed_json_closes_its_own_client_only() {
    is_closed_with(1007, Message::text("{\"type\":")).await;
}

#[tokio::test]
async fn an_unknown_type_closes_its_own_client_only() {
    is_closed_with(1007, Message::text("{\"type\":\"fly\"}")).await;
}

#[tokio::test]
async fn a_binary_frame_closes_its_own_json_client_only() {
    is_closed_with(1003, Message::binary(&b"{}"[..])).await;
}

#[tokio::test]
async fn an_oversized_message_closes_its_own_client_only() {
    let data = "x".repeat(1000);
    let message = json!({"type": "event", "event": "e", "dataType": "text", "data": data});
    is_closed_with(1009, Message::text(message.to_string())).await;
}

fn signed(key: &str, hub: &str, now: u64) -> String {
    let key = AccessKey::new(key).expect("long enough");
    let url = client_url(ENDPOINT, &key, &ClientGrant::new(hub), now).expect("a url");
    url.split_once("access_token=").expect("a token").1.into()
}

#[tokio::test]
async fn a_token_that_is_not_good_is_401_and_says_no_more() {
    let stage = Stage::start().await;
    let mut good = stage.client().await;
    let now = unix_seconds();
    let bad = [
        ("missing", String::new()),
        ("nonsense", "nonsense".into()),
        ("expired", signed(KEY, "chat", now - 3600 - 120)),
        (
            "forged",
            signed("another-key-of-32-bytes-or-longer", "chat", now),
        ),
        ("for another hub", signed(KEY, "other", now)),
    ];
    for (what, token) in bad {
        let refused = stage.knock("chat").token(token).try_enter().await;
        let refused = refused.expect_err(what);
        let expected = Refused {
            status: 401,
            text: "the access token is missing or not valid\n".into(),
        };
        assert_eq!(refused, expected, "{what}");
    }
    undisturbed(&mut good).await;
    assert_eq!(stage.service.counts(), (1, 0));
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_and_the_others_hear_everything() {
    const MESSAGES: u64 = 600;
    let mut config = config();
    config.outbox = OutboxLimits {
        bytes_max: 256 << 10,
        messages_max: 1000,
    };
    let stage = Stage::with(config).await;
    let mut link = stage.registered().await;
    let mut stuck = link.admit(stage.knock("chat").group("g")).await;
    let mut reader = link.admit(stage.knock("chat").group("g").user("bob")).await;
    let mut writer = link.admit(stage.knock("chat")).await;
    let data = "x".repeat(32 << 10);
    for number in 1..=MESSAGES {
        let message = json!({"type": "sendToGroup", "group": "g", "dataType": "text", "data": data, "ackId": number});
        writer.say(message).await;
        assert_eq!(writer.json().await["success"], true);
        let heard = reader.json().await;
        assert_eq!(heard["data"].as_str().map(str::len), Some(data.len()));
    }
    let gone = link.event().await;
    assert_eq!(
        gone.id.as_ref().map(|id| &*id.connection_id),
        Some(&*stuck.id)
    );
    let Some(Event::Disconnected(v1::Disconnected { reason })) = gone.event else {
        panic!("the upstream hears of it: {gone:?}");
    };
    assert_eq!(reason, "the client reads too slowly");
    assert_eq!(stage.service.counts(), (2, 1));
    // It finds what the kernel held, and then the end: far less than was published.
    let (before, _) = stuck.rest().await;
    assert!((before.len() as u64) < MESSAGES / 2, "{}", before.len());
    undisturbed(&mut reader).await;
}

#[tokio::test]
async fn a_cut_client_that_reads_again_in_time_is_told_1008() {
    let mut config = config();
    config.outbox = OutboxLimits {
        bytes_max: 64 << 10,
        messages_max: 1000,
    };
    let stage = Stage::with(config).await;
    let mut slow = stage.knock("chat").group("g").enter().await;
    let mut writer = stage.client().await;
    let data = "x".repeat(64 << 10);
    let mut number = 0;
    while stage.service.counts().0 == 2 {
        number += 1;
        assert!(number < 1000, "the kernel cannot hold so much");
        let message = json!({"type": "sendToGroup", "group": "g", "dataType": "text", "data": data, "ackId": number});
        writer.say(message).await;
        assert_eq!(writer.json().await["success"], true);
    }
    let (before, close) = slow.rest().await;
    let (code, reason) = close.expect("a close frame");
    assert_eq!((code, &*reason), (1008, "the client reads too slowly"));
    let Some(Message::Text(last)) = before.last() else {
        panic!("words before");
    };
    assert!(last.contains("disconnected"), "{last}");
}

#[tokio::test]
async fn a_handshake_that_dawdles_is_dropped() {
    let listener = ListenerConfig {
        handshake_timeout: FAR,
        ..ListenerConfig::default()
    };
    let stage = Stage::listening(config(), listener).await;
    let mut good = stage.client().await;
    let mut dawdler = TcpStream::connect(stage.address).await.expect("open");
    dawdler
        .write_all(b"GET /client/hubs/chat HTTP/1.1\r\n")
        .await
        .expect("written");
    let mut answer = Vec::new();
    // However it is dropped: by an answer, an end or a reset.
    let _ = overdue("the end", dawdler.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 101"), "not let in");
    undisturbed(&mut good).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_its_connect_waits_is_withdrawn() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut good = link.admit(stage.knock("chat")).await;
    let token = stage.knock("chat").good_token();
    let mut leaver = TcpStream::connect(stage.address).await.expect("open");
    let request = format!(
        "GET /client/hubs/chat?access_token={token} HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    leaver.write_all(request.as_bytes()).await.expect("written");
    let connect = link.event().await;
    drop(leaver);
    let cancel = link.next().await;
    assert!(
        matches!(&cancel, v1::service_frame::Frame::Cancel(cancel) if cancel.id == connect.id),
        "{cancel:?}"
    );
    // Accepted too late: nobody is let in, and no `connected` follows.
    link.accept(&connect);
    assert_eq!(link.refused().await.seq, 2);
    undisturbed(&mut good).await;
    assert_eq!(stage.service.counts(), (1, 1));
}

#[tokio::test]
async fn there_is_nothing_but_clients_and_health_on_the_port() {
    let stage = Stage::start().await;
    for (request, status) in [
        ("GET /api/health", "200"),
        ("GET /", "404"),
        ("GET /client/hubs/chat", "426"),
        ("POST /client/hubs/chat", "426"),
    ] {
        let mut socket = TcpStream::connect(stage.address).await.expect("open");
        let request = format!("{request} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        soon("an answer", socket.read_to_string(&mut answer))
            .await
            .expect("text");
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request}");
    }
}
