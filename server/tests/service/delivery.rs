//! Who hears what: S1-11 … S1-13, S1-15.

use headwater_upstream::v1;
use serde_json::json;

use crate::support::*;

fn from_group(group: &str, data: &str) -> serde_json::Value {
    json!({"type": "message", "from": "group", "group": group, "dataType": "text", "data": data})
}

pub(crate) fn from_server(data: &str) -> serde_json::Value {
    json!({"type": "message", "from": "server", "dataType": "text", "data": data})
}

fn to_group(group: &str, text: &str) -> v1::SendToGroupRequest {
    v1::SendToGroupRequest {
        hub: "chat".into(),
        group: group.into(),
        payload: Some(text_payload(text)),
        ..v1::SendToGroupRequest::default()
    }
}

pub(crate) fn to_all(text: &str) -> v1::SendToAllRequest {
    v1::SendToAllRequest {
        hub: "chat".into(),
        payload: Some(text_payload(text)),
        ..v1::SendToAllRequest::default()
    }
}

#[tokio::test]
async fn s1_11_a_group_send_reaches_its_members_only() {
    let stage = Stage::start().await;
    let mut a = stage.client().await;
    let mut b = stage.client().await;
    let mut outside = stage.client().await;
    a.join("g", 1).await;
    b.join("g", 1).await;
    let delivered: v1::Delivered = stage
        .manage("SendToGroup", to_group("g", "x"))
        .await
        .expect("done");
    assert_eq!(delivered.connections, 2);
    assert_eq!(a.json().await, from_group("g", "x"));
    assert_eq!(b.json().await, from_group("g", "x"));
    outside.ping().await;
}

#[tokio::test]
async fn s1_12_a_send_to_all_reaches_the_whole_hub_and_no_other() {
    let stage = Stage::start().await;
    let mut all = [stage.client().await, stage.client().await];
    let mut simple = stage.knock("chat").simple().enter().await;
    let mut elsewhere = stage.knock("other").enter().await;
    while stage.service.counts().0 < 4 {
        tokio::task::yield_now().await;
    }
    let delivered: v1::Delivered = stage.manage("SendToAll", to_all("x")).await.expect("done");
    assert_eq!(delivered.connections, 3);
    for client in &mut all {
        assert_eq!(client.json().await, from_server("x"));
    }
    assert_eq!(simple.next().await.to_text().expect("text"), "x");
    elsewhere.ping().await;
}

#[tokio::test]
async fn s1_13_an_application_joins_and_leaves_for_a_connection() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let add = || v1::AddConnectionToGroupRequest {
        hub: "chat".into(),
        group: "g".into(),
        connection_id: client.id.clone(),
    };
    for changes in [1, 0] {
        let changed: v1::Changed = stage
            .manage("AddConnectionToGroup", add())
            .await
            .expect("done");
        assert_eq!(changed.connections, changes, "joined twice is joined once");
    }
    let remove = v1::RemoveConnectionFromGroupRequest {
        hub: "chat".into(),
        group: "g".into(),
        connection_id: client.id.clone(),
    };
    let send = async |text: &str, receivers| {
        let delivered: v1::Delivered = stage
            .manage("SendToGroup", to_group("g", text))
            .await
            .expect("done");
        assert_eq!(delivered.connections, receivers);
    };
    send("joined", 1).await;
    let changed: v1::Changed = stage
        .manage("RemoveConnectionFromGroup", remove)
        .await
        .expect("done");
    assert_eq!(changed.connections, 1);
    send("left", 0).await;
    assert_eq!(client.json().await, from_group("g", "joined"));
    client.ping().await;
}

#[tokio::test]
async fn s1_15_no_echo_leaves_the_origin_out() {
    let stage = Stage::start().await;
    let mut origin = stage.knock("chat").group("g").enter().await;
    let mut other = stage.knock("chat").group("g").enter().await;
    let request = v1::SendToGroupRequest {
        origin_connection: origin.id.clone(),
        no_echo: true,
        ..to_group("g", "x")
    };
    let delivered: v1::Delivered = stage
        .manage("SendToGroup", request.clone())
        .await
        .expect("done");
    assert_eq!(delivered.connections, 1);
    assert_eq!(other.json().await, from_group("g", "x"));
    origin.ping().await;

    let echoed = v1::SendToGroupRequest {
        no_echo: false,
        ..request
    };
    let delivered: v1::Delivered = stage.manage("SendToGroup", echoed).await.expect("done");
    assert_eq!(delivered.connections, 2);
    assert_eq!(origin.json().await, from_group("g", "x"));

    // So a client's own.
    let send = json!({"type": "sendToGroup", "group": "g", "noEcho": true, "dataType": "text", "data": "y", "ackId": 1});
    origin.say(send).await;
    assert_eq!(
        origin.json().await,
        json!({"type": "ack", "ackId": 1, "success": true})
    );
    assert_eq!(other.json().await, from_group("g", "x"));
    let heard = other.json().await;
    assert_eq!(
        (&heard["data"], &heard["fromUserId"]),
        (&json!("y"), &json!("ada"))
    );
}
