//! Servers that speak pw_rpc without Headwater's extension, toward our client.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use headwater_proto::{
    Code, Metadata,
    pw_rpc::{PacketType, RpcPacket},
};
use headwater_rpc::{CallOptions, Receiver, Shape, Status};
use headwater_websocket::{Subprotocol, WebSocketClientConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::HeaderValue,
    },
};

use crate::support::{COUNT, ECHO, Good, NONE, TALK, THRICE, packet, with, within};

/// A server of one socket, which the test plays.
struct Script {
    listener: TcpListener,
    name: Option<&'static str>,
}

struct Socket(WebSocketStream<TcpStream>);

impl Script {
    async fn new(name: Option<&'static str>) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        (Self { listener, name }, addr)
    }

    async fn accept(&self) -> Socket {
        let (stream, _) = within("a client", self.listener.accept())
            .await
            .expect("one");
        let name = self.name;
        #[allow(clippy::result_large_err, reason = "the callback's own type")]
        let answer = move |request: &Request, mut response: Response| {
            let offered = request.headers().get("sec-websocket-protocol");
            let offered = offered.and_then(|it| it.to_str().ok());
            assert_eq!(offered, name, "what the client offers");
            if let Some(name) = name {
                let name = HeaderValue::from_static(name);
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", name);
            }
            Ok(response)
        };
        Socket(accept_hdr_async(stream, answer).await.expect("a handshake"))
    }
}

impl Socket {
    async fn hears(&mut self) -> RpcPacket {
        let message = within("a packet", self.0.next()).await;
        let message = message.expect("it is open").expect("valid");
        assert!(message.is_binary(), "no packet: {message:?}");
        RpcPacket::read(message.into_data()).expect("a packet")
    }

    async fn says(&mut self, packet: RpcPacket) {
        let message = Message::Binary(packet.to_bytes());
        self.0.send(message).await.expect("it is open");
    }
}

fn client(addr: SocketAddr, subprotocol: Subprotocol) -> Good {
    let config = WebSocketClientConfig {
        subprotocol,
        ..WebSocketClientConfig::default()
    };
    Good::with(&format!("ws://{addr}/rpc"), config)
}

fn shaped(shape: Shape) -> CallOptions {
    CallOptions {
        shape,
        ..CallOptions::default()
    }
}

async fn read(receiver: &mut Receiver) -> (Vec<Bytes>, Result<(), Code>) {
    let mut messages = Vec::new();
    loop {
        match within("a batch", receiver.next_batch(&mut messages)).await {
            Ok(0) => return (messages, Ok(())),
            Ok(_) => {}
            Err(error) => return (messages, Err(error.status.code)),
        }
    }
}

/// S5-40, S5-66: the one message of a unary request goes with the request; metadata and time limits do no harm.
#[tokio::test]
async fn s5_66_a_unary_call_of_a_plain_server() {
    for (name, subprotocol) in [
        (Some("pw_rpc"), Subprotocol::PwRpc),
        (None, Subprotocol::Unnamed),
    ] {
        let (script, addr) = Script::new(name).await;
        let good = client(addr, subprotocol);
        let mut metadata = Metadata::new();
        metadata.append("key", "value").expect("valid");
        let options = CallOptions {
            timeout: Some(Duration::from_secs(60)),
            ..CallOptions::default()
        };
        let call = good.0.unary(ECHO, metadata, "ping".into(), options);
        let serve = async {
            let mut socket = script.accept().await;
            let request = socket.hears().await;
            assert_eq!(request.r#type(), PacketType::Request);
            assert_eq!(request.payload, "ping", "the message is in the request");
            let mut answer = with(packet(PacketType::Response, ECHO, request.call_id), "pong");
            answer.channel_id = request.channel_id;
            socket.says(answer).await;
            socket
        };
        let (answer, mut socket) = tokio::join!(call, serve);
        assert_eq!(answer, Ok(Bytes::from("pong")));

        // Now it is known to be plain.
        let again = good.unary(ECHO, "ping", CallOptions::default());
        let serve = async {
            let request = socket.hears().await;
            assert_eq!(request.extension, None, "there is nobody to read it");
            let mut error = packet(PacketType::Response, ECHO, request.call_id);
            error.status = 7;
            socket.says(error).await;
        };
        let (answer, ()) = tokio::join!(again, serve);
        let code = answer.map_err(|status| status.code);
        assert_eq!(code, Err(Code::PermissionDenied));
    }
}

#[tokio::test]
async fn s5_40_streams_of_a_plain_server() {
    let (script, addr) = Script::new(Some("pw_rpc")).await;
    let good = client(addr, Subprotocol::PwRpc);
    let serve = tokio::spawn(async move {
        let mut socket = script.accept().await;
        // One request, three responses.
        let request = socket.hears().await;
        assert_eq!(request.payload, "m");
        let id = request.call_id;
        for _ in 0..3 {
            let response = with(packet(PacketType::ServerStream, THRICE, id), "m");
            socket.says(response).await;
        }
        socket.says(packet(PacketType::Response, THRICE, id)).await;
        // Three requests, one response.
        let request = socket.hears().await;
        assert_eq!(
            (request.r#type(), request.payload.len()),
            (PacketType::Request, 0)
        );
        let id = request.call_id;
        for _ in 0..3 {
            let message = socket.hears().await;
            assert_eq!(message.r#type(), PacketType::ClientStream);
        }
        let done = socket.hears().await;
        assert_eq!(done.r#type(), PacketType::ClientRequestCompletion);
        let response = with(packet(PacketType::Response, COUNT, id), "3");
        socket.says(response).await;
        // Back and forth.
        let id = socket.hears().await.call_id;
        let word = socket.hears().await;
        let mut response = packet(PacketType::ServerStream, TALK, id);
        response.payload = word.payload;
        socket.says(response).await;
        socket
    });

    let metadata = Metadata::new;
    let options = shaped(Shape::ServerStreaming);
    let call = good.0.call(THRICE, metadata(), options).await;
    let (sender, mut receiver) = call.expect("it opens");
    sender.try_send("m".into()).expect("it is open");
    let _ = sender.finish(Ok(()), metadata());
    let expected = vec![Bytes::from("m"); 3];
    assert_eq!(read(&mut receiver).await, (expected, Ok(())));

    let options = shaped(Shape::ClientStreaming);
    let call = good.0.call(COUNT, metadata(), options).await;
    let (sender, mut receiver) = call.expect("it opens");
    for _ in 0..3 {
        sender.try_send("m".into()).expect("it is open");
    }
    let _ = sender.finish(Ok(()), metadata());
    assert_eq!(read(&mut receiver).await, (vec!["3".into()], Ok(())));

    let options = shaped(Shape::Bidirectional);
    let call = good.0.call(TALK, metadata(), options).await;
    let (sender, mut receiver) = call.expect("it opens");
    sender.try_send("word".into()).expect("it is open");
    let mut batch = Vec::new();
    let count = within("a word", receiver.next_batch(&mut batch)).await;
    assert_eq!(
        (count.map_err(|it| it.status), batch),
        (Ok(1), vec!["word".into()])
    );
    drop((sender, receiver));
    // S5-42: a cancel is a CLIENT_ERROR with CANCELLED.
    let mut socket = serve.await.expect("no panic");
    let cancel = socket.hears().await;
    assert_eq!(
        (cancel.r#type(), cancel.status),
        (PacketType::ClientError, 1)
    );
}

/// S5-28: an error of the server ends the call and is not answered.
#[tokio::test]
async fn s5_28_an_error_of_a_plain_server_ends_the_call() {
    let (script, addr) = Script::new(None).await;
    let good = client(addr, Subprotocol::Unnamed);
    let call = good.unary(NONE, "x", CallOptions::default());
    let serve = async {
        let mut socket = script.accept().await;
        let request = socket.hears().await;
        let mut error = packet(PacketType::ServerError, NONE, request.call_id);
        error.status = 5;
        socket.says(error).await;
        socket
    };
    let (answer, _socket) = tokio::join!(call, serve);
    assert_eq!(
        answer.map_err(|status: Status| status.code),
        Err(Code::NotFound)
    );
}

/// A server that sends more than a call reads, and knows of no credit: the call ends, and the connection goes on.
#[tokio::test]
async fn a_plain_server_cannot_fill_the_client() {
    let (script, addr) = Script::new(Some("pw_rpc")).await;
    let config = WebSocketClientConfig {
        subprotocol: Subprotocol::PwRpc,
        call_window_bytes: 64 << 10,
        ..WebSocketClientConfig::default()
    };
    let good = Good::with(&format!("ws://{addr}"), config);
    let options = shaped(Shape::Bidirectional);
    let call = good.0.call(TALK, Metadata::new(), options);
    let (call, mut socket) = tokio::join!(call, script.accept());
    let (_sender, mut receiver) = call.expect("it opens");
    let id = socket.hears().await.call_id;
    let mut message = packet(PacketType::ServerStream, TALK, id);
    message.payload = vec![0; 1 << 10].into();
    for _ in 0..200 {
        socket.says(message.clone()).await;
    }
    let told = socket.hears().await;
    assert_eq!(told.r#type(), PacketType::ClientError, "the server is told");
    let (messages, outcome) = read(&mut receiver).await;
    assert_eq!(outcome, Err(Code::ResourceExhausted));
    assert!(messages.len() <= 65, "{} KiB were held", messages.len());
}
