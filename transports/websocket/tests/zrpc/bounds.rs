//! What a client may cost: sizes, times, tokens, and replies that it does not read.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater_proto::zrpc::v2::Body;
use headwater_rpc::{
    CallOptions, Code, IncomingCall, Metadata, SendError, ServerConfig, Status,
    interceptor::{Filter, ServerInterceptor, ServerNext},
};
use headwater_websocket::{
    WebSocketServerConfig, ZrpcConfig,
    zrpc::{Ending, Framing, Proxy, ZrpcClientConfig},
};
use tokio_tungstenite::tungstenite::Message;

use super::support::{Raw, Seen, config, router, serve, serve_with, silent, within};

/// S2-23: replies to a client that reads none stop at a bound: the handler waits.
#[tokio::test]
async fn s2_23_a_client_that_does_not_read_holds_the_handler_back() {
    const FLOOD: usize = 256 << 20;
    let router = router();
    let (stalled, mut has_stalled) = tokio::sync::mpsc::unbounded_channel();
    router.stream("/zrpc/flood", move |call: IncomingCall| {
        let stalled = stalled.clone();
        async move {
            let blob = bytes::Bytes::from(vec![7; 64 * 1024]);
            let mut sent = 0;
            while sent < FLOOD {
                match call.sender.try_send(blob.clone()) {
                    Ok(()) => sent += blob.len(),
                    Err(SendError::Blocked) => {
                        let writable = call.sender.writable();
                        // Longer than a socket that moves at all needs; too early only makes the count smaller.
                        let waited = tokio::time::timeout(Duration::from_millis(500), writable);
                        if waited.await.is_err() {
                            break;
                        }
                    }
                    Err(_) => break,
                }
            }
            let _ = stalled.send(sent);
            call.cancellation.cancelled().await;
        }
    });
    let serving = serve(router).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("flood", b"").await;
    let sent = within("the handler to stall", has_stalled.recv())
        .await
        .expect("it runs");
    // What the kernel holds for a loopback socket, and what waits in the call and the session.
    assert!(
        sent <= 32 << 20,
        "{sent} bytes were taken for a client that reads none"
    );
    let mut parallel = Raw::connect(&serving, None).await;
    parallel.call("echo", b"served").await;
    assert_eq!(
        parallel.until_close().await.0,
        [Message::binary(&b"served"[..])]
    );
    drop(raw);
    serving.idle().await;
}

/// S2-24: a blob over the limit ends its call; a message over the socket's limit ends the socket, and says so first.
#[tokio::test]
async fn s2_24_a_size_limit_has_a_typed_error() {
    let limited = ServerConfig {
        receive_message_bytes_max: 1000,
        ..ServerConfig::default()
    };
    let zrpc = ZrpcConfig {
        ending: Ending::CloseText,
        ..ZrpcConfig::default()
    };
    let sockets = WebSocketServerConfig {
        message_bytes_max: Some(5000),
        ..config(zrpc)
    };
    let serving = serve_with(router(), limited, sockets).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("echo", &[1; 1001]).await;
    let Some(Message::Text(text)) = raw.next().await else {
        panic!("no error");
    };
    assert!(text.starts_with("ERROR 8 RESOURCE_EXHAUSTED "), "{text}");
    assert_eq!(raw.next().await, Some(Message::text("CLOSE")));
    raw.call("echo", &[1; 1000]).await;
    assert_eq!(
        raw.next().await,
        Some(Message::binary(vec![1; 1000])),
        "the limit itself passes"
    );
    assert_eq!(raw.next().await, Some(Message::text("CLOSE")));
    raw.call("echo", &[1; 5000]).await;
    let (messages, (code, _)) = raw.until_close().await;
    let text = Message::text("ERROR 8 RESOURCE_EXHAUSTED the message is too long");
    assert_eq!((messages, code), (vec![text, Message::text("CLOSE")], 1009));
}

/// S2-24: the server's bound, the client's own, and that of a handshake all end a call.
#[tokio::test]
async fn s2_24_a_deadline_ends_the_call_on_both_sides() {
    let router = router();
    let (_came, mut cancelled) = silent(&router, "/zrpc/silent");
    let short = Duration::from_millis(50);
    let bounded = ServerConfig {
        timeout_max: Some(short),
        ..ServerConfig::default()
    };
    let serving = serve_with(router.clone(), bounded, config(ZrpcConfig::default())).await;
    let mut raw = Raw::connect(&serving, None).await;
    raw.call("silent", b"").await;
    let (messages, (code, _)) = raw.until_close().await;
    let text = messages
        .first()
        .and_then(|text| text.to_text().ok())
        .unwrap_or_default();
    assert!(
        text.starts_with("ERROR 4 DEADLINE_EXCEEDED "),
        "{messages:?}"
    );
    assert_eq!(code, 4004);
    within("the handler to hear", cancelled.recv()).await;
    let serving = serve(router).await;
    let mut raw = Raw::connect_with(&serving, None, &[("grpc-timeout", "50m")]).await;
    raw.call("silent", b"").await;
    assert_eq!(
        raw.until_close().await.1.0,
        4004,
        "by the header of the handshake"
    );
    within("the handler to hear", cancelled.recv()).await;
    for framing in [Framing::Numbered, Framing::Plain] {
        let proxy = serving.proxy(framing);
        let options = CallOptions {
            timeout: Some(short),
            ..CallOptions::default()
        };
        let method = proxy.method("silent").options(options);
        let late = within("the deadline", async { method.call("").await?.all().await }).await;
        let code = late.map_err(|status| status.code);
        assert_eq!(code, Err(Code::DeadlineExceeded), "{framing:?}");
        within("the handler to hear", cancelled.recv()).await;
        serving.idle().await;
    }
}

/// Lets calls with the right token pass.
struct Token;

#[async_trait]
impl ServerInterceptor for Token {
    async fn intercept(&self, call: IncomingCall, next: ServerNext) {
        if call.metadata.text("authorization") == Some("Bearer right") {
            return next.run(call).await;
        }
        let refused = Status::new(Code::Unauthenticated, "the token is wrong");
        let _ = call.sender.finish(Err(refused), Metadata::new());
    }
}

/// S2-24: a token in the handshake is that of each call; with call ids a call may bring its own.
#[tokio::test]
async fn s2_24_a_token_is_checked_by_the_servers_interceptor() {
    use headwater_rpc::Server;
    use headwater_websocket::WebSocketServer;
    let sockets = config(ZrpcConfig::default());
    let bound = WebSocketServer::bind("127.0.0.1:0", sockets).await;
    let transport = bound.expect("the loopback has a free port");
    let url = format!("ws://{}/", transport.local_addr());
    let server = Server::builder(transport, router());
    let server = server.intercept(Filter::all(), Token).build();
    tokio::spawn(async move { server.serve().await });
    for framing in [Framing::Numbered, Framing::Plain, Framing::Unnamed] {
        let config = ZrpcClientConfig {
            framing,
            ..ZrpcClientConfig::default()
        };
        let transport = headwater_websocket::zrpc::ZrpcClient::new(&url, &config);
        let client = headwater_rpc::Client::new(transport.expect("the URL is valid"));
        let running = client.clone();
        tokio::spawn(async move { running.connect().await });
        let proxy = Proxy::new(client);
        for (token, expected) in [
            ("Bearer right", Ok(1)),
            ("Bearer wrong", Err(Code::Unauthenticated)),
        ] {
            let mut metadata = Metadata::new();
            metadata.append("authorization", token).expect("valid");
            let method = proxy.method("echo").metadata(metadata);
            let replies = within("the answer", async { method.call("x").await?.all().await }).await;
            let outcome = replies
                .map(|replies| replies.len())
                .map_err(|status| status.code);
            assert_eq!(outcome, expected, "{framing:?} {token}");
        }
    }
}

/// S2-24: over TLS, to the server that is trusted and to no other.
#[tokio::test]
async fn s2_24_calls_go_over_tls() {
    use headwater_rpc::{Client, Server, tls::DevCertificates};
    use headwater_websocket::{WebSocketServer, zrpc::ZrpcClient};
    let certificates = DevCertificates::generate().expect("there is randomness");
    let others = DevCertificates::generate().expect("there is randomness");
    let sockets = config(ZrpcConfig::default());
    let bound = WebSocketServer::bind("127.0.0.1:0", sockets).await;
    let transport = bound.expect("the loopback has a free port");
    let transport = transport
        .with_tls(certificates.server())
        .expect("the certificate is good");
    let url = format!("wss://{}/", transport.local_addr());
    let server = Server::new(transport, router(), ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    let blob: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    for framing in [Framing::Numbered, Framing::Plain, Framing::Unnamed] {
        for (trusted, expected) in [
            (&certificates, Ok(vec![blob.clone().into()])),
            (&others, Err(Code::Unavailable)),
        ] {
            let config = ZrpcClientConfig {
                framing,
                tls: Some(trusted.client()),
                ..ZrpcClientConfig::default()
            };
            let client = Client::new(ZrpcClient::new(&url, &config).expect("the URL is valid"));
            let running = client.clone();
            tokio::spawn(async move { running.connect().await });
            let proxy = Proxy::new(client);
            let call = async { proxy.call("echo", blob.clone()).await?.all().await };
            let outcome = within("the answer", call)
                .await
                .map_err(|status| status.code);
            assert_eq!(outcome, expected, "{framing:?}");
        }
    }
}

/// One call more than the bound is refused, and the others go on.
#[tokio::test]
async fn the_calls_of_a_socket_are_bounded() {
    let router = router();
    let (mut came, _cancelled) = silent(&router, "/zrpc/silent");
    let zrpc = ZrpcConfig {
        calls_max: 3,
        ..ZrpcConfig::default()
    };
    let serving = serve_with(router, ServerConfig::default(), config(zrpc)).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    let call = || Body::Call {
        method: "silent",
        blob: "".into(),
    };
    for id in 1..=3 {
        raw.send_frame(id, call()).await;
        within("the call", came.recv()).await;
    }
    raw.send_frame(4, call()).await;
    assert_eq!(
        raw.next_said().await,
        Seen::Ended(4, Some(Code::ResourceExhausted))
    );
    assert_eq!(serving.server.open_calls(), 3);
}

/// Rapid reset: calls that were cancelled count as long as their handlers run.
#[tokio::test]
async fn cancelled_calls_bound_their_handlers() {
    let router = router();
    let (came, mut has_come) = tokio::sync::mpsc::unbounded_channel();
    let end = Arc::new(tokio::sync::Semaphore::new(0));
    let ends = Arc::clone(&end);
    router.stream("/zrpc/deaf", move |call| {
        let (came, ends) = (came.clone(), Arc::clone(&ends));
        async move {
            let _call: headwater_rpc::IncomingCall = call;
            let _ = came.send(());
            let _ = ends.acquire().await;
        }
    });
    let zrpc = ZrpcConfig {
        calls_max: 3,
        ..ZrpcConfig::default()
    };
    let serving = serve_with(router, ServerConfig::default(), config(zrpc)).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    let call = |method| Body::Call {
        method,
        blob: "".into(),
    };
    for id in 1..=30 {
        raw.send_frame(id, call("deaf")).await;
        if id > 3 {
            let refused = Seen::Ended(id, Some(Code::ResourceExhausted));
            assert_eq!(raw.next_said().await, refused, "the handlers still run");
            continue;
        }
        within("the call", has_come.recv()).await;
        raw.send_frame(id, Body::Cancel).await;
    }
    assert!(has_come.try_recv().is_err(), "no handler more than may run");
    let proxy = serving.proxy(Framing::Numbered);
    let good = async { proxy.call("echo", "served").await?.all().await };
    assert_eq!(
        within("the good client", good).await,
        Ok(vec!["served".into()])
    );

    end.close();
    // The handlers end before this test goes on.
    serving.idle().await;
    tokio::task::yield_now().await;
    raw.send_frame(31, call("echo")).await;
    assert_eq!(
        raw.next_said().await,
        Seen::Blob(31, "".into()),
        "there is room again"
    );
}

/// Replies of an ended call that the client gives no credit for are given up, and it is told; also when the end is among them.
#[tokio::test]
async fn replies_that_get_no_credit_are_given_up() {
    let router = router();
    router.stream("/zrpc/much", |call: IncomingCall| async move {
        for _ in 0..3 {
            let blob = bytes::Bytes::from(vec![7; 200 * 1024]);
            call.sender.try_send(blob).expect("there is room");
        }
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    let bounds = ServerConfig {
        unread_timeout: Some(Duration::from_millis(50)),
        send_window: headwater_rpc::Credit {
            messages: 1024,
            bytes: 1 << 20,
        },
        ..ServerConfig::default()
    };
    let serving = serve_with(router, bounds, config(ZrpcConfig::default())).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    let open = Body::Open {
        method: "much",
        timeout: None,
        metadata: Metadata::new(),
    };
    raw.send_frame(1, open).await;
    for _ in 0..2 {
        assert!(
            matches!(raw.next_said().await, Seen::Blob(1, _)),
            "the credit"
        );
    }
    let given_up = within("the end", raw.next_said()).await;
    assert_eq!(given_up, Seen::Ended(1, Some(Code::Cancelled)));
    serving.idle().await;
}

/// Bytes by a generator that is the same in every run.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        // Xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A frame that is nearly one: a kind and a small call id or length, and anything behind.
    fn message(&mut self) -> Message {
        let mut message = vec![(self.next() % 11) as u8, (self.next() % 5) as u8, 0, 0, 0];
        for _ in 0..self.next() % 40 {
            message.push((self.next() % 7) as u8);
        }
        Message::binary(message)
    }
}

/// Whatever a client sends, no other client notices, and nothing of it stays.
#[tokio::test]
async fn garbage_leaves_a_parallel_client_served() {
    let serving = serve(router()).await;
    let proxy = serving.proxy(Framing::Numbered);
    let mut garbage = Garbage(0x5eed);
    for name in [None, Some("zrpc"), Some("zrpc.v2")] {
        for _ in 0..30 {
            let mut raw = Raw::connect(&serving, name).await;
            for _ in 0..50 {
                use futures_util::SinkExt as _;
                // The server may have closed it by now.
                if raw.0.send(garbage.message()).await.is_err() {
                    break;
                }
            }
            let call = async { proxy.call("echo", "served").await?.all().await };
            assert_eq!(
                within("the good client", call).await,
                Ok(vec!["served".into()]),
                "{name:?}"
            );
        }
    }
    serving.idle().await;
}

/// Thousands of calls in one go, most of which are refused: neither end waits for the other to read.
#[tokio::test]
async fn a_burst_of_refused_calls_does_not_block_both_ends() {
    let zrpc = ZrpcConfig {
        calls_max: 1,
        ..ZrpcConfig::default()
    };
    let router = router();
    let (mut came, _cancelled) = silent(&router, "/zrpc/silent");
    let serving = serve_with(router, ServerConfig::default(), config(zrpc)).await;
    let proxy = serving.proxy(Framing::Numbered);
    let _open = proxy.call("silent", "").await.expect("it starts");
    within("the call", came.recv()).await;
    let calls = (0..5000).map(|_| async { proxy.call("echo", vec![7; 1000]).await?.all().await });
    let answers = within("all answers", futures_util::future::join_all(calls)).await;
    let refused = |answer: &Result<_, Status>| matches!(answer, Err(status) if status.code == Code::ResourceExhausted);
    assert!(answers.iter().all(refused), "one was not refused");
}

/// A client that answers nothing is given up, and its calls with it.
#[tokio::test]
async fn a_silent_client_is_asked_and_then_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let router = router();
    let (mut came, mut cancelled) = silent(&router, "/zrpc/silent");
    let zrpc = ZrpcConfig {
        silence_max: Duration::from_millis(200),
        ..ZrpcConfig::default()
    };
    let sockets = WebSocketServerConfig {
        ping_interval: Duration::from_millis(50),
        ..config(zrpc)
    };
    let serving = serve_with(router, ServerConfig::default(), sockets).await;
    let mut tcp = tokio::net::TcpStream::connect(serving.address)
        .await
        .expect("it listens");
    let handshake = "GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(handshake.as_bytes())
        .await
        .expect("it is open");
    // A call of `silent`, masked with zeros.
    let call = b"\x82\x8a\0\0\0\0\x06\0\0\0silent";
    tcp.write_all(call).await.expect("it is open");
    within("the call", came.recv()).await;
    let mut heard = Vec::new();
    within("the end", tcp.read_to_end(&mut heard)).await.ok();
    assert!(
        heard.ends_with(b"\x89\0"),
        "it was asked once, by a ping: {heard:?}"
    );
    within("the cancel", cancelled.recv()).await;
}

/// A socket without a call is closed after the time that is set.
#[tokio::test]
async fn an_idle_socket_is_closed() {
    let sockets = WebSocketServerConfig {
        idle_timeout: Some(Duration::from_millis(50)),
        ..config(ZrpcConfig::default())
    };
    let serving = serve_with(router(), ServerConfig::default(), sockets).await;
    let mut raw = Raw::connect(&serving, Some("zrpc.v2")).await;
    assert_eq!(
        raw.until_close().await,
        (vec![], (1001, "no call was open for long".into()))
    );
    let _ = Arc::new(serving);
}
