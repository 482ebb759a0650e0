//! Many at once, and faults of one that must not become those of all.

use headwater_upstream::{Context, Failure, Handler, Message, Reply, async_trait};
use headwater_websocket::{Listener, ListenerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::*;

fn publish(number: u64) -> Value {
    json!({
        "type": "sendToGroup", "group": "g", "noEcho": true, "dataType": "json", "data": number,
        "ackId": number,
    })
}

/// Reads `count` messages of the group; acks between them are the reader's own.
async fn hears(client: &mut Client, count: u64) -> Vec<(String, u64)> {
    let mut heard = Vec::new();
    while (heard.len() as u64) < count {
        let message = client.json().await;
        if message["type"] == "ack" {
            assert_eq!(message["success"], true);
            continue;
        }
        let user = message["fromUserId"].as_str().expect("a user").to_owned();
        heard.push((user, message["data"].as_u64().expect("a number")));
    }
    heard
}

fn in_order(heard: &[(String, u64)], of: &str) -> Vec<u64> {
    let of = heard.iter().filter(|(user, _)| user == of);
    of.map(|&(_, number)| number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_group_hears_all_in_the_order_of_each_publisher_and_nobody_hears_itself() {
    const SUBSCRIBERS: usize = 400;
    const MESSAGES: u64 = 100;
    let stage = Stage::start().await;
    let mut readers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut client = stage.knock("chat").group("g").enter().await;
        readers.push(tokio::spawn(async move {
            hears(&mut client, 2 * MESSAGES).await
        }));
    }
    let bob = stage.knock("chat").group("g").user("bob").enter().await;
    let eve = stage.knock("chat").group("g").user("eve").enter().await;
    let mut publishers = Vec::new();
    for mut client in [bob, eve] {
        publishers.push(tokio::spawn(async move {
            for number in 1..=MESSAGES {
                client.say(publish(number)).await;
            }
            hears(&mut client, MESSAGES).await
        }));
    }
    let all: Vec<u64> = (1..=MESSAGES).collect();
    for reader in readers {
        let heard = reader.await.expect("none lost");
        for user in ["bob", "eve"] {
            assert_eq!(
                in_order(&heard, user),
                all,
                "none lost, doubled or overtaken"
            );
        }
    }
    for (publisher, other) in publishers.into_iter().zip(["eve", "bob"]) {
        let heard = publisher.await.expect("none lost");
        assert_eq!(in_order(&heard, other), all, "the other's, and no echo");
    }
}

struct Panics;

#[async_trait]
impl Handler for Panics {
    async fn message(&self, _: &Context, message: Message) -> Result<Reply, Failure> {
        assert!(message.name != "panic", "as the test wants it");
        Ok(Reply::from("fine"))
    }
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_own_event() {
    let stage = Stage::start().await;
    let _upstream = stage.upstream_over("http://127.0.0.1:0", Panics).await;
    let mut client = stage.client().await;
    client.event("panic", "?", 1).await;
    let ack = client.json().await;
    assert_eq!((&ack["ackId"], &ack["success"]), (&json!(1), &json!(false)));
    let message = ack["error"]["message"].as_str().expect("a message");
    assert!(
        !message.contains("as the test wants it"),
        "no internals: {message}"
    );
    client.event("say", "?", 2).await;
    assert_eq!(client.json().await["data"], "fine");
}

#[tokio::test]
async fn a_page_that_panics_ends_its_own_connection() {
    let stage = Stage::start().await;
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(loopback, ListenerConfig::default()).await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("bound");
    let service = stage.service.clone();
    tokio::spawn(async move {
        let pages = |request: &http::Request<_>| {
            assert!(request.uri().path() != "/panic", "as the test wants it");
            None
        };
        let never = std::future::pending();
        service.serve_clients_and(listener, pages, never).await;
    });
    let mut knock = stage.knock("chat");
    knock.address = address;
    let mut good = knock.clone().enter().await;
    let mut bad = tokio::net::TcpStream::connect(address).await.expect("open");
    bad.write_all(b"GET /panic HTTP/1.1\r\nhost: h\r\n\r\n")
        .await
        .expect("written");
    let mut answer = String::new();
    // An end or a reset.
    let _ = soon("the end", bad.read_to_string(&mut answer)).await;
    assert_eq!(answer, "", "no internals");
    good.ping().await;
    knock.enter().await.ping().await;
}

#[tokio::test]
async fn a_service_that_is_dropped_leaves_no_task_behind() {
    let mut stage = Stage::start().await;
    let client = stage.client().await;
    client.leave().await;
    stage
        .stop
        .take()
        .expect("not stopped")
        .send(())
        .expect("listening");
    soon("the listener", &mut stage.serving)
        .await
        .expect("no panic");
    drop(stage);
    let metrics = tokio::runtime::Handle::current().metrics();
    let all_gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the last task", all_gone).await;
}

#[tokio::test]
async fn two_upstreams_of_one_hub_keep_their_own_clients() {
    let stage = Stage::start().await;
    let mut first = stage.registered().await;
    let mut client = first.admit(stage.knock("chat")).await;
    let mut second = stage.registered().await;
    client.event("say", "?", 1).await;
    let event = first.event().await;
    // An answer from the wrong upstream is none.
    let seq = second.reply(&event, "mine");
    assert_eq!(second.refused().await.seq, seq);
    first.reply(&event, "yours");
    assert_eq!(client.json().await["data"], "yours");
}
