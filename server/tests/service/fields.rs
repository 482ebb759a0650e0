//! S1-18: what is known of a handshake and a connection, field by field, in both directions.

use headwater_upstream::v1::{self, ack::Answer};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn s1_18_what_an_answer_to_connect_sets_is_so() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut knock = stage.knock("chat");
    knock.roles.clear();
    knock.subprotocols = "custom, json.webpubsub.azure.v1";
    let entering = tokio::spawn(knock.try_enter());
    let connect = link.event().await;
    link.ack(
        &connect,
        Answer::Accept(v1::Accept {
            user_id: Some("grace".into()),
            groups: vec!["g".into()],
            roles: vec!["webpubsub.sendToGroup.g".into()],
            subprotocol: Some(JSON.into()),
            state: Some("kept".into()),
        }),
    );
    let mut client = entering.await.expect("no panic").expect("let in");
    assert_eq!(client.subprotocol.as_deref(), Some(JSON));
    let connected = client.json().await;
    assert_eq!(connected["userId"], "grace");
    let context = link.event().await.context.expect("a context");
    assert_eq!(context.user_id.as_deref(), Some("grace"));
    assert_eq!(
        (&*context.subprotocol, &*context.state),
        (JSON, &b"kept"[..])
    );

    client.say(json!({"type": "sendToGroup", "group": "g", "dataType": "text", "data": "x", "ackId": 1})).await;
    let heard = client.json().await;
    assert_eq!(
        (&heard["data"], &heard["fromUserId"]),
        (&json!("x"), &json!("grace")),
        "group and role"
    );
    assert_eq!(client.json().await["success"], true);
    client.say(json!({"type": "sendToGroup", "group": "h", "dataType": "text", "data": "x", "ackId": 2})).await;
    assert_eq!(
        client.json().await["error"]["name"],
        "Forbidden",
        "that role only"
    );

    client.event("say", "?", 3).await;
    let message = link.event().await;
    link.ack(
        &message,
        Answer::Reply(v1::Reply {
            payload: None,
            state: Some("changed".into()),
        }),
    );
    assert_eq!(client.json().await["success"], true);
    client.event("say", "?", 4).await;
    let context = link.event().await.context.expect("a context");
    assert_eq!(
        &*context.state,
        &b"changed"[..],
        "a reply changes the state"
    );
}

#[tokio::test]
async fn s1_18_all_that_is_known_of_a_handshake_reaches_the_upstream() {
    let stage = Stage::with(default_config()).await;
    let mut link = stage.registered().await;
    let claims = json!({
        "aud": format!("{ENDPOINT}/client/hubs/chat"), "exp": unix_seconds() + 60,
        "sub": "ada", "team": ["red", "blue"], "level": 3,
    });
    let signing = jsonwebtoken::EncodingKey::from_secret(KEY.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &signing);
    let mut knock = stage.knock("chat").token(token.expect("signed"));
    knock.subprotocols = "json.webpubsub.azure.v1, custom";
    knock.query = "&room=1&room=2".into();
    knock.headers = vec![
        ("x-trace", "a"),
        ("x-trace", "b"),
        ("authorization", "Bearer hush"),
    ];
    let entering = tokio::spawn(knock.try_enter());
    let event = link.event().await;
    let id = event.id.clone().expect("an id");
    assert_eq!(id.number, 1);
    assert_eq!(
        event
            .context
            .as_ref()
            .and_then(|context| context.user_id.as_deref()),
        Some("ada")
    );
    assert_eq!(event.time_left_ms, 30_000, "sent when it came");
    let Some(v1::event::Event::Connect(connect)) = &event.event else {
        panic!("{event:?}");
    };
    let values = |name: &str, of: &std::collections::BTreeMap<String, v1::Values>| {
        of.get(name).map(|values| values.values.join(" "))
    };
    assert_eq!(values("team", &connect.claims).as_deref(), Some("red blue"));
    assert_eq!(values("level", &connect.claims).as_deref(), Some("3"));
    assert_eq!(values("room", &connect.query).as_deref(), Some("1 2"));
    assert_eq!(values("x-trace", &connect.headers).as_deref(), Some("a b"));
    assert_eq!(connect.subprotocols, [JSON, "custom"]);
    let shown = format!("{event:?}");
    assert!(
        !shown.contains("eyJ") && !shown.contains("hush"),
        "no credential: {shown}"
    );
    link.accept(&event);
    let mut client = entering.await.expect("no panic").expect("let in");
    assert_eq!(client.json().await["connectionId"], *id.connection_id);
}
