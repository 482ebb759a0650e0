//! Leaving in order.

use headwater_rpc::Code;
use headwater_upstream::v1::{self, event::Event, service_frame::Frame as Said};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::*;

#[tokio::test]
async fn leaving_closes_clients_with_1001_and_waits_until_upstreams_have_settled() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let service = stage.service.clone();
    let draining = tokio::spawn(async move { service.drain(FAR).await });
    let (before, close) = client.rest().await;
    assert_eq!(close.expect("a close frame").0, 1001);
    let told = before.last().expect("told").to_text().expect("text");
    assert!(told.contains("disconnected"), "{told}");
    let gone = link.event().await;
    assert!(matches!(gone.event, Some(Event::Disconnected(_))));
    pass(FAR / 2).await;
    assert!(!draining.is_finished(), "the notice is not settled");
    link.settle(&gone);
    assert!(
        soon("the end", draining).await.expect("no panic"),
        "all is done"
    );
    assert!(matches!(link.next().await, Said::Drain(_)));
}

#[tokio::test]
async fn leaving_tells_upstreams_of_every_client_even_through_a_narrow_window() {
    const CLIENTS: usize = 40;
    let stage = Stage::start().await;
    let mut link = stage.link().await;
    let mut wish = register();
    wish.window = Some(v1::Window {
        events: 4,
        bytes: 0,
    });
    link.register(wish).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(link.admit(stage.knock("chat")).await);
    }
    let service = stage.service.clone();
    let draining = tokio::spawn(async move { service.drain(FAR).await });
    let mut gone = 0;
    while gone < CLIENTS {
        match link.next().await {
            Said::Event(event) => {
                gone += 1;
                link.settle(&event);
            }
            // As the SDK does: nothing new, please.
            Said::Drain(_) => link.say(v1::upstream_frame::Frame::Drain(v1::Drain::default())),
            other => panic!("{other:?}"),
        }
    }
    for client in &mut clients {
        assert_eq!(client.close_code().await, 1001);
    }
    assert!(soon("the end", draining).await.expect("no panic"));
}

#[tokio::test]
async fn leaving_gives_up_at_its_timeout() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let mut client = link.admit(stage.knock("chat")).await;
    let service = stage.service.clone();
    let draining = tokio::spawn(async move { service.drain(FAR).await });
    assert_eq!(client.close_code().await, 1001);
    let all = overdue("the timeout", draining).await.expect("no panic");
    assert!(!all, "the upstream never settles");
}

#[tokio::test]
async fn every_client_of_many_has_its_close_frame_when_leaving_is_done() {
    let stage = Stage::start().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(stage.client().await);
    }
    let draining = stage.service.clone();
    let draining = tokio::spawn(async move { draining.drain(FAR).await });
    for client in &mut clients {
        assert_eq!(client.close_code().await, 1001);
    }
    assert!(soon("the end", draining).await.expect("no panic"));
    assert_eq!(stage.service.counts(), (0, 0));
}

#[tokio::test]
async fn a_client_that_does_not_close_its_end_holds_leaving_for_the_close_timeout_only() {
    let mut config = config();
    config.session.close_timeout = FAR;
    let stage = Stage::with(config).await;
    // Never polled, so it answers no close frame.
    let _rude = stage.client().await;
    let service = stage.service.clone();
    let draining = tokio::spawn(async move { service.drain(NEVER).await });
    quiet().await;
    pass(FAR / 2).await;
    assert!(!draining.is_finished(), "it has its time");
    assert!(overdue("the end", draining).await.expect("no panic"));
}

#[tokio::test]
async fn who_comes_after_leaving_began_is_refused_in_every_hub() {
    let mut config = config();
    config.session.close_timeout = NEVER;
    let stage = Stage::with(config).await;
    // Never polled, so it holds the service until the end of this test.
    let _client = stage.client().await;
    let draining = stage.service.clone();
    let draining = tokio::spawn(async move { draining.drain(NEVER).await });
    let left = || stage.service.counts().0 == 0;
    until("the service to leave", left).await;
    for hub in ["chat", "new"] {
        let refused = stage.knock(hub).try_enter().await.expect_err("refused");
        assert_eq!(refused.status, 503, "hub {hub}");
        let mut link = stage.link().await;
        link.say(v1::upstream_frame::Frame::Register(Box::new(
            v1::Register {
                hub: hub.into(),
                ..register()
            },
        )));
        let status = link.end().await.expect_err("refused");
        assert_eq!(status.code, Code::Unavailable, "hub {hub}");
    }
    assert!(!draining.is_finished(), "all of this while it was leaving");
}

#[tokio::test]
async fn a_client_whose_connect_waits_is_refused_with_503_when_the_service_leaves() {
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let entering = tokio::spawn(stage.knock("chat").try_enter());
    let connect = link.event().await;
    let service = stage.service.clone();
    let draining = tokio::spawn(async move { service.drain(FAR).await });
    let refused = entering.await.expect("no panic").expect_err("refused");
    assert_eq!(refused.status, 503);
    link.settle(&connect);
    assert!(soon("the end", draining).await.expect("no panic"));
}

#[tokio::test]
async fn a_listener_that_is_stopped_accepts_no_more_and_leaves_its_clients_alone() {
    let mut stage = Stage::start().await;
    let mut client = stage.client().await;
    let stop = stage.stop.take().expect("not stopped");
    stop.send(()).expect("listening");
    soon("the listener", &mut stage.serving)
        .await
        .expect("no panic");
    let refused = match tokio::net::TcpStream::connect(stage.address).await {
        Err(_) => true,
        Ok(mut socket) => {
            // The kernel may still have taken it.
            let _ = socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
            socket.read_u8().await.is_err()
        }
    };
    assert!(refused);
    client.ping().await;
}

/// U-10: over every transport, with the same handler.
#[tokio::test]
async fn u_10_the_sdk_leaves_without_losing_an_answer() {
    for url in upstream_urls() {
        leaves_without_losing_an_answer(&url).await;
    }
}

async fn leaves_without_losing_an_answer(url: &str) {
    use headwater_upstream::{Context, Failure, Handler, Message, Reply, async_trait};
    struct Slow(std::sync::Arc<tokio::sync::Notify>);
    #[async_trait]
    impl Handler for Slow {
        async fn message(&self, _: &Context, _: Message) -> Result<Reply, Failure> {
            self.0.notified().await;
            Ok(Reply::from("done"))
        }
    }
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let stage = Stage::start().await;
    let running = stage.upstream_over(url, Slow(gate.clone())).await;
    assert!(running.hub.is_registered());
    let mut client = stage.client().await;
    client.event("say", "?", 1).await;
    client.ping().await;
    running.stop.send(()).expect("runs");
    gate.notify_one();
    assert_eq!(client.json().await["data"], "done");
    assert_eq!(client.json().await["success"], true);
    let outcome = soon("the end", running.task).await.expect("no panic");
    assert_eq!(outcome, Ok(()));
}
