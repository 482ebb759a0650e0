//! Upstreams that behave: S1-01 … S1-10, S1-16, S1-29.

use std::time::Duration;

use headwater_rpc::Code;
use headwater_upstream::{
    Accept, Connect, Context, Failure, Handler, Message, Reject, Reply, async_trait, v1,
};
use serde_json::json;
use tokio::sync::mpsc;
use v1::event::Event;

use crate::support::*;

/// Echoes, and tells the test what came.
pub(crate) struct Echo {
    seen: mpsc::UnboundedSender<String>,
}

impl Echo {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (seen, sees) = mpsc::unbounded_channel();
        (Self { seen }, sees)
    }

    fn saw(&self, what: impl Into<String>) {
        // The test may be over.
        let _ = self.seen.send(what.into());
    }
}

#[async_trait]
impl Handler for Echo {
    async fn connect(&self, _: &Context, connect: Connect) -> Result<Accept, Reject> {
        self.saw("connect");
        match connect.query_value("refuse") {
            Some("401") => Err(Reject::unauthenticated("who are you?")),
            Some("403") => Err(Reject::permission_denied("not you")),
            _ => Ok(Accept::default()),
        }
    }

    async fn connected(&self, _: &Context) {
        self.saw("connected");
    }

    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        let text = message.payload.as_text().unwrap_or_default().to_owned();
        self.saw(format!("message {text}"));
        if message.name == "tell" {
            context.hub().send_to_group("g", "told");
        }
        if message.name == "answerThenTell" {
            context.reply(text.clone()).expect("not answered yet");
            context.hub().send_to_group("g", "told");
        }
        Ok(Reply::from(text))
    }

    async fn disconnected(&self, _: &Context, _: &str) {
        self.saw("disconnected");
    }
}

pub(crate) fn echoed(text: &str) -> serde_json::Value {
    json!({"type": "message", "from": "server", "dataType": "text", "data": text})
}

pub(crate) fn acked(ack_id: u64) -> serde_json::Value {
    json!({"type": "ack", "ackId": ack_id, "success": true})
}

/// U-10: over every transport, with the same handler.
#[tokio::test]
async fn u_10_s1_01_an_application_without_a_port_registers_and_gets_events() {
    for url in upstream_urls() {
        registers_and_gets_events(&url).await;
    }
}

async fn registers_and_gets_events(url: &str) {
    let stage = Stage::start().await;
    let (echo, mut sees) = Echo::new();
    let _upstream = stage.upstream_over(url, echo).await;
    let mut client = stage.client().await;
    client.event("say", "hello", 1).await;
    assert_eq!(client.json().await, echoed("hello"));
    assert_eq!(client.json().await, acked(1));
    client.leave().await;
    for event in ["connect", "connected", "message hello", "disconnected"] {
        assert_eq!(soon(event, sees.recv()).await.as_deref(), Some(event));
    }
}

#[tokio::test(start_paused = true)]
async fn s1_02_the_stream_stays_open_through_ten_idle_minutes() {
    let stage = Stage::with(default_config()).await;
    let mut link = stage.registered().await;
    let idle = tokio::time::Instant::now();
    let mut batch = Vec::new();
    let next = link.receiver.next_batch(&mut batch);
    let quiet = tokio::time::timeout(Duration::from_secs(600), next).await;
    assert!(quiet.is_err(), "nothing comes and nothing ends: {quiet:?}");
    assert_eq!(idle.elapsed(), Duration::from_secs(600));
    // The clock of sockets is the real one.
    tokio::time::resume();
    let client = link.admit(stage.knock("chat")).await;
    assert_eq!(client.subprotocol.as_deref(), Some(JSON));
}

#[tokio::test]
async fn s1_03_a_bad_credential_ends_the_stream_before_any_event() {
    let stage = Stage::start().await;
    let forged = token_by(&foreign_key(), &[]);
    for bad in ["", "nonsense", &forged] {
        let mut link = Link::open(stage.service.connect_in_process(), bad).await;
        let status = link.end().await.expect_err("refused");
        assert_eq!(status.code, Code::Unauthenticated, "token {bad:?}");
        assert!(
            !status.message.contains("signature"),
            "says no more: {status}"
        );
    }
    assert_eq!(stage.service.counts(), (0, 0));
}

#[tokio::test]
async fn s1_03_a_token_for_another_hub_is_denied() {
    let stage = Stage::start().await;
    let mut link = Link::open(stage.service.connect_in_process(), &token(&["other"])).await;
    link.say(v1::upstream_frame::Frame::Register(Box::new(register())));
    let status = link.end().await.expect_err("refused");
    assert_eq!(status.code, Code::PermissionDenied);
    assert_eq!(stage.service.counts(), (0, 0));
}

#[tokio::test]
async fn s1_05_the_handshake_waits_for_the_answer_to_connect() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut entering = tokio::spawn(stage.knock("chat").enter());
    let connect = link.event().await;
    pass(FAR / 2).await;
    assert!(!entering.is_finished(), "pending until the answer");
    link.accept(&connect);
    let client = soon("101", &mut entering).await.expect("let in");
    assert!(!client.id.is_empty());
}

#[tokio::test]
async fn s1_06_a_refused_client_gets_the_status_and_no_connected_follows() {
    let stage = Stage::start().await;
    let (echo, mut sees) = Echo::new();
    let _upstream = stage.upstream(echo).await;
    for (query, status) in [("&refuse=401", 401), ("&refuse=403", 403)] {
        let mut knock = stage.knock("chat");
        knock.query = query.into();
        let refused = knock.try_enter().await.expect_err("refused");
        assert_eq!(refused.status, status);
    }
    stage.client().await.leave().await;
    for event in ["connect", "connect", "connect", "connected", "disconnected"] {
        assert_eq!(soon(event, sees.recv()).await.as_deref(), Some(event));
    }
}

#[tokio::test]
async fn s1_07_nothing_waits_for_an_answer_to_connected() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut other = link.admit(stage.knock("chat")).await;
    let entering = tokio::spawn(stage.knock("chat").enter());
    let connect = link.event().await;
    link.accept(&connect);
    let connected = link.event().await;
    assert!(matches!(connected.event, Some(Event::Connected(_))));
    assert_eq!(connected.time_left_ms, 0, "no deadline");
    let mut client = soon("101", entering).await.expect("let in");
    // Neither answered nor settled, until every deadline has come: that of this message shows it.
    other.event("say", "?", 1).await;
    link.event().await;
    let failed = overdue("the deadline", other.json()).await;
    assert_eq!(failed["success"], false, "{failed}");
    pass(FAR * 24).await;
    assert_eq!(stage.service.counts(), (2, 1), "nobody was closed for it");
    // Nothing was said of it to either side, and the messages behind it come all the same.
    client.event("say", "a", 1).await;
    let message = link.event().await;
    assert_eq!(message.seq, connected.seq + 2, "not sent again");
    link.reply(&message, "b");
    assert_eq!(client.json().await, echoed("b"));
    assert_eq!(client.json().await, acked(1));
}

#[tokio::test]
async fn s1_08_the_reply_reaches_the_sender_only() {
    let stage = Stage::start().await;
    let (echo, _sees) = Echo::new();
    let _upstream = stage.upstream(echo).await;
    let mut sender = stage.client().await;
    let mut other = stage.client().await;
    sender.event("say", "mine", 1).await;
    assert_eq!(sender.json().await, echoed("mine"));
    assert_eq!(sender.json().await, acked(1));
    // Its pong is the first thing that the other hears.
    other.ping().await;
}

#[tokio::test]
async fn s1_09_one_disconnected_for_each_that_was_connected() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let polite = link.admit(stage.knock("chat")).await;
    let rude = link.admit(stage.knock("chat")).await;
    let id = polite.id.clone();
    polite.leave().await;
    let gone = link.event().await;
    assert_eq!(gone.id.as_ref().map(|id| &*id.connection_id), Some(&*id));
    assert!(matches!(gone.event, Some(Event::Disconnected(_))));
    link.settle(&gone);
    let id = rude.id.clone();
    drop(rude);
    let gone = link.event().await;
    assert_eq!(gone.id.as_ref().map(|id| &*id.connection_id), Some(&*id));
    assert!(matches!(gone.event, Some(Event::Disconnected(_))));
    link.settle(&gone);
    // What comes next is the next client, not a second notice.
    link.admit(stage.knock("chat")).await;
}

/// U-10: over every transport, with the same handler.
#[tokio::test]
async fn u_10_s1_10_events_of_a_connection_come_in_order() {
    for url in upstream_urls() {
        events_come_in_order(&url).await;
    }
}

async fn events_come_in_order(url: &str) {
    let stage = Stage::start().await;
    let (echo, mut sees) = Echo::new();
    let _upstream = stage.upstream_over(url, echo).await;
    let mut client = stage.client().await;
    for number in 0..200 {
        client.event("say", &number.to_string(), number).await;
    }
    // It reads no answer: what it said before it left still comes.
    drop(client.socket.close(None).await);
    client.rest().await;
    let mut expected = vec!["connect".to_owned(), "connected".into()];
    expected.extend((0..200).map(|number| format!("message {number}")));
    expected.push("disconnected".into());
    for event in expected {
        assert_eq!(soon(&event, sees.recv()).await, Some(event));
    }
}

/// U-10: over every transport, with the same handler.
#[tokio::test]
async fn u_10_s1_29_an_answer_and_a_command_arrive_in_the_order_in_which_they_were_given() {
    for url in upstream_urls() {
        order_is_kept(&url).await;
    }
}

async fn order_is_kept(url: &str) {
    let stage = Stage::start().await;
    let (echo, _sees) = Echo::new();
    let _upstream = stage.upstream_over(url, echo).await;
    let mut client = stage.client().await;
    client.join("g", 1).await;
    let told = json!({"type": "message", "from": "group", "group": "g", "dataType": "text", "data": "told"});
    for round in 0..50 {
        let (command_first, answer_first) = (round * 2 + 2, round * 2 + 3);
        client.event("tell", "x", command_first).await;
        assert_eq!(client.json().await, told, "the command was given first");
        assert_eq!(client.json().await, echoed("x"));
        assert_eq!(client.json().await, acked(command_first));
        client.event("answerThenTell", "y", answer_first).await;
        assert_eq!(
            client.json().await,
            echoed("y"),
            "the answer was given first"
        );
        let rest = [client.json().await, client.json().await];
        assert_eq!(rest, [acked(answer_first), told.clone()], "and so its ack");
    }
}

#[tokio::test]
async fn s1_16_the_events_of_a_thousand_clients_share_one_stream() {
    const CLIENTS: u64 = 1000;
    let stage = Stage::start().await;
    let (echo, mut sees) = Echo::new();
    let _upstream = stage.upstream_over("http://127.0.0.1:0", echo).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(stage.client().await);
    }
    for round in 1..=3 {
        for (client, number) in clients.iter_mut().zip(0..) {
            client
                .event("say", &format!("{number} {round}"), round)
                .await;
        }
    }
    for (client, number) in clients.iter_mut().zip(0..) {
        for round in 1..=3 {
            assert_eq!(client.json().await, echoed(&format!("{number} {round}")));
            assert_eq!(client.json().await, acked(round));
        }
    }
    assert_eq!(stage.service.counts(), (1000, 1));
    let mut messages = 0;
    while let Ok(event) = sees.try_recv() {
        messages += u64::from(event.starts_with("message "));
    }
    assert_eq!(messages, 3 * CLIENTS);
}
