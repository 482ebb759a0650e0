//! How calls end: both ways of the original, disconnects and the end of the server.

use std::sync::Arc;

use headwater_rpc::{Code, ServerConfig};
use headwater_websocket::{
    ZrpcConfig,
    zrpc::{Ending, Framing, Proxy, ZrpcClientConfig},
};
use tokio_tungstenite::tungstenite::Message;

use super::support::{
    Raw, Seen, binary, config, gone, router, serve, serve_with, silent, stream, within,
};

const CLOSE_TEXT: ZrpcEnding = ZrpcEnding(Ending::CloseText);

struct ZrpcEnding(Ending);

impl ZrpcEnding {
    fn config(&self) -> ZrpcConfig {
        ZrpcConfig {
            ending: self.0,
            ..ZrpcConfig::default()
        }
    }
}

#[tokio::test]
async fn s2_05_the_old_end_is_a_text_for_each_call_and_leaves_the_socket_open() {
    let sockets = config(CLOSE_TEXT.config());
    let serving = serve_with(router(), ServerConfig::default(), sockets).await;
    let mut raw = Raw::connect(&serving, None).await;
    for _ in 0..2 {
        raw.call("echo", b"world").await;
        assert_eq!(raw.next().await, Some(binary(b"world")));
        assert_eq!(raw.next().await, Some(Message::text("CLOSE")));
    }
}

#[tokio::test]
async fn s2_05_the_new_end_is_a_close_frame() {
    let serving = serve(router()).await;
    for name in [None, Some("zrpc")] {
        let mut raw = Raw::connect(&serving, name).await;
        raw.call("thrice", b"x").await;
        let end = (1000, String::new());
        assert_eq!(
            raw.until_close().await,
            (vec![binary(b"x"); 3], end),
            "{name:?}"
        );
        assert_eq!(
            raw.next().await,
            None,
            "the connection is closed after the close frame"
        );
    }
}

/// S2-05: our client knows both ends, by the subprotocol or by its setting.
#[tokio::test]
async fn s2_05_a_client_knows_both_ends() {
    for ending in [Ending::CloseFrame, Ending::CloseText] {
        let sockets = config(ZrpcEnding(ending).config());
        let serving = serve_with(router(), ServerConfig::default(), sockets).await;
        for framing in [Framing::Plain, Framing::Unnamed] {
            let config = ZrpcClientConfig {
                framing,
                ending,
                ..ZrpcClientConfig::default()
            };
            let proxy = Proxy::new(serving.client(&config));
            let replies = proxy.call("thrice", "x").await.expect("it starts");
            let replies = within("the replies", replies.all()).await;
            assert_eq!(replies, Ok(vec!["x".into(); 3]), "{ending:?} {framing:?}");
            let failed = proxy.call("fail", "x").await.expect("it starts");
            let failed = within("the failure", failed.all())
                .await
                .map_err(|status| status.code);
            assert_eq!(failed, Err(Code::NotFound), "{ending:?} {framing:?}");
        }
    }
}

/// S2-12: neither the server nor the client holds anything of a call that is over.
#[tokio::test]
async fn s2_12_a_thousand_calls_leave_nothing() {
    let held = Arc::new(());
    let router = router();
    let counted = Arc::clone(&held);
    stream(&router, "/zrpc/counted", move |call, blob| {
        let held = Arc::clone(&counted);
        async move {
            call.sender.send(blob).await.map_err(gone)?;
            drop(held);
            Ok(())
        }
    });
    let serving = serve(router).await;
    let before = Arc::strong_count(&held);
    let sockets = open_files();
    for framing in [Framing::Numbered, Framing::Plain] {
        let proxy = serving.proxy(framing);
        for _ in 0..500 {
            let replies = proxy.call("counted", "x").await.expect("it starts");
            let replies = within("the reply", replies.all()).await;
            assert_eq!(replies.map(|replies| replies.len()), Ok(1), "{framing:?}");
        }
    }
    serving.idle().await;
    within("the handlers to go", async {
        while Arc::strong_count(&held) > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The shared socket has two ends. Those of the others go when both sides have seen the end.
    within("the sockets to go", async {
        while open_files() > sockets + 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// How many files this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// S2-22, S2-47: a client that goes away in the middle of a stream stops the work for it.
#[tokio::test]
async fn s2_22_s2_47_a_disconnect_cancels_the_handlers_and_frees_the_calls() {
    let router = router();
    let (mut came, mut cancelled) = silent(&router, "/zrpc/silent");
    let serving = serve(router).await;
    for name in [None, Some("zrpc")] {
        let mut raw = Raw::connect(&serving, name).await;
        for _ in 0..3 {
            raw.call("silent", b"").await;
            within("the call", came.recv()).await;
        }
        drop(raw);
        for _ in 0..3 {
            within("the cancel", cancelled.recv()).await;
        }
        serving.idle().await;
    }
}

/// S2-22: a close frame is as good as going away; the close is answered.
#[tokio::test]
async fn s2_22_a_close_frame_cancels_the_handlers() {
    let router = router();
    let (mut came, mut cancelled) = silent(&router, "/zrpc/silent");
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("silent", b"").await;
    within("the call", came.recv()).await;
    raw.0.close(None).await.expect("the socket is open");
    within("the cancel", cancelled.recv()).await;
    serving.idle().await;
    assert!(
        matches!(raw.next().await, Some(Message::Close(_)) | None),
        "the close is answered"
    );
}

/// S2-22: one call of a shared socket is cancelled, and the others go on.
#[tokio::test]
async fn s2_22_a_cancel_frame_cancels_its_call_alone() {
    use headwater_proto::zrpc::v2::Body;
    let router = router();
    let (mut came, mut cancelled) = silent(&router, "/zrpc/silent");
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    for call in [1, 2] {
        let blob = "".into();
        raw.send_frame(
            call,
            Body::Call {
                method: "silent",
                blob,
            },
        )
        .await;
        within("the call", came.recv()).await;
    }
    raw.send_frame(1, Body::Cancel).await;
    within("the cancel", cancelled.recv()).await;
    let blob = "x".into();
    raw.send_frame(
        3,
        Body::Call {
            method: "echo",
            blob,
        },
    )
    .await;
    assert_eq!(raw.next_said().await, Seen::Blob(3, "x".into()));
    assert_eq!(serving.server.open_calls(), 1, "the second call still runs");
}

/// S2-22: replies that are dropped cancel the call, with ids and without.
#[tokio::test]
async fn s2_22_dropped_replies_cancel_the_call() {
    let router = router();
    let (mut came, mut cancelled) = silent(&router, "/zrpc/silent");
    let serving = serve(router).await;
    for framing in [Framing::Numbered, Framing::Plain] {
        let replies = serving
            .proxy(framing)
            .call("silent", "")
            .await
            .expect("it starts");
        within("the call", came.recv()).await;
        drop(replies);
        within("the cancel", cancelled.recv()).await;
        serving.idle().await;
    }
}

#[tokio::test]
async fn a_graceful_shutdown_lets_calls_end_and_closes_idle_sockets() {
    let router = router();
    let (release, released) = tokio::sync::watch::channel(());
    stream(&router, "/zrpc/held", move |call, blob| {
        let mut released = released.clone();
        async move {
            let _ = released.changed().await;
            call.sender.send(blob).await.map_err(gone)
        }
    });
    let serving = serve(router).await;
    let mut idle = Raw::connect(&serving, None).await;
    let mut busy = Raw::connect(&serving, None).await;
    busy.call("held", b"kept").await;
    within("the call", async {
        while serving.server.open_calls() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    serving.server.begin_graceful_shutdown();
    let (_, (code, _)) = idle.until_close().await;
    assert_eq!(code, 1001);
    busy.call("echo", b"late").await;
    let refused = Message::text("ERROR 14 UNAVAILABLE the server is stopping");
    assert_eq!(busy.next().await, Some(refused));
    release.send_replace(());
    assert_eq!(busy.next().await, Some(binary(b"kept")));
}
