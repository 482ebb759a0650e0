//! Who may register, for what, and how a registration ends.

use std::time::Duration;

use headwater_proto::wps_rpc::{RegisterMessage, UserExistsRequest};
use headwater_rpc::{CallOptions, Code};

use crate::{stops::Stopping, support::*, upstreams::echoed};

#[tokio::test]
async fn s1_01_an_application_without_a_port_registers_and_gets_events() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        assert!(!app.registration.is_empty(), "its name");
        let mut client = app.admit(stage.knock("chat")).await;
        client.event("say", "hello", 1).await;
        let said = app.said().await;
        assert_eq!((said.connection_id, said.name), (client.id, "say".into()));
        assert_eq!(said.message, Some(text_message("hello")));
    }
}

#[tokio::test(start_paused = true)]
async fn s1_02_the_stream_stays_open_through_ten_idle_minutes() {
    let stage = Stage::with(default_config()).await;
    let mut app = stage.app(Over::InProcess).await;
    let idle = tokio::time::Instant::now();
    let mut batch = Vec::new();
    let next = app.receiver().next_batch(&mut batch);
    let quiet = tokio::time::timeout(Duration::from_secs(600), next).await;
    assert!(quiet.is_err(), "nothing comes and nothing ends: {quiet:?}");
    assert_eq!(idle.elapsed(), Duration::from_secs(600));
    // The clock of sockets is the real one.
    tokio::time::resume();
    let client = app.admit(stage.knock("chat")).await;
    assert_eq!(client.subprotocol.as_deref(), Some(JSON));
}

#[tokio::test]
async fn s1_03_a_bad_credential_ends_the_stream_before_any_event() {
    let forged = token_by(&foreign_key(), &[]);
    for over in Over::ALL {
        let stage = Stage::start().await;
        let client = stage.rpc_client(over).await;
        for (bad, code) in [
            ("", Code::Unauthenticated),
            ("nonsense", Code::Unauthenticated),
            (&forged, Code::Unauthenticated),
            (&token(&["other"]), Code::PermissionDenied),
        ] {
            let refused = App::register(client.clone(), bad, registration()).await;
            let status = refused.err().expect("refused");
            assert_eq!(status.code, code, "token {bad:?}");
        }
        // Nobody is registered: a client is let in by its token alone, and nobody is asked.
        stage.client().await;
        assert_eq!(stage.service.counts(), (1, 0));
    }
}

#[tokio::test]
async fn s1_03_a_registration_that_is_not_valid_ends_with_its_status() {
    let stage = Stage::start().await;
    let client = stage.rpc_client(Over::InProcess).await;
    let for_hub = |hub: &str| RegisterMessage {
        hub: hub.into(),
        ..registration()
    };
    let long = RegisterMessage {
        app: "a".repeat(129),
        ..registration()
    };
    for message in [for_hub("no hub"), for_hub(""), long] {
        let refused = App::register(client.clone(), &token(&[]), message).await;
        let status = refused.err().expect("refused");
        assert_eq!(status.code, Code::InvalidArgument, "{status}");
    }
    assert_eq!(stage.service.counts(), (0, 0));
}

#[tokio::test]
async fn the_hub_is_the_one_that_is_named_or_else_the_only_one_of_the_token() {
    let stage = Stage::start().await;
    let client = stage.rpc_client(Over::InProcess).await;
    let mut app = App::register(
        client.clone(),
        &token(&["chat"]),
        RegisterMessage::default(),
    )
    .await
    .expect("one hub");
    let _ada = app.admit(stage.knock("chat")).await;
    let asks = async |hubs: &[&str], hub: &str| {
        let request = UserExistsRequest {
            user_id: "ada".into(),
            hub: hub.into(),
        };
        let answer = call(&client, &token(hubs), "userExists", request).await;
        answer.map(|answer: headwater_proto::wps_rpc::Answer| answer.yes)
    };
    assert_eq!(asks(&["chat"], "").await, Ok(true));
    assert_eq!(asks(&[], "CHAT").await, Ok(true), "lower-cased");
    assert_eq!(asks(&["chat", "other"], "other").await, Ok(false));
    for (hubs, hub, code) in [
        (&["chat", "other"][..], "", Code::InvalidArgument),
        (&[], "", Code::InvalidArgument),
        (&[], "no hub", Code::InvalidArgument),
        (&["other"], "chat", Code::PermissionDenied),
    ] {
        let refused = asks(hubs, hub).await.map_err(|status| status.code);
        assert_eq!(refused, Err(code), "{hubs:?} {hub:?}");
    }
}

#[tokio::test]
async fn a_call_that_never_says_what_it_registers_for_is_ended() {
    let stage = Stage::start().await;
    let client = stage.rpc_client(Over::InProcess).await;
    let metadata = bearer(&token(&[]));
    let call = client.call("/WpsRpc/register", metadata, CallOptions::default());
    let (_sender, mut receiver) = soon("the call", call).await.expect("a call");
    let mut batch = Vec::new();
    let ended = overdue("the end", receiver.next_batch(&mut batch)).await;
    let status = ended.expect_err("ended").status;
    assert_eq!(status.code, Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn an_application_that_leaves_fails_what_it_did_not_answer_and_the_next_takes_over() {
    for over in Over::ALL {
        let stage = Stage::start().await;
        let mut app = stage.app(over).await;
        let mut client = app.admit(stage.knock("chat")).await;
        client.event("say", "?", 1).await;
        app.said().await;
        drop(app);
        let failed = client.json().await;
        assert_eq!(
            (&failed["ackId"], &failed["success"]),
            (&1.into(), &false.into())
        );
        until("it has left", || stage.service.counts().1 == 0).await;
        let mut next = stage.app(over).await;
        client.event("say", "again", 2).await;
        assert_eq!(next.said().await.message, Some(text_message("again")));
    }
}

#[tokio::test]
async fn a_service_that_leaves_ends_the_stream_when_all_is_said() {
    let stage = Stage::start().await;
    let mut app = stage.app(Over::Http2).await;
    let mut client = app.admit(stage.knock("chat")).await;
    let draining = {
        let service = stage.service.clone();
        tokio::spawn(async move { service.drain(FAR).await })
    };
    assert_eq!(client.close_code().await, 1001);
    assert_eq!(app.disconnected().await.connection_id, client.id);
    assert_eq!(app.end().await, Ok(()), "in order");
    drop(client);
    assert!(soon("the drain", draining).await.expect("no panic"));
}

#[tokio::test]
async fn a_server_that_stops_ends_the_stream_once_what_it_sent_has_ended() {
    let stage = Stage::start().await;
    let stopping = Stopping::of(&stage.service);
    let app = App::register(stopping.client.clone(), &token(&[]), registration()).await;
    let mut app = app.expect("registered");
    let mut client = app.admit(stage.knock("chat")).await;
    client.event("say", "?", 1).await;
    let said = app.said().await;
    stopping.stop();
    quiet().await;
    assert_eq!(stage.service.counts(), (1, 1), "it may still answer");
    // Elsewhere: to the service it is the same registration.
    let other = stage.rpc_client(Over::InProcess).await;
    let message = reply(&said.connection_id, 0, "in time");
    let answered: Result<(), _> = call(&other, &token(&[]), "ackMessage", message).await;
    assert_eq!(answered, Ok(()));
    assert_eq!(client.json().await, echoed("in time"));
    assert_eq!(app.end().await, Ok(()), "in order");
    stopping.served().await;
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_stream_that_has_gone() {
    let stage = Stage::start().await;
    let stopping = Stopping::of(&stage.service);
    let app = App::register(stopping.client.clone(), &token(&[]), registration()).await;
    let mut app = app.expect("registered");
    let mut client = app.admit(stage.knock("chat")).await;
    client.event("say", "?", 1).await;
    app.said().await;
    stopping.stop();
    quiet().await;
    drop(app);
    stopping.served().await;
}
