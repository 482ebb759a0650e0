//! What a registered application is told, and what its answers to connects do.

use std::collections::BTreeMap;

use headwater_proto::wps_rpc::{self, streaming_request::Request};
use headwater_rpc::Code;

use crate::{
    support::*,
    upstreams::{acked, echoed},
};

#[tokio::test]
async fn s1_05_the_handshake_waits_for_the_ack() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        let mut entering = tokio::spawn(stage.knock("chat").enter());
        let connect = app.connecting().await;
        assert_eq!(connect.subprotocols, [JSON]);
        pass(FAR / 2).await;
        assert!(!entering.is_finished(), "pending until the ack");
        assert_eq!(app.accept(&connect.connection_id).await, Ok(()));
        let client = soon("101", &mut entering).await.expect("let in");
        assert_eq!(client.id, connect.connection_id);
    }
}

#[tokio::test]
async fn s1_06_a_refused_client_gets_the_status_and_no_connected_follows() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        for (code, status) in [(Code::Unauthenticated, 401), (Code::PermissionDenied, 403)] {
            let entering = tokio::spawn(stage.knock("chat").try_enter());
            let connect = app.connecting().await;
            assert_eq!(app.refuse(&connect.connection_id, code).await, Ok(()));
            let refused = entering.await.expect("no panic").expect_err("refused");
            assert_eq!(refused.status, status);
        }
        // What comes next is the next client, not a notice of those.
        app.admit(stage.knock("chat")).await;
    }
}

#[tokio::test]
async fn s1_07_nothing_waits_for_an_answer_to_connected() {
    let stage = Stage::start().await;
    let mut app = stage.app(Over::InProcess).await;
    let mut other = app.admit(stage.knock("chat")).await;
    let mut client = app.admit(stage.knock("chat")).await;
    // Every deadline comes: that of this message shows it.
    other.event("say", "?", 1).await;
    app.said().await;
    let failed = overdue("the deadline", other.json()).await;
    assert_eq!(failed["success"], false, "{failed}");
    pass(FAR * 24).await;
    assert_eq!(stage.service.counts(), (2, 1), "nobody was closed for it");
    client.event("say", "a", 1).await;
    let said = app.said().await;
    assert_eq!(
        said.connection_id, client.id,
        "the notice is not sent again"
    );
    assert_eq!(app.reply(&client.id, 0, "b").await, Ok(()));
    assert_eq!(client.json().await, echoed("b"));
    assert_eq!(client.json().await, acked(1));
}

#[tokio::test]
async fn s1_09_one_disconnected_for_each_that_was_connected() {
    let stage = Stage::start().await;
    let mut app = stage.app(Over::Http2).await;
    let polite = app.admit(stage.knock("chat")).await;
    let rude = app.admit(stage.knock("chat")).await;
    let id = polite.id.clone();
    polite.leave().await;
    let gone = app.disconnected().await;
    assert_eq!(gone.connection_id, id);
    assert_eq!(gone.reason, "the client closed the connection");
    let id = rude.id.clone();
    drop(rude);
    assert_eq!(app.disconnected().await.connection_id, id);
    // What comes next is the next client, not a second notice.
    app.admit(stage.knock("chat")).await;
}

/// What came of one connection: the numbers of its events, and their kinds by the numbers of the scheme.
#[derive(Default)]
struct Seen {
    numbers: Vec<u64>,
    kinds: Vec<u8>,
}

/// Answers everything, and notes it, until so many have gone.
async fn watch(mut app: App, clients: usize) -> BTreeMap<String, Seen> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut gone = 0;
    while gone < clients {
        let (kind, id, context) = match app.event().await {
            Request::ConnectRequest(event) => {
                assert_eq!(app.accept(&event.connection_id).await, Ok(()));
                (1, event.connection_id, event.context)
            }
            Request::ConnectedRequest(event) => (2, event.connection_id, event.context),
            Request::MessageRequest(event) => {
                // It may have gone meanwhile.
                let _ = app.reply_code(&event.connection_id, 0).await;
                (3, event.connection_id, event.context)
            }
            Request::DisconnectedRequest(event) => {
                gone += 1;
                (4, event.connection_id, event.context)
            }
        };
        let context = context.expect("always");
        assert!(!context.redelivered && context.hub == "chat");
        let seen = seen.entry(id).or_default();
        seen.numbers.push(context.event_id);
        seen.kinds.push(kind);
    }
    seen
}

/// Says so many things and leaves, in order or without a word.
async fn behave(knock: Knock, messages: u64, polite: bool) {
    let mut client = knock.enter().await;
    for number in 1..=messages {
        client.event("say", "x", number).await;
    }
    if polite {
        client.leave().await;
    }
}

#[tokio::test]
async fn s1_10_whatever_clients_do_the_events_of_each_come_in_order() {
    const CLIENTS: usize = 40;
    for over in Over::ALL {
        let stage = Stage::start().await;
        let app = stage.app(over).await;
        let watching = tokio::spawn(watch(app, CLIENTS));
        let mut random = 1_u64;
        let mut behaving = Vec::new();
        for _ in 0..CLIENTS {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let (messages, polite) = ((random >> 33) % 30, (random >> 40).is_multiple_of(2));
            behaving.push(tokio::spawn(behave(stage.knock("chat"), messages, polite)));
        }
        for behaving in behaving {
            soon("the client", behaving).await.expect("no panic");
        }
        let seen = soon("the last notice", watching).await.expect("no panic");
        assert_eq!(seen.len(), CLIENTS);
        for (id, Seen { numbers, kinds }) in seen {
            let all: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(
                numbers, all,
                "the events of {id} are counted without a hole"
            );
            let (first, rest) = kinds.split_at(2);
            assert_eq!(
                (first, rest.last()),
                (&[1, 2][..], Some(&4)),
                "{id}: {kinds:?}"
            );
            let messages = &rest[..rest.len() - 1];
            assert!(messages.iter().all(|kind| *kind == 3), "{id}: {kinds:?}");
        }
    }
}

#[tokio::test]
async fn s1_16_the_events_of_a_thousand_clients_share_one_stream() {
    const CLIENTS: u64 = 1000;
    let stage = Stage::start().await;
    let mut app = stage.app(Over::Http2).await;
    let serving = tokio::spawn(async move {
        let mut messages = 0;
        while messages < 3 * CLIENTS {
            match app.event().await {
                Request::ConnectRequest(event) => {
                    assert_eq!(app.accept(&event.connection_id).await, Ok(()));
                }
                Request::MessageRequest(event) => {
                    messages += 1;
                    let event_id = context(&event.context).event_id;
                    let text = event.message.expect("it said something");
                    let Some(wps_rpc::message::Data::TextData(text)) = text.data else {
                        panic!("{text:?}");
                    };
                    let replied = app.reply(&event.connection_id, event_id, &text).await;
                    assert_eq!(replied, Ok(()));
                }
                Request::ConnectedRequest(_) => {}
                Request::DisconnectedRequest(event) => panic!("{event:?}"),
            }
        }
        // The stream stays until the clients have read.
        app
    });
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
    assert_eq!(stage.service.counts(), (1000, 1), "one stream for all");
    soon("the last ack", serving).await.expect("none was lost");
}
