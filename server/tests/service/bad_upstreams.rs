//! Upstreams that misbehave, and hubs without one: design of the link, rules 3 and 6.

use std::time::Duration;

use headwater_rpc::Code;
use headwater_upstream::v1::{self, event::Event, upstream_frame::Frame as Says};
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
    let stage = Stage::start().await;
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
    let mut config = config();
    config.message_timeout = Duration::from_millis(300);
    let stage = Stage::with(config).await;
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
    let all = v1::Range {
        from: 0,
        to: u64::MAX,
    };
    let settled = v1::UpstreamFrame {
        frame: Some(Says::Settled(v1::Settled { ranges: vec![all] })),
    };
    let settled = prost::Message::encode_to_vec(&settled);
    let message =
        json!({"type": "event", "event": "e", "dataType": "text", "data": "x".repeat(1 << 19)});
    let message = Message::text(message.to_string());
    // It settles blindly what it never reads, so no window of its own holds anything back.
    let mut sent = 0;
    while stage.service.counts().1 == 1 {
        sent += 1;
        assert!(sent < 300, "what waits for an upstream is bounded");
        client.send(message.clone()).await;
        client.ping().await;
        // It may have been cut.
        let _ = link.sender.try_send(settled.clone().into());
        tokio::task::yield_now().await;
    }
    assert!(sent > 100, "cut after {sent} only");
    let status = link.end().await.expect_err("cut");
    assert_eq!(status.code, Code::ResourceExhausted, "{status}");
    client.event("e", "x", 1).await;
    failed(&client.json().await, 1);
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
    let mut config = config();
    config.connect_timeout = Duration::from_millis(200);
    let stage = Stage::with(config).await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    link.sender.cancel();
    let refused = stage.knock("chat").try_enter().await.expect_err("refused");
    assert_eq!(refused.status, 503);
    client.ping().await;
    // Another hub is not concerned.
    stage.knock("other").enter().await;
}

#[tokio::test]
async fn a_client_that_waits_for_an_upstream_is_let_in_when_one_comes() {
    let stage = Stage::start().await;
    drop(stage.registered().await);
    while stage.service.counts().1 > 0 {
        tokio::task::yield_now().await;
    }
    let entering = tokio::spawn(stage.knock("chat").enter());
    let mut link = stage.registered().await;
    let connect = link.event().await;
    link.accept(&connect);
    entering.await.expect("let in").ping().await;
}

#[tokio::test]
async fn a_hub_that_requires_connect_fails_closed_before_the_first_upstream() {
    let mut config = config();
    config.connect_timeout = Duration::from_millis(200);
    config.require_connect.insert("chat".into());
    let stage = Stage::with(config).await;
    let refused = stage.knock("chat").try_enter().await.expect_err("refused");
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
async fn s1_27_a_slow_upstream_pauses_its_clients_and_what_waits_stays_bounded() {
    let mut config = config();
    config.waiting_bytes_max = 1 << 20;
    let stage = Stage::with(config).await;
    let mut link = stage.link().await;
    let mut wish = register();
    wish.window = Some(v1::Window {
        events: 2,
        bytes: 0,
    });
    link.register(wish).await;
    let mut client = link.admit(stage.knock("chat")).await;
    let text = "x".repeat(32 << 10);
    let talking = tokio::spawn(async move {
        for number in 1..=200 {
            client.event("say", &text, number).await;
        }
        client
    });
    let mut events = vec![link.event().await, link.event().await];
    // The window is full: nothing more comes, and the service reads no more than it may keep.
    let mut answered = 0;
    while answered < 200 {
        let event = events.remove(0);
        answered += 1;
        link.reply(&event, "");
        link.settle(&event);
        if answered + events.len() < 200 {
            events.push(link.event().await);
        }
    }
    let mut client = soon("every message read", talking).await.expect("sent");
    for number in 1..=200 {
        assert_eq!(client.json().await["data"], "");
        let ack = client.json().await;
        assert_eq!(
            ack,
            json!({"type": "ack", "ackId": number, "success": true}),
            "none lost"
        );
    }
}

#[tokio::test]
async fn s1_27_a_paused_client_stops_writing_and_one_beside_it_goes_on() {
    use futures_util::SinkExt as _;
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let mut other = link.admit(stage.knock("chat")).await;
    let text = "x".repeat(512 << 10);
    // Eight are with the upstream, one read brings a few more; then the kernels' buffers fill and the client blocks.
    let mut fed = 0;
    loop {
        let message = json!({"type": "event", "event": "e", "dataType": "text", "data": text});
        let message = Message::text(message.to_string());
        let feeding = client.socket.send(message);
        if tokio::time::timeout(Duration::from_millis(500), feeding)
            .await
            .is_err()
        {
            break;
        }
        fed += 1;
        assert!(fed < 200, "the service reads on and on");
    }
    other.event("say", "?", 1).await;
    let mut answered = false;
    for _ in 0..=8 {
        let event = link.event().await;
        let of_other = event
            .id
            .as_ref()
            .is_some_and(|id| id.connection_id == other.id);
        if of_other {
            link.reply(&event, "!");
            answered = true;
        }
    }
    assert!(answered, "the other's lane is its own");
    assert_eq!(other.json().await["data"], "!");
}
