//! Our client, and servers that go: politely, without a word, and with nonsense.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use headwater_proto::{
    Code, Metadata,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{CallOptions, EndedBy, Server, ServerConfig};
use headwater_websocket::{WebSocketClientConfig, WebSocketServer, WebSocketServerConfig};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::HeaderValue,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::support::{Good, TALK, Target, eventually, router, within};

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = within("a client", listener.accept()).await.expect("one");
    #[allow(clippy::result_large_err, reason = "the callback's own type")]
    let answer = |_: &Request, mut response: Response| {
        let name = HeaderValue::from_static("headwater.v1.pw_rpc");
        response
            .headers_mut()
            .insert("sec-websocket-protocol", name);
        Ok(response)
    };
    accept_hdr_async(stream, answer).await.expect("a handshake")
}

/// The server announces that it leaves: the open call goes on, a new one goes to the server that comes after.
#[tokio::test]
async fn calls_move_to_the_next_server_when_one_leaves() {
    let target = Target::start().await;
    let call = target
        .good
        .0
        .call(TALK, Metadata::new(), CallOptions::default())
        .await;
    let (sender, mut receiver) = call.expect("it opens");
    let mut batch = Vec::new();
    sender.try_send("one".into()).expect("it is open");
    let count = within("an answer", receiver.next_batch(&mut batch)).await;
    assert_eq!(count.map_err(|it| it.status), Ok(1));

    target.server.begin_graceful_shutdown();
    // The port is free as soon as nobody listens on it any more.
    let next = within("the port", async {
        loop {
            let bound = WebSocketServer::bind(target.addr, WebSocketServerConfig::default()).await;
            match bound {
                Ok(bound) => break bound,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let next = Server::new(next, router(), ServerConfig::default());
    let serving = next.clone();
    tokio::spawn(async move { serving.serve().await });
    let answer = target.good.call_when_ready().await;
    assert_eq!(answer, Ok(Bytes::from("x")), "by the next server");

    sender.try_send("two".into()).expect("it is open");
    let count = within("an answer", receiver.next_batch(&mut batch)).await;
    assert_eq!(count.map_err(|it| it.status), Ok(1), "the old call goes on");
    let _ = sender.finish(Ok(()), Metadata::new());
    let count = within("the end", receiver.next_batch(&mut batch)).await;
    assert_eq!(count.map_err(|it| it.status), Ok(0));
    assert_eq!(batch, ["one", "two"].map(Bytes::from));
}

/// After the bound of a graceful stop, open calls end with `UNAVAILABLE`, and the server with them.
#[tokio::test]
async fn a_stop_that_takes_too_long_ends_the_calls() {
    let target = Target::with(WebSocketServerConfig {
        shutdown_timeout: Some(Duration::from_millis(20)),
        ..WebSocketServerConfig::default()
    })
    .await;
    let call = target
        .good
        .0
        .call(TALK, Metadata::new(), CallOptions::default())
        .await;
    let (_sender, mut receiver) = call.expect("it opens");
    eventually("the call to open", || target.server.open_calls() == 1).await;
    target.server.begin_graceful_shutdown();
    let end = within("the end", receiver.next_batch(&mut Vec::new())).await;
    let code = end.map_err(|error| error.status.code);
    assert_eq!(code, Err(Code::Unavailable));
}

/// The server takes the connection and says nothing more, not even a pong.
#[tokio::test]
async fn a_server_that_vanishes_without_a_word() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("it is bound");
    let config = WebSocketClientConfig {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(50),
        ..WebSocketClientConfig::default()
    };
    let good = Good::with(&format!("ws://{addr}"), config);
    let call = good.call();
    let server = async { accept(&listener).await };
    let (answer, _socket) = tokio::join!(call, server);
    let status = answer.expect_err("nobody answers");
    assert_eq!(status.code, Code::Unavailable);
    assert!(status.message.contains("nothing was heard"), "{status:?}");
}

/// Whatever a server says that it may not, the calls end with `UNAVAILABLE`, and the client connects anew.
#[tokio::test]
async fn servers_that_break_the_protocol() {
    let cases: [(&str, &[u8]); 7] = [
        ("a frame with a mask", &[0x82, 0x80, 1, 2, 3, 4]),
        ("a reserved opcode", &[0x83, 0]),
        ("a continuation of nothing", &[0x80, 0]),
        ("text", &[0x81, 2, b'h', b'i']),
        (
            "a message over the limit",
            &[0x82, 127, 0, 0, 0, 0, 0x10, 0, 0, 0],
        ),
        ("text that is not UTF-8", &[0x81, 1, 0xFF]),
        ("a close frame", &[0x88, 2, 3, 0xF3]),
    ];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("it is bound");
    let good = Good::new(addr);
    for (name, bytes) in cases {
        let call = good.call_when_ready();
        let server = async {
            let mut socket = accept(&listener).await;
            let request = within("a request", socket.next()).await;
            request.expect("it is open").expect("valid");
            let stream = socket.get_mut();
            stream.write_all(bytes).await.expect("it is open");
            socket
        };
        let (answer, socket) = tokio::join!(call, server);
        let code = answer.map_err(|status| status.code);
        assert_eq!(code, Err(Code::Unavailable), "{name}");
        drop(socket);
    }
}

/// A server that leaves in peace has answered what it began: a call that it did not answer goes to the next connection.
#[tokio::test]
async fn a_call_that_a_leaving_server_never_saw_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("it is bound");
    let good = Good::new(addr);
    let call = good.call_when_ready();
    let server = async {
        let mut socket = accept(&listener).await;
        within("a request", socket.next())
            .await
            .expect("open")
            .expect("valid");
        let close = CloseFrame {
            code: CloseCode::Away,
            reason: "".into(),
        };
        socket.close(Some(close)).await.expect("it is open");
        drop(socket);
        let mut socket = accept(&listener).await;
        let again = within("the request again", socket.next()).await;
        let Message::Binary(request) = again.expect("open").expect("valid") else {
            panic!("no packet")
        };
        let request = RpcPacket::read(request).expect("a packet");
        let mut answer = request;
        answer.set_type(PacketType::Response);
        answer.extension = None;
        answer.payload = "x".into();
        answer.extend().has_message = true;
        let answer = Message::Binary(answer.to_bytes());
        socket.send(answer).await.expect("it is open");
        socket
    };
    let (answer, _socket) = tokio::join!(call, server);
    assert_eq!(answer, Ok(Bytes::from("x")));
}

/// The socket breaks: the call ends as broken, and says so.
#[tokio::test]
async fn a_connection_that_breaks_ends_its_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("it is bound");
    let good = Good::new(addr);
    let options = CallOptions {
        wait_for_ready: Some(true),
        ..CallOptions::default()
    };
    let call = good.0.call(TALK, Metadata::new(), options);
    let (call, socket) = tokio::join!(call, accept(&listener));
    let (_sender, mut receiver) = call.expect("it opens");
    drop(socket);
    let end = within("the end", receiver.next_batch(&mut Vec::new())).await;
    let error = end.expect_err("it is broken");
    assert_eq!(
        (error.status.code, error.by),
        (Code::Unavailable, EndedBy::Transport)
    );
}

#[test]
fn urls_that_are_none_are_refused() {
    use headwater_websocket::WebSocketClient;
    for url in [
        "http://host:1",
        "ws://",
        "host:1",
        "ws://user:secret@host:1",
        "wss:///path",
    ] {
        let made = WebSocketClient::new(url, &WebSocketClientConfig::default());
        let status = made.err().unwrap_or_else(|| panic!("{url} was taken"));
        assert_eq!(status.code, Code::InvalidArgument, "{url}");
        assert!(!status.message.contains("secret"), "{}", status.message);
    }
}
