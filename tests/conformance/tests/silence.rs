//! A peer that vanishes without a word is noticed within the stated time, on both sides.
//!
//! The two ends talk through a relay that can fall silent: its sockets stay open, and nothing passes any more, as when a
//! machine loses its power. On paused time, which runs on by itself while everybody waits. HTTP/3 has this in its own
//! tests, whose network is made of datagrams.

use std::{future::pending, net::SocketAddr, time::Duration};

use headwater_conformance::control::{Control, RUN, say};
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig, Keepalive};
use headwater_rpc::{
    CallOptions, CancelReason, Client, ClientTransport, Code, EndedBy, Metadata, Router, Server,
    ServerConfig, ServerTransport,
};
use headwater_websocket::{
    WebSocketClient, WebSocketClientConfig, WebSocketServer, WebSocketServerConfig,
    zrpc::{ZrpcClient, ZrpcClientConfig, ZrpcConfig},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::Instant,
};

/// When a silent peer is asked, and how long it may take to answer: 30 s together.
const INTERVAL: Duration = Duration::from_secs(12);
const TIMEOUT: Duration = Duration::from_secs(18);

/// How much later than stated it may be: time is looked at in ticks.
const TICK: Duration = Duration::from_secs(2);

/// Passes on what comes, until it is told to fall silent.
struct Relay {
    address: SocketAddr,
    silent: watch::Sender<bool>,
}

impl Relay {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let silent = watch::Sender::new(false);
        let told = silent.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("it listens");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, told.clone()));
                tokio::spawn(pass(from_server, to_client, told.clone()));
            }
        });
        Self { address, silent }
    }
}

/// Holds both sockets when it is silent.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            biased;
            _ = silent.wait_for(|silent| *silent) => None,
            read = from.read(&mut bytes) => Some(read.unwrap_or(0)),
        };
        let Some(count) = read else {
            return pending().await;
        };
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// One open call through the relay, which then falls silent; how long each side takes to notice.
async fn both_notice(
    name: &str,
    server: impl ServerTransport,
    address: SocketAddr,
    client: impl FnOnce(&str) -> Client,
) {
    let router = Router::new();
    let control = Control::serve(&router);
    let server = Server::new(server, router, ServerConfig::default());
    let serving = tokio::spawn(async move { server.serve().await });
    let relay = Relay::to(address).await;
    let client = client(&relay.address.to_string());
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let call = client.call(RUN, Metadata::new(), CallOptions::default());
    let (sender, mut receiver) = call.await.expect("it opens");
    say(&sender, "echo x");
    let mut batch = Vec::new();
    receiver.next_batch(&mut batch).await.expect("the echo");
    say(&sender, "wait");
    control.started().await;
    // What works is never taken for what does not, however quiet it is.
    tokio::time::sleep(10 * (INTERVAL + TIMEOUT)).await;
    assert!(!sender.is_ended(), "{name}: it is quiet, and both live");

    relay.silent.send_replace(true);
    let began = Instant::now();
    let on_client = async {
        let ended = receiver.next_batch(&mut batch).await;
        (ended.expect_err("the server is gone"), began.elapsed())
    };
    let on_server = async { (control.next_cancel().await, began.elapsed()) };
    let ((error, client_took), (reason, server_took)) = tokio::join!(on_client, on_server);
    assert_eq!(error.status.code, Code::Unavailable, "{name}: {error}");
    assert_eq!(error.by, EndedBy::Transport, "{name}: {error}");
    assert_eq!(reason, CancelReason::Peer, "{name}");
    for (side, took) in [("client", client_took), ("server", server_took)] {
        let stated = INTERVAL + TIMEOUT;
        assert!(
            took <= stated + TICK,
            "{name}: the {side} took {took:?}, and {stated:?} are stated"
        );
    }
    connecting.abort();
    serving.abort();
}

fn client(transport: impl ClientTransport) -> Client {
    Client::new(transport)
}

/// U-03: over HTTP/2, by its pings.
#[tokio::test(start_paused = true)]
async fn u_03_http2_notices_a_peer_that_vanishes() {
    let config = Http2ServerConfig {
        keepalive_interval: INTERVAL,
        keepalive_timeout: TIMEOUT,
        ..Http2ServerConfig::default()
    };
    let server = Http2Server::bind("127.0.0.1:0", config).await;
    let server = server.expect("a free port");
    let address = server.local_addr();
    both_notice("http2", server, address, |address| {
        let keepalive = Keepalive {
            interval: INTERVAL,
            timeout: TIMEOUT,
            ..Keepalive::default()
        };
        let config = Http2ClientConfig {
            keepalive: Some(keepalive),
            ..Http2ClientConfig::default()
        };
        client(Http2Client::new(&format!("http://{address}"), &config).expect("a valid url"))
    })
    .await;
}

/// U-03: over WebSocket, by its pings.
#[tokio::test(start_paused = true)]
async fn u_03_websocket_notices_a_peer_that_vanishes() {
    let (server, address) = websocket_server().await;
    both_notice("websocket", server, address, |address| {
        let config = WebSocketClientConfig {
            ping_interval: INTERVAL,
            ping_timeout: TIMEOUT,
            ..WebSocketClientConfig::default()
        };
        client(WebSocketClient::new(&format!("ws://{address}"), &config).expect("a valid url"))
    })
    .await;
}

/// U-03: over zrpc, by the same pings.
#[tokio::test(start_paused = true)]
async fn u_03_zrpc_notices_a_peer_that_vanishes() {
    let (server, address) = websocket_server().await;
    both_notice("zrpc", server, address, |address| {
        let config = ZrpcClientConfig {
            ping_interval: INTERVAL,
            ping_timeout: TIMEOUT,
            ..ZrpcClientConfig::default()
        };
        client(ZrpcClient::new(&format!("ws://{address}"), &config).expect("a valid url"))
    })
    .await;
}

async fn websocket_server() -> (WebSocketServer, SocketAddr) {
    let config = WebSocketServerConfig {
        ping_interval: INTERVAL,
        ping_timeout: TIMEOUT,
        zrpc: ZrpcConfig {
            silence_max: INTERVAL + TIMEOUT,
            ..ZrpcConfig::default()
        },
        ..WebSocketServerConfig::default()
    };
    let server = WebSocketServer::bind("127.0.0.1:0", config).await;
    let server = server.expect("a free port");
    let address = server.local_addr();
    (server, address)
}
