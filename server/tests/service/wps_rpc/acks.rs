//! Answers: to whom they go, in which order, and those that have no effect.

use std::time::Duration;

use headwater_proto::wps_rpc::{
    AckConnectMessage, AckConnectRequest, AckEventMessage, AckMessageRequest, Error, EventFilter,
    RegisterMessage,
};
use headwater_rpc::Code;
use headwater_upstream::v1::{self, event::Event};
use serde_json::json;

use crate::{
    support::*,
    upstreams::{acked, echoed},
};

#[tokio::test]
async fn s1_08_the_reply_reaches_the_sender_only() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        let mut sender = app.admit(stage.knock("chat")).await;
        let mut other = app.admit(stage.knock("chat")).await;
        sender.event("say", "?", 1).await;
        let said = app.said().await;
        assert_eq!(app.reply(&said.connection_id, 0, "mine").await, Ok(()));
        assert_eq!(sender.json().await, echoed("mine"));
        assert_eq!(sender.json().await, acked(1));
        // Its pong is the first thing that the other hears.
        other.ping().await;
    }
}

/// A client with so many messages under way, which the application has read.
async fn with_messages(stage: &Stage, app: &mut App, count: u64) -> (Client, Vec<u64>) {
    let mut client = app.admit(stage.knock("chat")).await;
    let mut events = Vec::new();
    for number in 1..=count {
        client.event("say", "?", number).await;
        let said = app.said().await;
        assert_eq!(said.connection_id, client.id);
        events.push(context(&said.context).event_id);
    }
    (client, events)
}

#[tokio::test]
async fn an_ack_that_names_a_connection_alone_is_for_its_oldest_event() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        let (mut client, _) = with_messages(&stage, &mut app, 3).await;
        for number in 1..=3 {
            assert_eq!(
                app.reply(&client.id, 0, &format!("to {number}")).await,
                Ok(())
            );
            assert_eq!(client.json().await, echoed(&format!("to {number}")));
            assert_eq!(client.json().await, acked(number), "oldest first");
        }
    }
}

#[tokio::test]
async fn s1_20_each_reply_reaches_its_own_request_in_reverse_order() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        let (mut client, events) = with_messages(&stage, &mut app, 5).await;
        for (event_id, number) in events.iter().zip(1..).collect::<Vec<_>>().into_iter().rev() {
            let text = format!("to {number}");
            assert_eq!(app.reply(&client.id, *event_id, &text).await, Ok(()));
            assert_eq!(client.json().await, echoed(&text));
            assert_eq!(client.json().await, acked(number), "its own request");
        }
    }
}

#[tokio::test]
async fn an_ack_without_a_body_says_yes_and_one_with_an_error_says_no() {
    let stage = Stage::start().await;
    let mut app = stage.app(Over::InProcess).await;
    let (mut client, _) = with_messages(&stage, &mut app, 2).await;
    let ack = |ack_event_message| AckMessageRequest {
        connection_id: client.id.clone(),
        ack_event_message,
        hub: "chat".into(),
        ..AckMessageRequest::default()
    };
    let failed = AckEventMessage {
        error: Some(Error {
            code: 13,
            message: "it broke".into(),
        }),
        ..AckEventMessage::default()
    };
    let (yes, no) = (ack(None), ack(Some(failed)));
    assert_eq!(app.call("ackMessage", yes).await, Ok(()));
    assert_eq!(client.json().await, acked(1), "and nothing before it");
    assert_eq!(app.call("ackMessage", no).await, Ok(()));
    let heard = client.json().await;
    assert_eq!(
        (&heard["ackId"], &heard["success"]),
        (&json!(2), &json!(false))
    );
}

#[tokio::test]
async fn s1_24_an_ack_without_effect_is_told_why_and_nothing_else_is_disturbed() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        let (mut client, events) = with_messages(&stage, &mut app, 2).await;
        let id = client.id.clone();
        for (connection, event_id, code) in [
            ("", 0, Code::InvalidArgument),
            ("unknown", 0, Code::NotFound),
            ("unknown", 3, Code::NotFound),
            (&id, 99, Code::NotFound),
            // Its connect, which was answered, by the other call.
            (&id, 1, Code::NotFound),
        ] {
            let refused = app.reply_code(connection, event_id).await;
            assert_eq!(refused, Err(code), "{connection:?} {event_id}");
        }
        let again = app.accept(&id).await.map_err(|status| status.code);
        assert_eq!(again, Err(Code::AlreadyExists), "it was let in");
        let misfit = AckConnectRequest {
            connection_id: id.clone(),
            event_id: events[0],
            hub: "chat".into(),
            ..AckConnectRequest::default()
        };
        let misfit = app.call::<()>("ackConnect", misfit).await;
        assert_eq!(
            misfit.map_err(|status| status.code),
            Err(Code::InvalidArgument)
        );
        // Both wait on, and each is answered once.
        for (event_id, number) in events.iter().zip(1..) {
            assert_eq!(app.reply(&id, *event_id, "once").await, Ok(()));
            let again = app.reply_code(&id, *event_id).await;
            assert_eq!(again, Err(Code::AlreadyExists), "answered before");
            assert_eq!(client.json().await, echoed("once"));
            assert_eq!(client.json().await, acked(number));
        }
        assert_eq!(app.reply_code(&id, 0).await, Err(Code::AlreadyExists));
        client.ping().await;
    }
}

#[tokio::test]
async fn s1_24_an_ack_for_a_client_that_has_gone_is_told_so() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        let (client, events) = with_messages(&stage, &mut app, 2).await;
        let id = client.id.clone();
        client.leave().await;
        app.disconnected().await;
        for event_id in [0, events[0], events[1]] {
            let refused = app.reply_code(&id, event_id).await;
            assert_eq!(refused, Err(Code::Cancelled), "event {event_id}");
        }
        let entering = tokio::spawn(stage.knock("chat").try_enter());
        let connect = app.connecting().await;
        entering.abort();
        until("it has gone", || stage.service.counts().0 == 0).await;
        let mut refused = Ok(());
        // The service sees that it hung up when it does.
        while refused == Ok(()) {
            refused = app.refuse(&connect.connection_id, Code::NotFound).await;
        }
        let code = refused.map_err(|status| status.code);
        assert!(
            matches!(code, Err(Code::Cancelled | Code::AlreadyExists)),
            "{code:?}"
        );
    }
}

#[tokio::test]
async fn s1_23_an_ack_that_comes_too_late_is_told_so() {
    let stage = Stage::start().await;
    let mut app = stage.app(Over::InProcess).await;
    let (mut client, events) = with_messages(&stage, &mut app, 1).await;
    let knock = tokio::spawn(stage.knock("chat").try_enter());
    let connect = app.connecting().await;
    let left = context(&connect.context).time_left_ms;
    assert!(left > 0, "it says how long the client waits");
    let failed = overdue("the deadline", client.json()).await;
    assert_eq!(failed["success"], false, "{failed}");
    let refused = overdue("the deadline", knock).await;
    let refused = refused.expect("no panic").expect_err("refused");
    assert_eq!(refused.status, 504);
    for event_id in [0, events[0]] {
        let late = app.reply_code(&client.id, event_id).await;
        assert_eq!(late, Err(Code::DeadlineExceeded), "event {event_id}");
    }
    let late = app.accept(&connect.connection_id).await;
    let late = late.map_err(|status| status.code);
    assert_eq!(late, Err(Code::DeadlineExceeded));
    // It holds back nothing: as many messages as a lane has places go through.
    for number in 2..=20 {
        client.event("say", "?", number).await;
        app.said().await;
        assert_eq!(app.reply(&client.id, 0, "in time").await, Ok(()));
        assert_eq!(client.json().await, echoed("in time"));
        assert_eq!(client.json().await, acked(number));
    }
}

#[tokio::test]
async fn an_event_that_nobody_answers_holds_the_window_until_its_deadline_and_no_longer() {
    let stage = Stage::start().await;
    let client = stage.rpc_client(Over::InProcess).await;
    let narrow = RegisterMessage {
        window_events: 1,
        ..registration()
    };
    let app = App::register(client, &token(&[]), narrow).await;
    let mut app = app.expect("registered");
    let mut first = app.admit(stage.knock("chat")).await;
    let mut second = app.admit(stage.knock("chat")).await;
    first.event("say", "held", 1).await;
    app.said().await;
    pass(FAR / 2).await;
    second.event("say", "behind", 1).await;
    quiet().await;
    pass(FAR / 2 + Duration::from_millis(10)).await;
    assert_eq!(
        first.json().await["success"],
        false,
        "its deadline has come"
    );
    let behind = app.said().await;
    assert_eq!(behind.message, Some(text_message("behind")));
    let left = context(&behind.context).time_left_ms;
    let half = (FAR / 2).as_millis();
    assert!(
        u128::from(left) <= half,
        "it waited for the window: {left} ms left"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_valid_is_refused_and_the_client_hears_of_failure() {
    let stage = Stage::start().await;
    let mut app = stage.app(Over::InProcess).await;
    let (mut client, _) = with_messages(&stage, &mut app, 1).await;
    let large = AckEventMessage {
        state: Some(vec![0; (64 << 10) + 1].into()),
        ..AckEventMessage::default()
    };
    let ack = AckMessageRequest {
        connection_id: client.id.clone(),
        ack_event_message: Some(large),
        hub: "chat".into(),
        ..AckMessageRequest::default()
    };
    let refused = app.call::<()>("ackMessage", ack).await;
    assert_eq!(
        refused.map_err(|status| status.code),
        Err(Code::InvalidArgument)
    );
    assert_eq!(client.json().await["success"], false);

    let entering = tokio::spawn(stage.knock("chat").try_enter());
    let connect = app.connecting().await;
    let ack = AckConnectRequest {
        connection_id: connect.connection_id,
        ack_connect_message: Some(AckConnectMessage {
            subprotocol: Some("not offered".into()),
            ..AckConnectMessage::default()
        }),
        hub: "chat".into(),
        ..AckConnectRequest::default()
    };
    let refused = app.call::<()>("ackConnect", ack).await;
    assert_eq!(
        refused.map_err(|status| status.code),
        Err(Code::InvalidArgument)
    );
    let refused = entering.await.expect("no panic").expect_err("refused");
    assert_eq!(refused.status, 500);
}

/// S1-18 of this mapping: what an ack of a connect sets is so, and the next event says it.
#[tokio::test]
async fn s1_18_what_an_ack_of_a_connect_sets_is_so() {
    let stage = Stage::start().await;
    let mut app = stage.app(Over::Http2).await;
    let mut knock = stage.knock("chat");
    knock.roles = Vec::new();
    let entering = tokio::spawn(knock.enter());
    let connect = app.connecting().await;
    let ack = AckConnectRequest {
        connection_id: connect.connection_id,
        ack_connect_message: Some(AckConnectMessage {
            user_id: Some("carl".into()),
            groups: vec!["lobby".into()],
            roles: vec!["webpubsub.sendToGroup.lobby".into()],
            subprotocol: Some(JSON.into()),
            state: Some("kept".into()),
            ..AckConnectMessage::default()
        }),
        hub: "chat".into(),
        ..AckConnectRequest::default()
    };
    assert_eq!(app.call("ackConnect", ack).await, Ok(()));
    let connected = app.connected().await;
    let connected = context(&connected.context);
    let told = (connected.user_id.as_deref(), connected.subprotocol.as_str());
    assert_eq!(told, (Some("carl"), JSON));
    assert_eq!(connected.state, "kept");
    let mut client = soon("101", entering).await.expect("let in");
    client
        .say(json!({
            "type": "sendToGroup", "group": "lobby", "dataType": "text", "data": "hi", "ackId": 1,
        }))
        .await;
    let mut heard = [client.json().await, client.json().await];
    heard.sort_by_key(|message| message["type"].to_string());
    assert_eq!(heard[0], acked(1), "the role");
    assert_eq!(heard[1]["fromUserId"], "carl", "the group: {}", heard[1]);
}

#[tokio::test]
async fn an_event_of_a_link_is_not_answered_in_plain_calls_nor_the_other_way_round() {
    let stage = Stage::start().await;
    // The link has the clients, the application all that they say.
    let mut link = stage.link().await;
    link.register(v1::Register {
        events: Some(v1::EventFilter {
            connect: true,
            messages: vec!["forLink".into()],
            ..v1::EventFilter::default()
        }),
        app: "first".into(),
        ..register()
    })
    .await;
    let mut app = stage.app(Over::InProcess).await;
    let entering = tokio::spawn(stage.knock("chat").enter());
    let connect = link.event().await;
    let id = connect.id.clone().expect("an id").connection_id;
    let foreign = app.accept(&id).await.map_err(|status| status.code);
    assert_eq!(foreign, Err(Code::NotFound), "it was sent on the link");
    link.accept(&connect);
    let mut client = soon("101", entering).await.expect("let in");
    assert_eq!(app.connected().await.connection_id, id);

    client.event("forLink", "?", 1).await;
    let message = link.event().await;
    assert!(matches!(message.event, Some(Event::Message(_))));
    let number = message.id.as_ref().expect("an id").number;
    for event_id in [0, number] {
        let foreign = app.reply_code(&id, event_id).await;
        assert_eq!(foreign, Err(Code::NotFound), "event {event_id}");
    }
    link.reply(&message, "by the link");
    link.settle(&message);
    assert_eq!(client.json().await, echoed("by the link"));
    assert_eq!(client.json().await, acked(1));

    client.event("forApp", "?", 2).await;
    let said = app.said().await;
    let mut stolen = message.clone();
    stolen.id = Some(v1::EventId {
        connection_id: id.clone(),
        number: context(&said.context).event_id,
    });
    let seq = link.reply(&stolen, "by the link");
    let refused = link.refused().await;
    let code = refused.status.map(|status| status.code);
    assert_eq!((refused.seq, code), (seq, Some(5)), "NOT_FOUND");
    assert_eq!(app.reply(&id, 0, "by the app").await, Ok(()));
    assert_eq!(client.json().await, echoed("by the app"));
    assert_eq!(client.json().await, acked(2));
}

#[tokio::test]
async fn of_two_applications_each_is_answered_for_what_it_was_sent() {
    let stage = Stage::start().await;
    let rpc = stage.rpc_client(Over::InProcess).await;
    let wants = |name: &str| EventFilter {
        messages: vec![name.into()],
        ..EventFilter::default()
    };
    let mut apps = Vec::new();
    for name in ["a", "b"] {
        let message = RegisterMessage {
            app: name.into(),
            events: Some(wants(name)),
            ..registration()
        };
        let app = App::register(rpc.clone(), &token(&[]), message).await;
        apps.push(app.expect("registered"));
    }
    let mut client = stage.client().await;
    for (number, app) in apps.iter_mut().enumerate() {
        let (name, ack_id) = (["a", "b"][number], number as u64 + 1);
        client.event(name, "?", ack_id).await;
        assert_eq!(app.said().await.name, name);
        // Over whichever connection the ack comes, the hub knows whose event it is.
        let message = reply(&client.id, 0, name);
        let acks: Result<(), _> = call(&rpc, &token(&[]), "ackMessage", message).await;
        assert_eq!(acks, Ok(()));
        assert_eq!(client.json().await, echoed(name));
        assert_eq!(client.json().await, acked(ack_id));
    }
}
