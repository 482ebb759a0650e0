//! A server, a client that means no harm, and peers that know WebSockets and nothing of this crate.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use headwater_proto::pw_rpc::{MethodId, PacketType, RpcPacket};
use headwater_rpc::{
    CallOptions, Client, IncomingCall, Metadata, Router, Server, ServerConfig, Shape, Status,
};
use headwater_websocket::{
    WebSocketClient, WebSocketClientConfig, WebSocketServer, WebSocketServerConfig,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::{JoinHandle, yield_now},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

/// Answers with what it got.
pub(crate) const ECHO: &str = "/t.T/Echo";
/// Never ends by itself, and reads nothing.
pub(crate) const WAIT: &str = "/t.T/Wait";
/// Sends 16 KiB again and again.
pub(crate) const FLOOD: &str = "/t.T/Flood";
/// Sends its one request three times.
pub(crate) const THRICE: &str = "/t.T/Thrice";
/// Answers once, with how many requests came.
pub(crate) const COUNT: &str = "/t.T/Count";
/// Answers each request.
pub(crate) const TALK: &str = "/t.T/Talk";
/// Nobody answers it.
pub(crate) const NONE: &str = "/t.T/None";

/// Beyond this a case hangs.
const HANG: Duration = Duration::from_secs(20);

/// Ends with `future`, or fails naming `what` when it takes too long.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let done = tokio::time::timeout(HANG, future).await;
    done.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits for what has to come.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    within(what, async {
        while !holds() {
            yield_now().await;
        }
    })
    .await;
}

pub(crate) fn router() -> Router {
    let router = Router::new();
    router.unary(ECHO, |request| async { Ok(request.message) });
    router.stream(WAIT, |call| async move {
        let call: IncomingCall = call;
        call.cancellation.cancelled().await;
    });
    router.stream(FLOOD, |call| async move {
        let chunk = Bytes::from(vec![0; 16 << 10]);
        while call.sender.send(chunk.clone()).await.is_ok() {}
    });
    router.stream_of(THRICE, Shape::ServerStreaming, |mut call| async move {
        let mut batch = Vec::new();
        let _ = call.receiver.next_batch(&mut batch).await;
        for _ in 0..3 {
            let _ = call.sender.send(batch[0].clone()).await;
        }
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    router.stream_of(COUNT, Shape::ClientStreaming, |mut call| async move {
        let mut batch = Vec::new();
        while let Ok(1..) = call.receiver.next_batch(&mut batch).await {}
        let _ = call.sender.send(batch.len().to_string().into()).await;
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    router.stream(TALK, |mut call| async move {
        let mut batch = Vec::new();
        while let Ok(1..) = call.receiver.next_batch(&mut batch).await {
            for message in batch.drain(..) {
                let _ = call.sender.send(message).await;
            }
        }
        let _ = call.sender.finish(Ok(()), Metadata::new());
    });
    router
}

/// A server, and a good client that is connected to it.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    pub(crate) server: Server,
    pub(crate) router: Router,
    pub(crate) good: Good,
    serving: JoinHandle<Result<(), Status>>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Target {
    pub(crate) async fn start() -> Self {
        Self::with(WebSocketServerConfig::default()).await
    }

    pub(crate) async fn with(config: WebSocketServerConfig) -> Self {
        Self::with_bounds(config, ServerConfig::default()).await
    }

    pub(crate) async fn with_bounds(config: WebSocketServerConfig, bounds: ServerConfig) -> Self {
        let router = router();
        let transport = WebSocketServer::bind("127.0.0.1:0", config).await;
        let transport = transport.expect("a free port on loopback");
        let addr = transport.local_addr();
        let server = Server::new(transport, router.clone(), bounds);
        let running = server.clone();
        let serving = tokio::spawn(async move { running.serve().await });
        let good = Good::new(addr);
        good.is_served("at first").await;
        Self {
            addr,
            server,
            router,
            good,
            serving,
        }
    }

    /// The good client is served, and of all others nothing is left.
    pub(crate) async fn is_as_before(&self, after: &str) {
        self.good.is_served(after).await;
        let what = format!("no call to be left after {after}");
        eventually(&what, || self.server.open_calls() == 0).await;
    }

    /// A client that offers this subprotocol, and packs its packets itself.
    pub(crate) async fn peer(&self, subprotocol: Option<&'static str>) -> PacketPeer {
        let url = format!("ws://{}/", self.addr);
        let mut request = url.into_client_request().expect("a valid url");
        if let Some(name) = subprotocol {
            let headers = request.headers_mut();
            headers.insert("sec-websocket-protocol", HeaderValue::from_static(name));
        }
        let (socket, _) = connect_async(request).await.expect("it accepts");
        PacketPeer(socket)
    }

    /// A socket after the handshake, of which every byte is the test's.
    pub(crate) async fn raw(&self) -> TcpStream {
        let mut raw = TcpStream::connect(self.addr).await.expect("it listens");
        let handshake = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
            sec-websocket-protocol: headwater.v1.pw_rpc\r\n\r\n";
        raw.write_all(handshake.as_bytes())
            .await
            .expect("it is open");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(raw.read_u8().await.expect("it answers"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "it accepts");
        raw
    }
}

/// A client that means no harm, on a connection of its own.
pub(crate) struct Good(pub(crate) Client);

impl Good {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self::with(&format!("ws://{addr}"), WebSocketClientConfig::default())
    }

    pub(crate) fn with(url: &str, mut config: WebSocketClientConfig) -> Self {
        // A call that waits for a connection does not wait long.
        config.channel.balancer.back_off.initial = Duration::from_millis(10);
        config.channel.balancer.back_off.max = Duration::from_millis(10);
        let transport = WebSocketClient::new(url, &config);
        let client = Client::new(transport.expect("a valid url"));
        let running = client.clone();
        tokio::spawn(async move { running.connect().await });
        Self(client)
    }

    pub(crate) async fn call(&self) -> Result<Bytes, Status> {
        self.unary(ECHO, "x", CallOptions::default()).await
    }

    pub(crate) async fn unary(
        &self,
        path: &'static str,
        message: &'static str,
        options: CallOptions,
    ) -> Result<Bytes, Status> {
        let call = self.0.unary(path, Metadata::new(), message.into(), options);
        within("an answer", call).await
    }

    /// As soon as there is a connection, and on another one if this one leaves before it has taken the call.
    pub(crate) async fn call_when_ready(&self) -> Result<Bytes, Status> {
        let options = CallOptions {
            wait_for_ready: Some(true),
            ..CallOptions::default()
        };
        self.unary(ECHO, "x", options).await
    }

    pub(crate) async fn is_served(&self, when: &str) {
        assert_eq!(self.call().await, Ok(Bytes::from("x")), "{when}");
    }
}

/// One end of a WebSocket that packs its packets itself.
pub(crate) struct PacketPeer(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl PacketPeer {
    pub(crate) async fn says(&mut self, packet: &RpcPacket) {
        let message = Message::Binary(packet.to_bytes());
        self.0.send(message).await.expect("it is open");
    }

    pub(crate) async fn hears(&mut self) -> RpcPacket {
        let message = self.message().await;
        assert!(message.is_binary(), "no packet: {message:?}");
        RpcPacket::read(message.into_data()).expect("a packet")
    }

    pub(crate) async fn message(&mut self) -> Message {
        loop {
            let message = within("a message", self.0.next()).await;
            let message = message.expect("it is open").expect("a valid frame");
            // Answered by the socket itself.
            if !message.is_ping() {
                return message;
            }
        }
    }

    /// A unary call of a plain client is answered.
    pub(crate) async fn is_served(&mut self, call_id: u32, when: &str) {
        let mut request = packet(PacketType::Request, ECHO, call_id);
        request.payload = "x".into();
        self.says(&request).await;
        let answer = self.hears().await;
        let got = (answer.r#type(), answer.call_id, answer.payload);
        assert_eq!(got, (PacketType::Response, call_id, "x".into()), "{when}");
    }
}

/// A packet about a call of this method.
pub(crate) fn packet(kind: PacketType, path: &str, call_id: u32) -> RpcPacket {
    let method = MethodId::of_path(path).expect("a path");
    RpcPacket::new(kind, 1, method, call_id)
}

/// The same with a payload.
pub(crate) fn with(mut packet: RpcPacket, payload: &'static str) -> RpcPacket {
    packet.payload = payload.into();
    packet
}
