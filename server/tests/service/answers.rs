//! Answers in any order, late, twice, or to nobody: S1-20, S1-23, S1-24.

use headwater_rpc::Code;
use headwater_upstream::v1::{self, ack::Answer, event::Event};
use serde_json::json;

use crate::{
    support::*,
    upstreams::{acked, echoed},
};

#[tokio::test]
async fn s1_20_each_answer_reaches_its_own_request_in_whatever_order() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let mut events = Vec::new();
    for number in 1..=5 {
        client.event("say", &number.to_string(), number).await;
        events.push(link.event().await);
    }
    for (event, number) in events
        .iter()
        .zip(1_u64..6)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        link.reply(event, &format!("to {number}"));
        assert_eq!(client.json().await, echoed(&format!("to {number}")));
        assert_eq!(client.json().await, acked(number));
    }
}

#[tokio::test]
async fn s1_23_an_upstream_that_falls_silent_fails_each_kind_of_event_at_its_deadline() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let mut simple = link.admit(stage.knock("chat").simple()).await;

    let knock = tokio::spawn(stage.knock("chat").try_enter());
    let connect = link.event().await;
    pass(FAR / 2).await;
    assert!(!knock.is_finished(), "not before its time");
    let refused = overdue("the deadline", knock).await;
    let refused = refused.expect("no panic").expect_err("refused");
    assert_eq!(refused.status, 504);

    client.event("say", "?", 7).await;
    let message = link.after_cancels().await;
    pass(FAR / 2).await;
    client.ping().await;
    let ack = overdue("the deadline", client.json()).await;
    assert_eq!((&ack["ackId"], &ack["success"]), (&json!(7), &json!(false)));
    assert_eq!(ack["error"]["name"], "InternalServerError");

    simple.send("?".into()).await;
    link.after_cancels().await;
    let close = overdue("the deadline", simple.close_code()).await;
    assert_eq!(close, 1011, "it has no acks");

    // Too late, and said to be.
    let late = link.ack(&connect, Answer::Accept(v1::Accept::default()));
    let seq = link.reply(&message, "late");
    let mut refused = Vec::new();
    while refused.len() < 2 {
        match link.next().await {
            v1::service_frame::Frame::Refused(frame) => {
                refused.push((frame.seq, frame.status.expect("why").code))
            }
            v1::service_frame::Frame::Event(event) => {
                assert!(matches!(event.event, Some(Event::Disconnected(_))));
            }
            v1::service_frame::Frame::Cancel(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let too_late = i32::from(Code::DeadlineExceeded.number());
    assert_eq!(refused[1], (seq, too_late));
    assert_eq!(refused[0].0, late);
    client.ping().await;
}

#[tokio::test]
async fn s1_24_a_second_answer_is_a_duplicate_without_effect() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    client.event("say", "?", 1).await;
    let event = link.event().await;
    link.reply(&event, "first");
    let second = link.reply(&event, "second");
    let refused = link.refused().await;
    assert_eq!(refused.seq, second);
    let duplicate = i32::from(Code::AlreadyExists.number());
    assert_eq!(refused.status.map(|status| status.code), Some(duplicate));
    assert_eq!(client.json().await, echoed("first"));
    assert_eq!(client.json().await, acked(1));
    client.ping().await;
}

#[tokio::test]
async fn s1_24_an_answer_after_the_client_has_gone_has_no_effect() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    client.event("say", "?", 1).await;
    let event = link.event().await;
    client.leave().await;
    let cancel = link.next().await;
    assert!(
        matches!(&cancel, v1::service_frame::Frame::Cancel(cancel) if cancel.id == event.id),
        "{cancel:?}"
    );
    let gone = link.event().await;
    assert!(matches!(gone.event, Some(Event::Disconnected(_))));
    let seq = link.reply(&event, "to nobody");
    let refused = link.refused().await;
    let cancelled = i32::from(Code::Cancelled.number());
    let code = refused.status.map(|status| status.code);
    assert_eq!((refused.seq, code), (seq, Some(cancelled)));
    let mut next = link.admit(stage.knock("chat")).await;
    next.ping().await;
}
