//! Upstreams that misbehave, and hubs without one: design of the link, rules 3 and 6.

use std::time::Duration;

use headwater_rpc::Code;
use headwater_upstream::v1::{
    self, command::Operation, event::Event, upstream_frame::Frame as Says,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

fn failed(ack: &serde_json::Value, ack_id: u64) -> String {
    assert_eq!(ack["type"], "ack", "{ack}");
    assert_eq!(
        (&ack["ackId"], &ack["success"]),
        (&json!(ack_id), &json!(false))
    );
    ack["error"]["message"].as_str().expect("why").into()
}

#[tokio::test]
async fn an_answer_to_an_unknown_event_is_refused_and_the_link_goes_on() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let unknown = |connection_id: &str, number| v1::Event {
        id: Some(v1::EventId {
            connection_id: connection_id.into(),
            number,
        }),
        ..v1::Event::default()
    };
    for event in [
        unknown("nobody", 1),
        unknown(&client.id, 99),
        unknown("", 0),
    ] {
        let seq = link.reply(&event, "?");
        let refused = link.refused().await;
        let code = refused.status.map(|status| status.code);
        assert_eq!(
            (refused.seq, code),
            (seq, Some(i32::from(Code::NotFound.number())))
        );
    }
    client.event("say", "?", 1).await;
    let event = link.event().await;
    link.reply(&event, "!");
    assert_eq!(client.json().await["data"], "!");
}

async fn ends_with(code: Code, says: impl FnOnce(&Link)) {
    let stage = Stage::start().await;
    let mut good = stage.registered().await;
    let mut client = good.admit(stage.knock("chat")).await;
    let mut bad = stage.link_over_http2().await;
    says(&bad);
    let status = bad.end().await.expect_err("refused");
    assert_eq!(status.code, code, "{status}");
    client.event("say", "?", 1).await;
    let event = good.event().await;
    good.reply(&event, "!");
    assert_eq!(client.json().await["data"], "!");
    assert_eq!(stage.service.counts(), (1, 1));
}

#[tokio::test]
async fn garbage_ends_its_own_link_only() {
    ends_with(Code::InvalidArgument, |link| {
        link.sender
            .try_send((&b"\xff\xff\xff"[..]).into())
            .expect("room");
    })
    .await;
}

#[tokio::test]
async fn garbage_after_the_registration_ends_its_own_link_only() {
    ends_with(Code::InvalidArgument, |link| {
        link.say(Says::Register(Box::new(v1::Register {
            hub: "other".into(),
            ..v1::Register::default()
        })));
        link.sender
            .try_send((&b"\xff\xff\xff"[..]).into())
            .expect("room");
    })
    .await;
}

#[tokio::test]
async fn a_first_frame_other_than_register_ends_its_own_link_only() {
    ends_with(Code::FailedPrecondition, |link| {
        link.say(Says::Drain(v1::Drain::default()));
    })
    .await;
}

#[tokio::test]
async fn a_registration_for_no_valid_hub_ends_its_own_link_only() {
    ends_with(Code::InvalidArgument, |link| {
        link.say(Says::Register(Box::new(v1::Register {
            hub: "Not A Hub".into(),
            ..v1::Register::default()
        })));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_never_registers_ends_after_ten_seconds() {
    let stage = Stage::with(default_config()).await;
    let start = tokio::time::Instant::now();
    let mut link = stage.link().await;
    let status = link.end().await.expect_err("ended");
    assert_eq!(status.code, Code::DeadlineExceeded);
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_secs(10) && waited < Duration::from_secs(11),
        "{waited:?}"
    );
}

#[tokio::test]
async fn s1_19_a_frame_of_a_later_version_is_skipped() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    // Field 99, length-delimited.
    link.sender
        .try_send((&b"\x9a\x06\x02hi"[..]).into())
        .expect("room");
    let mut client = link.admit(stage.knock("chat")).await;
    client.ping().await;
}

#[tokio::test]
async fn an_upstream_that_stops_reading_is_cut_and_its_clients_hear_of_failure() {
    let stage = Stage::start().await;
    let mut link = stage.link_over_http2().await;
    let mut wish = register();
    wish.events = Some(v1::EventFilter {
        messages: vec!["*".into()],
        ..v1::EventFilter::default()
    });
    wish.window = Some(v1::Window {
        events: u32::MAX,
        bytes: u64::MAX,
    });
    link.register(wish).await;
    let mut client = stage.client().await;
    let message =
        json!({"type": "event", "event": "e", "dataType": "text", "data": "x".repeat(1 << 19)});
    let message = Message::text(message.to_string());
    // It answers and settles blindly what it never reads, so no window of its own holds anything back.
    let mut sent = 0;
    while stage.service.counts().1 == 1 {
        sent += 1;
        assert!(sent < 300, "what waits for an upstream is bounded");
        client.send(message.clone()).await;
        client.ping().await;
        link.answer_blindly(&client.id, sent);
        tokio::task::yield_now().await;
    }
    assert!(sent > 100, "cut after {sent} only");
    let status = link.end().await.expect_err("cut");
    assert_eq!(status.code, Code::ResourceExhausted, "{status}");
    // It waits for another upstream, in vain.
    client.event("e", "x", 1).await;
    failed(&overdue("the deadline", client.json()).await, 1);
}

#[tokio::test]
async fn without_any_upstream_the_token_lets_in_and_events_fail_at_once() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    client.event("say", "?", 1).await;
    failed(&client.json().await, 1);
    client.join("g", 2).await;
    let mut simple = stage.knock("chat").simple().enter().await;
    simple.send("?".into()).await;
    assert_eq!(simple.close_code().await, 1011);
    client.ping().await;
}

#[tokio::test]
async fn once_a_connect_handler_was_there_the_hub_fails_closed_without_it() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    link.sender.cancel();
    let gone = || stage.service.counts().1 == 0;
    until("the upstream to go", gone).await;
    let entering = stage.knock("chat").try_enter();
    let refused = overdue("the deadline", entering)
        .await
        .expect_err("refused");
    assert_eq!(refused.status, 503);
    client.ping().await;
    // Another hub is not concerned.
    stage.knock("other").enter().await;
}

#[tokio::test]
async fn a_client_that_waits_for_an_upstream_is_let_in_when_one_comes() {
    let stage = Stage::start().await;
    drop(stage.registered().await);
    let gone = || stage.service.counts().1 == 0;
    until("the upstream to go", gone).await;
    let entering = tokio::spawn(stage.knock("chat").enter());
    pass(FAR / 2).await;
    assert!(!entering.is_finished(), "it waits");
    let mut link = stage.registered().await;
    let connect = link.event().await;
    link.accept(&connect);
    entering.await.expect("let in").ping().await;
}

#[tokio::test]
async fn a_hub_that_requires_connect_fails_closed_before_the_first_upstream() {
    let mut config = config();
    config.require_connect.insert("chat".into());
    let stage = Stage::with(config).await;
    let entering = stage.knock("chat").try_enter();
    let refused = overdue("the deadline", entering)
        .await
        .expect_err("refused");
    assert_eq!(refused.status, 503);
    stage.knock("other").enter().await;
}

#[tokio::test]
async fn an_upstream_lost_in_mid_event_fails_the_event_and_the_next_takes_over() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let mut simple = link.admit(stage.knock("chat").simple()).await;
    client.event("say", "?", 1).await;
    link.event().await;
    simple.send("?".into()).await;
    link.event().await;
    drop(link);
    let why = failed(&client.json().await, 1);
    assert_eq!(why, "the upstream was lost");
    assert_eq!(simple.close_code().await, 1011);

    let mut next = stage.registered().await;
    let gone = next.event().await;
    assert!(
        matches!(gone.event, Some(Event::Disconnected(_))),
        "it waited: {gone:?}"
    );
    next.settle(&gone);
    client.event("say", "!", 1).await;
    let event = next.event().await;
    next.reply(&event, "here");
    assert_eq!(client.json().await["data"], "here");
}

#[tokio::test]
async fn what_was_said_before_a_refused_token_counts_and_what_follows_does_not() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let to_all = |text: &str| v1::SendToAllRequest {
        hub: "chat".into(),
        payload: Some(text_payload(text)),
        ..v1::SendToAllRequest::default()
    };
    // One after the other without a pause: they are read together.
    let before = link.command(Operation::SendToAll(to_all("before")));
    link.say(Says::Authenticate(v1::Authenticate {
        token: token_by(&foreign_key(), &[]),
    }));
    link.command(Operation::SendToAll(to_all("after")));
    assert_eq!(link.result().await.seq, before);
    let status = link.end().await.expect_err("refused");
    assert_eq!(status.code, Code::Unauthenticated);
    let sent = stage.manage("SendToAll", to_all("later")).await;
    assert_eq!(sent, Ok(v1::Delivered { connections: 1 }));
    for text in ["before", "later"] {
        assert_eq!(client.json().await["data"], text);
    }
}

/// The longest message that may be configured still fits into a frame, with the largest state.
#[tokio::test]
async fn no_message_of_a_client_is_too_large_for_a_link() {
    const LIMIT: usize = headwater::ServiceConfig::MESSAGE_BYTES_LIMIT;
    let mut config = config();
    config.message_bytes_max = LIMIT;
    let stage = Stage::with(config).await;
    let mut link = stage.registered().await;
    let entering = tokio::spawn(stage.knock("chat").simple().enter());
    let connect = link.event().await;
    let accept = v1::Accept {
        state: Some(vec![b's'; 64 << 10].into()),
        ..v1::Accept::default()
    };
    link.ack(&connect, v1::ack::Answer::Accept(accept));
    link.settle(&connect);
    let connected = link.event().await;
    link.settle(&connected);
    let mut client = entering.await.expect("let in");
    client.send(Message::text("m".repeat(LIMIT))).await;
    let said = link.event().await;
    let Some(Event::Message(message)) = &said.event else {
        panic!("a message, not {said:?}");
    };
    let payload = message.payload.as_ref().expect("it has one");
    assert_eq!(payload.data.len(), LIMIT);
    link.reply(&said, "!");
    assert_eq!(client.next().await, Message::text("!"));
}

#[tokio::test]
#[should_panic(expected = "message_bytes_max is 3670017")]
async fn a_bound_on_messages_over_what_a_link_carries_is_refused_at_the_start() {
    let mut config = config();
    config.message_bytes_max = headwater::ServiceConfig::MESSAGE_BYTES_LIMIT + 1;
    let _ = headwater::Service::new(config);
}
