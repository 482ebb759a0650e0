//! A client that is read no more while its events wait for the upstream.

use headwater_upstream::v1::{self, event::Event, service_frame::Frame as Said};

use crate::support::*;

/// A client with more to say than the upstream takes, and that upstream, which has answered nothing.
async fn paused(stage: &Stage) -> (Link, Client) {
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    for number in 1..=30 {
        client.event("say", "?", number).await;
    }
    // A lane has eight under way, so the rest waits and the client is paused.
    for _ in 0..8 {
        link.event().await;
    }
    (link, client)
}

#[tokio::test]
async fn a_paused_client_is_closed_in_order() {
    let stage = Stage::start().await;
    let (_link, mut client) = paused(&stage).await;
    let request = v1::CloseConnectionRequest {
        hub: "chat".into(),
        connection_id: client.id.clone(),
        reason: "enough".into(),
    };
    let closed = stage.manage("CloseConnection", request).await;
    assert_eq!(closed, Ok(v1::Changed { connections: 1 }));
    let (_, close) = client.rest().await;
    assert_eq!(close, Some((1000, "enough".into())));
}

#[tokio::test]
async fn a_client_that_leaves_while_paused_is_missed_when_its_events_have_ended() {
    let stage = Stage::start().await;
    let (mut link, client) = paused(&stage).await;
    drop(client);
    let all = v1::Range {
        from: 0,
        to: u64::MAX,
    };
    let settled = v1::Settled { ranges: vec![all] };
    link.say(v1::upstream_frame::Frame::Settled(settled));
    let missed = async {
        loop {
            match link.next().await {
                Said::Event(event) if matches!(event.event, Some(Event::Disconnected(_))) => return,
                Said::Event(event) => link.settle(&event),
                Said::Cancel(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    overdue("the notice", missed).await;
}
