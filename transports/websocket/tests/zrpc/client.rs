//! The client by names, and the transport below it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, future::join_all};
use headwater_rpc::{Code, Request, Status};
use headwater_websocket::zrpc::{BlobCodec, Ending, Framing, Proxy, ZrpcClient, ZrpcClientConfig};
use tokio::net::TcpListener;
use tokio_tungstenite::{accept_async, tungstenite::Message};

use super::support::{router, serve, within};

#[tokio::test]
async fn s2_06_a_proxy_calls_methods_by_names_put_together() {
    let router = router();
    router.unary("/a/b", async |request: Request| {
        Ok::<_, Status>(request.message)
    });
    let serving = serve(router).await;
    for framing in [Framing::Numbered, Framing::Plain, Framing::Unnamed] {
        let proxy = serving.proxy(framing);
        let method = proxy.method("a").method("b");
        for blob in ["", "blob"] {
            let replies = method.call(blob).await.expect("it starts");
            // They are a stream like any other.
            let replies: Result<Vec<Bytes>, Status> = within("all", replies.try_collect()).await;
            assert_eq!(replies, Ok(vec![blob.into()]), "{framing:?}");
        }
        for name in ["", ".b", "a..b"] {
            let refused = proxy.call(name, "").await.map(drop);
            let code = refused.map_err(|status| status.code);
            assert_eq!(code, Err(Code::Unimplemented), "{name:?}: it is no name");
        }
    }
}

/// Spells backwards on the wire.
struct Backwards;

impl BlobCodec for Backwards {
    fn encode(&self, request: Bytes) -> Result<Bytes, Status> {
        if request.is_empty() {
            return Err(Status::new(Code::InvalidArgument, "nothing to spell"));
        }
        Ok(request.iter().rev().copied().collect())
    }

    fn decode(&self, reply: Bytes) -> Result<Bytes, Status> {
        Ok(reply.iter().rev().copied().collect())
    }
}

/// S2-11: as `create_person` takes `serialize_person` in the original.
#[tokio::test]
async fn s2_11_a_codec_is_chosen_by_the_noun_of_the_method() {
    let router = router();
    for path in [
        "/zrpc/create_person",
        "/dispatch/find_person",
        "/zrpc/create_place",
    ] {
        router.unary(path, async |request: Request| {
            let mut seen = request.message.to_vec();
            seen.push(b'!');
            Ok::<_, Status>(seen.into())
        });
    }
    let serving = serve(router).await;
    let proxy = serving
        .proxy(Framing::Numbered)
        .with_codec("person", Backwards);
    for (name, reply) in [
        ("create_person", "!nna"),
        ("dispatch.find_person", "!nna"),
        ("create_place", "ann!"),
        ("echo", "ann"),
    ] {
        let sent = if reply.starts_with('!') { "nna" } else { "ann" };
        let replies = proxy.call(name, sent).await.expect("it starts");
        assert_eq!(
            within("the reply", replies.all()).await,
            Ok(vec![reply.into()]),
            "{name}"
        );
    }
    let refused = proxy.call("create_person", "").await.map(drop);
    assert_eq!(
        refused.map_err(|status| status.code),
        Err(Code::InvalidArgument)
    );
}

/// A server as the original is: it names no subprotocol, makes remarks in text, and ends in one way or the other.
async fn original(listener: TcpListener, ending: Ending) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut socket) = accept_async(stream).await else {
            continue;
        };
        let Some(Ok(Message::Binary(request))) = socket.next().await else {
            continue;
        };
        let blob = request.slice(8..);
        let _ = socket.send(Message::text("Sleeping...")).await;
        let _ = socket.send(Message::Binary(blob)).await;
        let _ = match ending {
            Ending::CloseFrame => socket.close(None).await,
            Ending::CloseText => socket.send(Message::text("CLOSE")).await,
        };
    }
}

/// S2-05, S2-07: our client calls servers of the original, which know no subprotocol.
#[tokio::test]
async fn s2_05_s2_07_a_server_of_the_original_is_understood() {
    for ending in [Ending::CloseFrame, Ending::CloseText] {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
        tokio::spawn(original(listener, ending));
        let config = ZrpcClientConfig {
            framing: Framing::Unnamed,
            ending,
            ..ZrpcClientConfig::default()
        };
        let client = headwater_rpc::Client::new(ZrpcClient::new(&url, &config).expect("valid"));
        let running = client.clone();
        tokio::spawn(async move { running.connect().await });
        let replies = Proxy::new(client)
            .call("echo", "world")
            .await
            .expect("it starts");
        let replies = within("the replies", replies.all()).await;
        assert_eq!(
            replies,
            Ok(vec!["Sleeping...".into(), "world".into()]),
            "{ending:?}"
        );
    }
}

/// A server that knows the original's frames alone is spoken to in those.
#[tokio::test]
async fn s2_24_a_server_without_call_ids_is_called_with_a_socket_for_each_call() {
    use tokio_tungstenite::{
        accept_hdr_async,
        tungstenite::handshake::server::{Request as Asked, Response},
    };
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            #[allow(
                clippy::result_large_err,
                reason = "the type of the callback is tungstenite's"
            )]
            let choose = |asked: &Asked, mut answer: Response| {
                // The token of a call is for its own socket: none is asked for with both names.
                let offers = asked.headers()["sec-websocket-protocol"]
                    .to_str()
                    .expect("tokens");
                let has_token = asked.headers().contains_key("authorization");
                assert!(!(has_token && offers.contains("v2")), "{offers}");
                answer
                    .headers_mut()
                    .insert("sec-websocket-protocol", "zrpc".parse().expect("valid"));
                Ok(answer)
            };
            let mut socket = accept_hdr_async(stream, choose)
                .await
                .expect("a client of ours");
            let Some(Ok(Message::Binary(request))) = socket.next().await else {
                continue;
            };
            let _ = socket.send(Message::Binary(request.slice(8..))).await;
            let _ = socket.close(None).await;
        }
    });
    let client = ZrpcClient::new(&url, &ZrpcClientConfig::default()).expect("the URL is valid");
    let client = headwater_rpc::Client::new(client);
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let proxy = Proxy::new(client);
    for token in [None, Some("Bearer right")] {
        let mut metadata = headwater_rpc::Metadata::new();
        if let Some(token) = token {
            metadata.append("authorization", token).expect("valid");
        }
        let method = proxy.method("echo").metadata(metadata);
        for blob in ["one", "two"] {
            let replies = within("the reply", async { method.call(blob).await?.all().await }).await;
            assert_eq!(replies, Ok(vec![blob.into()]), "{token:?}");
        }
    }
}

/// A server that goes away without a word is no success.
#[tokio::test]
async fn a_lost_connection_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = accept_async(stream).await.expect("a client of ours");
            let _ = socket.next().await;
            // Dropped without a close frame.
        }
    });
    let config = ZrpcClientConfig {
        framing: Framing::Unnamed,
        ..ZrpcClientConfig::default()
    };
    let client = headwater_rpc::Client::new(ZrpcClient::new(&url, &config).expect("valid"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let replies = Proxy::new(client)
        .call("echo", "world")
        .await
        .expect("it starts");
    let lost = within("the loss", replies.all())
        .await
        .map_err(|status| status.code);
    assert_eq!(lost, Err(Code::Unavailable));
}

/// One dial is for all who wait for it, also if it fails: they do not dial one after the other.
#[tokio::test]
async fn calls_share_a_dial_and_its_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("there is a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    let client = ZrpcClient::new(&url, &ZrpcClientConfig::default()).expect("valid");
    let client = headwater_rpc::Client::new(client);
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let proxy = Proxy::new(client);
    let calls = (0..5).map(|_| async { proxy.call("echo", "x").await?.all().await });
    let refuse = async {
        // All calls have begun before this is polled, and the next dial would not be answered.
        drop(listener.accept().await.expect("the first dial"));
    };
    let both = async { tokio::join!(join_all(calls), refuse).0 };
    let ended = within("all calls to fail", both).await;
    let codes: Vec<_> = ended
        .into_iter()
        .map(|ended| ended.map_err(|status| status.code))
        .collect();
    assert_eq!(codes, vec![Err(Code::Unavailable); 5]);
}

/// The shared socket is dialled again after it was lost.
#[tokio::test]
async fn a_lost_socket_is_dialled_again() {
    let first = serve(router()).await;
    let address = first.address;
    let proxy = first.proxy(Framing::Numbered);
    let call = async || {
        within("a call", async {
            proxy.call("echo", "x").await?.all().await
        })
        .await
    };
    assert_eq!(call().await, Ok(vec!["x".into()]));
    drop(first);
    within("the server to go", async {
        while call().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let again = headwater_websocket::WebSocketServer::bind(
        address,
        headwater_websocket::WebSocketServerConfig::default(),
    )
    .await
    .expect("the port is free again");
    let server =
        headwater_rpc::Server::new(again, router(), headwater_rpc::ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    within("the call to be served again", async {
        while call().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn urls_that_are_none_are_refused_and_passwords_are_not_quoted() {
    for url in ["", "http://h/", "ws:", "ws://user:secret@h/", "h:1"] {
        let refused = ZrpcClient::new(url, &ZrpcClientConfig::default());
        let status = refused.expect_err("it is no URL of a server");
        assert_eq!(status.code, Code::InvalidArgument, "{url}");
        assert!(!status.message.contains("secret"), "{status}");
    }
}
