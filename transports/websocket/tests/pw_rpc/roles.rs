//! Both roles on one socket: who has dialled serves, and who was dialled calls.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use headwater_proto::{
    Code, Metadata,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{
    CallOptions, Client, Receiver, Router, Sender, Server, ServerConfig, Shape, Status,
};
use headwater_websocket::{
    AcceptedConnection, WebSocketClient, WebSocketClientConfig, WebSocketServer,
    WebSocketServerConfig,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, connect_async,
    tungstenite::{client::IntoClientRequest as _, http::HeaderValue},
};

use crate::support::{ECHO, PacketPeer, TALK, WAIT, eventually, packet, router, with, within};

/// A server that calls back.
pub(crate) struct Caller {
    pub(crate) addr: SocketAddr,
    pub(crate) server: Server,
    connections: mpsc::UnboundedReceiver<AcceptedConnection>,
    serving: JoinHandle<Result<(), Status>>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Caller {
    pub(crate) async fn start(router: Router) -> Self {
        let config = WebSocketServerConfig::default();
        let transport = WebSocketServer::bind("127.0.0.1:0", config).await;
        let (hand_on, connections) = mpsc::unbounded_channel();
        let transport = transport
            .expect("a free port on loopback")
            .with_connections(move |connection| {
                let _ = hand_on.send(connection);
            });
        let addr = transport.local_addr();
        let server = Server::new(transport, router, ServerConfig::default());
        let running = server.clone();
        let serving = tokio::spawn(async move { running.serve().await });
        Self {
            addr,
            server,
            connections,
            serving,
        }
    }

    /// The next socket.
    pub(crate) async fn connection(&mut self) -> AcceptedConnection {
        let connection = within("a connection", self.connections.recv()).await;
        connection.expect("the server runs")
    }

    /// The next socket, with a client on it.
    async fn calls(&mut self) -> (Client, JoinHandle<Result<(), Status>>) {
        run(Client::new(self.connection().await.client()))
    }

    /// One that packs its packets itself.
    pub(crate) async fn peer(&self) -> PacketPeer {
        let url = format!("ws://{}/", self.addr);
        let mut request = url.into_client_request().expect("a valid url");
        let name = HeaderValue::from_static("pw_rpc");
        request.headers_mut().insert("sec-websocket-protocol", name);
        let (socket, _) = connect_async(request).await.expect("it accepts");
        PacketPeer(socket)
    }
}

fn run(client: Client) -> (Client, JoinHandle<Result<(), Status>>) {
    let running = client.clone();
    let connecting = tokio::spawn(async move { running.connect().await });
    (client, connecting)
}

/// One that has dialled, and serves.
struct Dialler {
    client: Client,
    server: Server,
    connecting: JoinHandle<Result<(), Status>>,
    serving: JoinHandle<Result<(), Status>>,
}

impl Dialler {
    async fn start(addr: SocketAddr, router: Router, config: WebSocketClientConfig) -> Self {
        let transport = WebSocketClient::new(&format!("ws://{addr}"), &config);
        let transport = transport.expect("a valid url");
        let server = Server::new(transport.server(), router, ServerConfig::default());
        let channel = transport.channel().clone();
        let (client, connecting) = run(Client::new(transport));
        channel.wake();
        // The socket waits for it, however late it comes.
        tokio::task::yield_now().await;
        let running = server.clone();
        let serving = tokio::spawn(async move { running.serve().await });
        Self {
            client,
            server,
            connecting,
            serving,
        }
    }
}

impl Drop for Dialler {
    fn drop(&mut self) {
        self.connecting.abort();
        self.serving.abort();
    }
}

async fn unary(client: &Client, path: &'static str, text: &'static str) -> Result<Bytes, Status> {
    let options = CallOptions {
        timeout: Some(Duration::from_secs(20)),
        ..CallOptions::default()
    };
    client
        .unary(path, Metadata::new(), text.into(), options)
        .await
}

async fn open(client: &Client, path: &'static str) -> (Sender, Receiver) {
    let call = client.call(path, Metadata::new(), CallOptions::default());
    call.await.expect("it opens")
}

async fn next(receiver: &mut Receiver) -> Result<Vec<Bytes>, Code> {
    let mut batch = Vec::new();
    let read = within("an answer", receiver.next_batch(&mut batch)).await;
    read.map_err(|error| error.status.code)?;
    Ok(batch)
}

/// A router whose echo says who has answered.
fn signing(name: &'static str) -> Router {
    let router = router();
    router.unary(ECHO, move |request| async move {
        Ok([name.as_bytes(), &request.message].concat().into())
    });
    router
}

/// S5-61: both ends of one socket call one another at once, the same methods; each is answered by the other.
#[tokio::test]
async fn s5_61_both_ends_of_a_socket_call_one_another_at_once() {
    let mut caller = Caller::start(signing("accepted ")).await;
    let config = WebSocketClientConfig::default();
    let dialler = Dialler::start(caller.addr, signing("dialled "), config).await;
    let (back, _connecting) = caller.calls().await;
    for _ in 0..50 {
        let (there, here) =
            tokio::join!(unary(&dialler.client, ECHO, "x"), unary(&back, ECHO, "y"));
        assert_eq!(there, Ok("accepted x".into()));
        assert_eq!(here, Ok("dialled y".into()));
    }
    let (one, mut of_one) = open(&dialler.client, TALK).await;
    let (other, mut of_other) = open(&back, TALK).await;
    for round in 0..20 {
        let text = |name: &str| Bytes::from(format!("{name} {round}"));
        one.try_send(text("one")).expect("it is open");
        other.try_send(text("other")).expect("it is open");
        assert_eq!(next(&mut of_one).await, Ok(vec![text("one")]));
        assert_eq!(next(&mut of_other).await, Ok(vec![text("other")]));
    }
    let open_calls = (caller.server.open_calls(), dialler.server.open_calls());
    assert_eq!(open_calls, (1, 1), "each serves one");
    // The end of one leaves the other.
    one.finish(Ok(()), Metadata::new()).expect("it is open");
    assert_eq!(next(&mut of_one).await, Ok(vec![]));
    other.try_send("more".into()).expect("it is open");
    assert_eq!(next(&mut of_other).await, Ok(vec!["more".into()]));
    assert!(
        caller.connections.try_recv().is_err(),
        "all of it was on one socket"
    );
}

/// S5-61: a peer of pure pw_rpc, whose call and the server's have the same method, channel and id.
#[tokio::test]
async fn s5_61_calls_with_equal_ids_do_not_mix() {
    let mut caller = Caller::start(signing("accepted ")).await;
    let mut peer = caller.peer().await;
    let (back, _connecting) = caller.calls().await;
    let call = tokio::spawn(async move { unary(&back, ECHO, "from the server").await });
    let asked = peer.hears().await;
    let kind = (asked.r#type(), asked.channel_id, asked.call_id);
    assert_eq!(kind, (PacketType::Request, 1, 1));
    assert_eq!(asked.payload, "from the server");

    peer.says(&with(packet(PacketType::Request, ECHO, 1), "x"))
        .await;
    let answer = peer.hears().await;
    let kind = (answer.r#type(), answer.channel_id, answer.call_id);
    assert_eq!(kind, (PacketType::Response, 1, 1));
    assert_eq!(answer.payload, "accepted x");
    assert!(!call.is_finished(), "the answer to another is none to it");
    peer.says(&with(
        packet(PacketType::Response, ECHO, 1),
        "from the peer",
    ))
    .await;
    let answered = within("the server's call", call).await.expect("no panic");
    assert_eq!(answered, Ok("from the peer".into()));
    // And a response that nobody waits for is no request.
    peer.says(&with(packet(PacketType::Response, ECHO, 1), "again"))
        .await;
    peer.says(&with(packet(PacketType::Request, ECHO, 2), "y"))
        .await;
    assert_eq!(peer.hears().await.call_id, 2);
}

/// S5-61: the end of the socket ends the calls of both, and what carries them.
#[tokio::test]
async fn s5_61_the_end_of_a_socket_ends_both_roles() {
    let mut caller = Caller::start(router()).await;
    let mut peer = caller.peer().await;
    let connection = caller.connection().await;
    let (back, connecting) = run(Client::new(connection.client()));
    let (_sender, mut receiver) = open(&back, WAIT).await;
    assert_eq!(peer.hears().await.r#type(), PacketType::Request);
    peer.says(&packet(PacketType::Request, WAIT, 1)).await;
    eventually("the peer's call", || caller.server.open_calls() == 1).await;
    let MaybeTlsStream::Plain(socket) = peer.0.into_inner() else {
        panic!("there is no TLS");
    };
    drop(socket);
    assert_eq!(next(&mut receiver).await, Err(Code::Unavailable));
    eventually("the peer's call to end", || caller.server.open_calls() == 0).await;
    drop(receiver);
    let ended = within("the client", connecting).await.expect("no panic");
    assert_eq!(ended.map_err(|status| status.code), Err(Code::Unavailable));
    let (_late, connecting) = run(Client::new(connection.client()));
    let late = within("a late client", connecting).await.expect("no panic");
    assert_eq!(late.map_err(|status| status.code), Err(Code::Unavailable));
}

/// S5-61: a server that stops lets its own calls end too, and takes no new ones on either side.
#[tokio::test]
async fn s5_61_a_server_that_stops_lets_the_calls_of_both_roles_end() {
    let mut caller = Caller::start(router()).await;
    let config = WebSocketClientConfig::default();
    let dialler = Dialler::start(caller.addr, router(), config).await;
    let (back, connecting) = caller.calls().await;
    let (one, mut of_one) = open(&dialler.client, TALK).await;
    let (other, mut of_other) = open(&back, TALK).await;
    for (sender, receiver) in [(&one, &mut of_one), (&other, &mut of_other)] {
        sender.try_send("x".into()).expect("it is open");
        assert_eq!(next(receiver).await, Ok(vec!["x".into()]));
    }
    caller.server.begin_graceful_shutdown();
    let refused = within("a refusal", async {
        loop {
            match unary(&back, ECHO, "late").await {
                Ok(_) => tokio::task::yield_now().await,
                Err(status) => return status.code,
            }
        }
    });
    assert_eq!(refused.await, Code::Unavailable);
    for (sender, receiver) in [(&one, &mut of_one), (&other, &mut of_other)] {
        sender.try_send("y".into()).expect("it is open");
        assert_eq!(next(receiver).await, Ok(vec!["y".into()]));
        sender.finish(Ok(()), Metadata::new()).expect("it is open");
        assert_eq!(next(receiver).await, Ok(vec![]));
    }
    let serving = std::mem::replace(&mut caller.serving, tokio::spawn(async { Ok(()) }));
    let served = within("the server", serving).await.expect("no panic");
    assert_eq!(served, Ok(()));
    let ended = within("its client", connecting).await.expect("no panic");
    assert_eq!(ended.map_err(|status| status.code), Err(Code::Unavailable));
}

/// S5-61: a client that stops lets the calls that are served on its socket end, and no new ones come.
#[tokio::test]
async fn s5_61_a_client_that_stops_lets_the_calls_that_it_serves_end() {
    let mut caller = Caller::start(router()).await;
    let config = WebSocketClientConfig::default();
    let mut dialler = Dialler::start(caller.addr, router(), config).await;
    let (back, connecting) = caller.calls().await;
    let (sender, mut receiver) = open(&back, TALK).await;
    sender.try_send("x".into()).expect("it is open");
    assert_eq!(next(&mut receiver).await, Ok(vec!["x".into()]));
    dialler.client.begin_graceful_shutdown();
    let stopped = within("the client", &mut dialler.connecting).await;
    assert_eq!(stopped.expect("no panic"), Ok(()));
    within("a refusal", async {
        while unary(&back, ECHO, "late").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    sender.try_send("y".into()).expect("it is open");
    assert_eq!(next(&mut receiver).await, Ok(vec!["y".into()]));
    sender.finish(Ok(()), Metadata::new()).expect("it is open");
    assert_eq!(next(&mut receiver).await, Ok(vec![]));
    drop((sender, receiver));
    let ended = within("the socket to end", connecting).await;
    let ended = ended.expect("no panic").map_err(|status| status.code);
    assert_eq!(ended, Err(Code::Unavailable), "nothing holds it any more");
}

/// S5-61: a server on a dialled socket that stops lets its calls end and takes no new ones; the client's own go on.
#[tokio::test]
async fn s5_61_a_server_on_a_dialled_socket_stops_alone() {
    let mut caller = Caller::start(router()).await;
    let config = WebSocketClientConfig::default();
    let mut dialler = Dialler::start(caller.addr, router(), config).await;
    let (back, _connecting) = caller.calls().await;
    let (sender, mut receiver) = open(&back, TALK).await;
    sender.try_send("x".into()).expect("it is open");
    assert_eq!(next(&mut receiver).await, Ok(vec!["x".into()]));
    dialler.server.begin_graceful_shutdown();
    within("a refusal", async {
        while unary(&back, ECHO, "late").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        unary(&dialler.client, ECHO, "x").await,
        Ok("x".into()),
        "its calls go on"
    );
    sender.try_send("y".into()).expect("it is open");
    assert_eq!(next(&mut receiver).await, Ok(vec!["y".into()]));
    sender.finish(Ok(()), Metadata::new()).expect("it is open");
    assert_eq!(next(&mut receiver).await, Ok(vec![]));
    let served = within("the server", &mut dialler.serving).await;
    assert_eq!(served.expect("no panic"), Ok(()));
}

/// S5-61: one server serves on a client's sockets, and sockets wait for it, unless it is gone.
#[tokio::test]
async fn s5_61_a_socket_waits_for_its_server_and_not_for_one_that_is_gone() {
    let mut caller = Caller::start(router()).await;
    let url = format!("ws://{}", caller.addr);
    let transport = WebSocketClient::new(&url, &WebSocketClientConfig::default());
    let transport = transport.expect("a valid url");
    let (first, second) = (transport.server(), transport.server());
    let second = Server::new(second, router(), ServerConfig::default());
    let served = within("a second server", second.serve()).await;
    let code = served.map_err(|status| status.code);
    assert_eq!(code, Err(Code::FailedPrecondition), "there is one");
    drop(second);
    let (client, _connecting) = run(Client::new(transport));
    let call = tokio::spawn(async move { unary(&client, ECHO, "x").await });
    let _connection = caller.connection().await;
    assert!(!call.is_finished(), "its socket waits");
    drop(first);
    let answered = within("the call", call).await.expect("no panic");
    assert_eq!(answered, Ok("x".into()));
}

/// S5-61, S5-60: what is served on a dialled socket has its bounds too.
#[tokio::test]
async fn s5_61_calls_served_on_a_dialled_socket_are_bounded() {
    let mut caller = Caller::start(router()).await;
    let config = WebSocketClientConfig {
        calls_max: 3,
        method_calls_max: Some(2),
        ..WebSocketClientConfig::default()
    };
    let dialler = Dialler::start(caller.addr, router(), config).await;
    let (back, _connecting) = caller.calls().await;
    let _calls = [open(&back, WAIT).await, open(&back, WAIT).await];
    eventually("two calls", || dialler.server.open_calls() == 2).await;
    let (_sender, mut receiver) = open(&back, WAIT).await;
    assert_eq!(
        next(&mut receiver).await,
        Err(Code::ResourceExhausted),
        "of one method"
    );
    let (talk, mut answers) = open(&back, TALK).await;
    talk.try_send("x".into()).expect("it is open");
    assert_eq!(next(&mut answers).await, Ok(vec!["x".into()]));
    let full = unary(&back, ECHO, "x").await.map_err(|status| status.code);
    assert_eq!(full, Err(Code::ResourceExhausted), "of all");
    assert_eq!(
        unary(&dialler.client, ECHO, "x").await,
        Ok("x".into()),
        "its own do not count"
    );
}

/// A packet of an unrequested response, as a plain client sees it.
pub(crate) fn told(packet: &RpcPacket) -> (PacketType, u32, Bytes) {
    (packet.r#type(), packet.call_id, packet.payload.clone())
}

/// A unary method that nobody answers.
pub(crate) const ASK: &str = "/t.T/Ask";

/// The routes, with one whose answer comes from the next process.
pub(crate) fn asking() -> Router {
    let router = router();
    router.stream_of(ASK, Shape::Unary, |call| async move {
        let call = call;
        call.cancellation.cancelled().await;
    });
    router
}
