//! Two services behind one client that goes round.

use std::time::Duration;

use headwater_http2::{Http2Client, Http2ClientConfig};
use headwater_proto::wps_rpc::{Answer, ConnectionExistsRequest};
use headwater_rpc::{Client as RpcClient, Code, channel::Policy};

use crate::{
    support::*,
    upstreams::{acked, echoed},
};

/// As many as a connection may have under way.
const MESSAGES: u64 = 8;

async fn round_robin(nodes: [&Stage; 2]) -> RpcClient {
    let mut addresses = Vec::new();
    for node in nodes {
        let url = node.listen_http2().await;
        addresses.push(url.trim_start_matches("http://").to_owned());
    }
    let mut config = Http2ClientConfig::default();
    config.channel.balancer.policy = Policy::RoundRobin;
    config.channel.balancer.back_off.initial = Duration::from_millis(10);
    let target = format!("ipv4:{}", addresses.join(","));
    let client = Http2Client::to(&target, "service.test", &config).expect("a target");
    let client = RpcClient::new(client);
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    client
}

/// Whether this node has the connection, asked of whichever is next.
async fn next_has(client: &RpcClient, connection_id: &str) -> bool {
    let request = ConnectionExistsRequest {
        connection_id: connection_id.into(),
        hub: "chat".into(),
    };
    let answer: Answer = call(client, &token(&[]), "connectionExists", request)
        .await
        .expect("answered");
    answer.yes
}

/// Returns once the client takes both in turn.
async fn in_turn(client: &RpcClient, connection_id: &str) {
    let mut last = [false; 4];
    while last[0] == last[1] || last[1] == last[2] || last[2] == last[3] {
        last.rotate_left(1);
        last[3] = next_has(client, connection_id).await;
    }
}

#[tokio::test]
async fn s1_21_acks_on_the_stream_reach_the_node_that_asked_and_in_plain_calls_half_do_not() {
    let nodes = [Stage::start().await, Stage::start().await];
    let client = round_robin([&nodes[0], &nodes[1]]).await;
    let known = nodes[0].client().await;
    in_turn(&client, &known.id).await;
    known.leave().await;

    // A Link each: all acks go where the events came from.
    let mut links = Vec::new();
    for _ in &nodes {
        let mut link = Link::open(client.clone(), &token(&[])).await;
        link.register(register()).await;
        links.push(link);
    }
    let registered = nodes.each_ref().map(|node| node.service.counts().1);
    assert_eq!(registered, [1, 1], "one at each");
    let mut stay = Vec::new();
    for node in &nodes {
        let entering = tokio::spawn(node.knock("chat").enter());
        let (mut here, mut there) = (links.remove(0), links.remove(0));
        let connect = tokio::select! {
            connect = here.event() => connect,
            connect = there.event() => {
                std::mem::swap(&mut here, &mut there);
                connect
            }
        };
        here.accept(&connect);
        let connected = here.event().await;
        here.settle(&connected);
        let mut client = soon("101", entering).await.expect("let in");
        for number in 1..=MESSAGES {
            client.event("say", "?", number).await;
            let message = here.event().await;
            here.reply(&message, "reached");
            here.settle(&message);
            assert_eq!(client.json().await, echoed("reached"));
            assert_eq!(client.json().await, acked(number));
        }
        here.hears_nothing().await;
        links.extend([here, there]);
        stay.push(client);
    }
    drop(links);
    for node in &nodes {
        until("the links have gone", || node.service.counts().1 == 0).await;
    }

    // In plain calls: one has the registration, and every other ack comes to the other.
    let mut app = App::register(client.clone(), &token(&[]), registration())
        .await
        .expect("registered");
    let node = nodes.iter().find(|node| node.service.counts().1 == 1);
    let node = node.expect("one of them has it");
    let entering = tokio::spawn(node.knock("chat").enter());
    let id = app.connecting().await.connection_id;
    let mut misses = 0;
    while app.accept(&id).await.is_err() {
        misses += 1;
        assert!(misses < 2, "every other call reaches it");
    }
    let mut sender = soon("101", entering).await.expect("let in");
    assert_eq!(app.connected().await.connection_id, id);
    let mut events = Vec::new();
    for number in 1..=MESSAGES {
        sender.event("say", "?", number).await;
        events.push(context(&app.said().await.context).event_id);
    }
    let mut outcomes = Vec::new();
    for event_id in events {
        outcomes.push(app.reply_code(&id, event_id).await);
    }
    let reached = outcomes
        .iter()
        .filter(|outcome| **outcome == Ok(()))
        .count();
    let missed = outcomes
        .iter()
        .filter(|outcome| **outcome == Err(Code::NotFound));
    assert_eq!((reached, missed.count()), (4, 4), "{outcomes:?}");
    for (outcome, number) in outcomes.iter().zip(1..) {
        if *outcome == Ok(()) {
            sender.json().await;
            assert_eq!(
                sender.json().await,
                acked(number),
                "only those have their answer"
            );
        }
    }
    sender.ping().await;
}
