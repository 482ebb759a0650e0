//! Which method a name is, and what passes.

use headwater_proto::zrpc::CLOSE_TEXT;
use headwater_rpc::{
    CallOptions, IncomingCall, Method, Request, Router, ServerConfig, Service, Shape, Status,
};
use headwater_websocket::{
    ZrpcConfig,
    zrpc::{Ending, Framing},
};
use tokio_tungstenite::tungstenite::Message;

use super::support::{Raw, binary, config, router, serve, serve_with, silent, within};

/// A call in the bytes of the original's text, and its answer.
#[tokio::test]
async fn s2_01_the_golden_bytes_are_answered() {
    let serving = serve(router()).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.send(binary(
        b"\x04\x00\x00\x00\x65\x63\x68\x6f\x77\x6f\x72\x6c\x64",
    ))
    .await;
    assert_eq!(
        raw.until_close().await,
        (vec![binary(b"world")], (1000, String::new()))
    );
}

/// S2-02, S2-03: the handlers are services of the router, by the first part of the name.
#[tokio::test]
async fn s2_02_s2_03_a_dotted_name_finds_the_method_of_a_sub_handler() {
    let router = Router::new();
    let says = |what: &'static str| {
        Method::unary("create_person", async move |_: Request| {
            Ok::<_, Status>(what.into())
        })
    };
    for (name, what) in [("zrpc", "of the root"), ("dispatch", "of the sub-handler")] {
        let service = Service {
            name: name.into(),
            methods: vec![says(what)],
        };
        router.add(service).expect("it is the only one");
    }
    let serving = serve(router).await;
    for (name, answer) in [
        ("create_person", "of the root"),
        ("dispatch.create_person", "of the sub-handler"),
        ("dispatch.create_person.x", "of the sub-handler"),
        ("/dispatch/create_person", "of the sub-handler"),
    ] {
        let mut raw = Raw::connect(&serving, Some("zrpc")).await;
        raw.call(name, b"").await;
        let (messages, _) = raw.until_close().await;
        assert_eq!(messages, [Message::binary(answer)], "{name}");
    }
}

/// S2-02: a service made from a `.proto` can be the handler of names without a dot.
#[tokio::test]
async fn s2_02_the_root_handler_is_a_setting() {
    let router = Router::new();
    router.unary("/People/create", async |request: Request| {
        Ok::<_, Status>(request.message)
    });
    let zrpc = ZrpcConfig {
        root: "People".into(),
        ..ZrpcConfig::default()
    };
    let serving = serve_with(router, ServerConfig::default(), config(zrpc)).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("create", b"blob").await;
    assert_eq!(raw.until_close().await.0, [binary(b"blob")]);
}

#[tokio::test]
async fn s2_04_a_method_streams_any_number_of_frames() {
    let serving = serve(router()).await;
    for framing in [Framing::Numbered, Framing::Plain, Framing::Unnamed] {
        let replies = serving
            .proxy(framing)
            .call("thrice", "x")
            .await
            .expect("it starts");
        let replies = within("the replies", replies.all()).await;
        assert_eq!(replies, Ok(vec!["x".into(); 3]), "{framing:?}");
    }
    let raw = async |blobs| {
        let mut raw = Raw::connect(&serving, None).await;
        raw.call("thrice", blobs).await;
        raw.until_close().await.0.len()
    };
    assert_eq!(raw(b"").await, 3, "empty ones count");
}

#[tokio::test]
async fn s2_08_bytes_that_are_no_protobuf_pass_untouched() {
    let serving = serve(router()).await;
    let blob: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for framing in [Framing::Numbered, Framing::Plain, Framing::Unnamed] {
        let replies = serving.proxy(framing).call("echo", blob.clone()).await;
        let replies = within("the reply", replies.expect("it starts").all()).await;
        assert_eq!(replies, Ok(vec![blob.clone().into()]), "{framing:?}");
    }
}

/// S2-09: the second call is answered while the first one runs.
#[tokio::test]
async fn s2_09_two_calls_on_one_socket_run_at_once() {
    let router = router();
    let (mut came, _cancelled) = silent(&router, "/zrpc/silent");
    let zrpc = ZrpcConfig {
        ending: Ending::CloseText,
        ..ZrpcConfig::default()
    };
    let serving = serve_with(router, ServerConfig::default(), config(zrpc)).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("silent", b"").await;
    within("the first call", came.recv()).await;
    for blob in [b"second", b"third!"] {
        raw.call("echo", blob).await;
        assert_eq!(raw.next().await, Some(Message::binary(&blob[..])));
        assert_eq!(raw.next().await, Some(Message::text(CLOSE_TEXT)));
    }
    assert_eq!(serving.server.open_calls(), 1, "the first one still runs");
}

/// S2-09: with a close frame as the end, the socket stays open for as long as one of its calls.
#[tokio::test]
async fn s2_09_the_socket_is_closed_after_the_last_of_its_calls() {
    let router = router();
    let (release, released) = tokio::sync::watch::channel(());
    router.stream("/zrpc/held", move |call: IncomingCall| {
        let mut released = released.clone();
        async move {
            let _ = released.changed().await;
            let _ = call.sender.try_send("held".into());
            let _ = call.sender.finish(Ok(()), headwater_rpc::Metadata::new());
        }
    });
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("held", b"").await;
    raw.call("echo", b"quick").await;
    assert_eq!(raw.next().await, Some(binary(b"quick")));
    release.send_replace(());
    assert_eq!(raw.until_close().await.0, [binary(b"held")]);
}

/// S2-24: the socket's subprotocol has a name and a version, and the server takes the one that the client likes best.
#[tokio::test]
async fn s2_24_the_subprotocol_has_a_name_and_a_version() {
    let serving = serve(router()).await;
    for name in ["zrpc", "zrpc.v2"] {
        // It checks what was agreed on.
        Raw::connect(&serving, Some(name)).await;
    }
    let client = serving.client(&headwater_websocket::zrpc::ZrpcClientConfig::default());
    let options = CallOptions {
        shape: Shape::ClientStreaming,
        ..CallOptions::default()
    };
    let call = client.call("/zrpc/echo", headwater_rpc::Metadata::new(), options);
    let (sender, mut receiver) = within("a call with an id", call).await.expect("it starts");
    sender.try_send("late".into()).expect("there is room");
    sender
        .finish(Ok(()), headwater_rpc::Metadata::new())
        .expect("it is open");
    let mut replies = Vec::new();
    while let Ok(1..) = within("the reply", receiver.next_batch(&mut replies)).await {}
    assert_eq!(
        replies,
        ["late"],
        "only frames with call ids carry a request after the headers"
    );
}

/// S2-49: of the original's defects, none: a handler is called the same way whatever its name, and a proxy can be shown.
#[tokio::test]
async fn s2_49_handlers_are_called_alike_and_a_proxy_can_be_shown() {
    let router = router();
    router.unary("/dispatch/echo", async |request: Request| {
        Ok::<_, Status>(request.message)
    });
    let serving = serve(router).await;
    let proxy = serving.proxy(Framing::Plain);
    for name in ["echo", "dispatch.echo", "dispatch.echo.ignored"] {
        let replies = proxy.call(name, "same").await.expect("it starts");
        assert_eq!(
            within("the reply", replies.all()).await,
            Ok(vec!["same".into()]),
            "{name}"
        );
    }
    assert!(format!("{proxy:?}").starts_with("Proxy"));
    assert!(format!("{:?}", proxy.method("echo")).contains("echo"));
}
