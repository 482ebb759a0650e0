//! S1-27: an upstream that is slow fills its window and no more; its clients are read no further until it goes on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use headwater_upstream::v1;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{support::*, upstreams::acked};

/// Far more than the sockets of one client hold: 20 MiB.
const MESSAGES: u64 = 160;
const MESSAGE_BYTES: usize = 128 << 10;
/// What may wait in the hub; one message more would fail at once.
const WAITING_BYTES_MAX: usize = 1 << 20;
const WINDOW: usize = 2;

async fn stage() -> Stage {
    let mut config = config();
    config.waiting_bytes_max = WAITING_BYTES_MAX;
    Stage::with(config).await
}

async fn register_narrow(link: &mut Link) {
    let mut wish = register();
    wish.window = Some(v1::Window {
        events: WINDOW as u32,
        bytes: 0,
    });
    link.register(wish).await;
}

/// A client that says more than anybody takes, reading nothing; and how many messages its socket took.
fn talk(mut client: Client) -> (JoinHandle<Client>, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let talking = tokio::spawn(async move {
        let text = "x".repeat(MESSAGE_BYTES);
        for number in 1..=MESSAGES {
            client.event("say", &text, number).await;
            count.store(number, Ordering::Relaxed);
        }
        client
    });
    (talking, taken)
}

fn ack_id_of(ack: &Value) -> u64 {
    ack["ackId"].as_u64().expect("an ack")
}

async fn a_slow_upstream_pauses_its_client(stage: &Stage, mut link: Link) {
    register_narrow(&mut link).await;
    let client = link.admit(stage.knock("chat")).await;
    let (talking, taken) = talk(client);
    let mut unsettled = Vec::new();
    for _ in 0..WINDOW {
        unsettled.push(link.event().await);
    }
    // Now all stand still: the client before its socket, the service before the client, the link before its window.
    quiet().await;
    link.hears_nothing().await;
    quiet().await;
    assert!(!talking.is_finished(), "the service reads on and on");
    let stalled = taken.load(Ordering::Relaxed);
    pass(FAR / 2).await;
    assert_eq!(
        taken.load(Ordering::Relaxed),
        stalled,
        "nothing more is read"
    );
    link.hears_nothing().await;

    // One more comes for each that is settled, and in their order.
    let mut numbers = Vec::new();
    while !unsettled.is_empty() {
        let event = unsettled.remove(0);
        numbers.push(event.id.as_ref().expect("an id").number);
        link.reply(&event, "");
        link.settle(&event);
        if numbers.len() + unsettled.len() < MESSAGES as usize {
            unsettled.push(link.event().await);
            link.hears_nothing().await;
        }
    }
    let expected: Vec<_> = (3..3 + MESSAGES).collect();
    assert_eq!(numbers, expected, "none lost, doubled or overtaken");
    let mut client = soon("every message read", talking).await.expect("sent");
    for number in 1..=MESSAGES {
        assert_eq!(client.json().await["data"], "");
        // Had more waited than may, this would say that it failed.
        assert_eq!(client.json().await, acked(number));
    }
    client.ping().await;
}

#[tokio::test]
async fn s1_27_a_slow_upstream_gets_its_window_and_pauses_its_client() {
    let stage = stage().await;
    let link = stage.link().await;
    a_slow_upstream_pauses_its_client(&stage, link).await;
}

#[tokio::test]
async fn s1_27_a_slow_upstream_gets_its_window_and_pauses_its_client_over_http2() {
    let stage = stage().await;
    let link = stage.link_over_http2().await;
    a_slow_upstream_pauses_its_client(&stage, link).await;
}

/// The bound is there and it is the one that was stated: what does not fit fails at once, and what fits does not.
#[tokio::test]
async fn s1_27_what_waits_is_bounded_over_all_clients_and_one_too_many_is_told() {
    const CLIENTS: usize = 20;
    let stage = stage().await;
    let mut link = stage.link_over_http2().await;
    register_narrow(&mut link).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(link.admit(stage.knock("chat")).await);
    }
    // The first two fill the window; then one message of each other waits, until the bytes are spent.
    let text = "x".repeat(MESSAGE_BYTES);
    let fit = WINDOW + WAITING_BYTES_MAX / (MESSAGE_BYTES + 256);
    for client in &mut clients[..WINDOW] {
        client.event("say", &text, 1).await;
        link.event().await;
    }
    for (place, client) in clients.iter_mut().enumerate().skip(WINDOW) {
        client.event("say", &text, 1).await;
        if place < fit {
            quiet().await;
            continue;
        }
        let ack = client.json().await;
        assert_eq!(
            (ack_id_of(&ack), &ack["success"]),
            (1, &json!(false)),
            "client {place}"
        );
    }
    link.hears_nothing().await;
}

#[tokio::test]
async fn s1_27_a_client_beside_a_paused_one_goes_on() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let client = link.admit(stage.knock("chat")).await;
    let mut other = link.admit(stage.knock("chat")).await;
    let id = client.id.clone();
    let (talking, _) = talk(client);
    // As many as one lane may have unsettled.
    for _ in 0..8 {
        let event = link.event().await;
        assert_eq!(event.id.expect("an id").connection_id, id);
    }
    quiet().await;
    link.hears_nothing().await;
    assert!(!talking.is_finished(), "the service reads on and on");
    other.event("say", "?", 1).await;
    let event = link.event().await;
    link.reply(&event, "!");
    assert_eq!(other.json().await["data"], "!", "its lane is its own");
    assert_eq!(other.json().await, acked(1));
    assert!(!talking.is_finished(), "the other is still paused");
}
