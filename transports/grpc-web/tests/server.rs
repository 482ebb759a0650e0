//! What a server of gRPC-Web says and takes, byte for byte.

use std::{future::Future, net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use headwater_grpc_web::{GrpcWebServer, GrpcWebServerConfig};
use headwater_rpc::{
    CancelReason, Metadata, Method, Router, Server, ServerConfig, Service, Shape, Status,
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};

const WEB: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";
/// The message `x`, behind its length.
const X: &[u8] = b"\0\0\0\0\x01x";
/// Beyond this a case hangs.
const HANG: Duration = Duration::from_secs(20);

struct Place {
    addr: SocketAddr,
    server: Server,
    serving: JoinHandle<Result<(), Status>>,
    /// Why the calls of `Wait` were told to end.
    cancelled: mpsc::UnboundedReceiver<CancelReason>,
}

async fn serve(config: GrpcWebServerConfig) -> Place {
    let (seen, cancelled) = mpsc::unbounded_channel();
    let echo = Method::unary("Echo", |request| async { Ok::<_, Status>(request.message) });
    let wait = Method::stream("Wait", Shape::ServerStreaming, move |call| {
        let seen = seen.clone();
        async move {
            call.sender.send("x".into()).await.expect("open");
            let why = call.cancellation.cancelled().await;
            seen.send(why).expect("the test listens");
            // The client that is gone needs no end.
            let _ = call.sender.finish(Ok(()), Metadata::new());
        }
    });
    let stall = Method::stream("Stall", Shape::ServerStreaming, |call| async {
        // All of it is held, and nothing read.
        let call = call;
        call.sender.send("x".into()).await.expect("open");
        call.cancellation.cancelled().await;
    });
    let router = Router::new();
    let service = Service {
        name: "t.T".into(),
        methods: vec![echo, wait, stall],
    };
    router.add(service).expect("they are new");
    let transport = GrpcWebServer::bind("127.0.0.1:0", config).await;
    let transport = transport.expect("a free port on loopback");
    let addr = transport.local_addr();
    let server = Server::new(transport, router, ServerConfig::default());
    let serving = server.clone();
    Place {
        addr,
        server,
        serving: tokio::spawn(async move { serving.serve().await }),
        cancelled,
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(HANG, future).await;
    done.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

fn request(method: &str, kind: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://test/t.T/{method}"))
        .header("host", "test")
        .header("content-type", kind)
        .header("accept", kind)
        .body(Full::new(body.into()))
        .expect("valid")
}

impl Place {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("it listens")
    }

    /// By HTTP/1.1, on a connection of its own.
    async fn call(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let io = TokioIo::new(self.connect().await);
        let (mut sender, connection) = conn::http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        let response = soon("an answer", sender.send_request(request)).await;
        response.expect("an answer")
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> (HeaderMap, Bytes) {
        let response = self.call(request).await;
        let (head, body) = response.into_parts();
        assert_eq!(head.status, 200);
        let body = soon("the body", body.collect()).await;
        (head.headers, body.expect("whole").to_bytes())
    }
}

/// S4-86: the trailers are a frame of the body, whose first byte has its highest bit.
#[tokio::test]
async fn s4_86_messages_and_trailers_come_in_the_body() {
    let place = serve(GrpcWebServerConfig::default()).await;
    for kind in ["application/grpc-web", WEB] {
        let (headers, body) = place.answer(request("Echo", kind, X)).await;
        assert_eq!(headers["content-type"], WEB, "{kind}");
        let trailers = b"\x80\0\0\0\x0fgrpc-status:0\r\n";
        assert_eq!(body, [X, trailers].concat(), "{kind}");
    }
}

/// S4-86: the same in base64, in which each piece may end with padding of its own.
#[tokio::test]
async fn s4_86_base64_is_undone_and_done() {
    let place = serve(GrpcWebServerConfig::default()).await;
    let encoded = STANDARD.encode(X);
    let (headers, body) = place.answer(request("Echo", TEXT, encoded)).await;
    assert_eq!(headers["content-type"], "application/grpc-web-text+proto");
    let groups = body.chunks(4).map(|group| STANDARD.decode(group));
    let body: Result<Vec<_>, _> = groups.collect();
    let body = body.expect("base64").concat();
    assert_eq!(body, [X, b"\x80\0\0\0\x0fgrpc-status:0\r\n"].concat());

    for bad in ["!!!!", "AAAAA"] {
        let (headers, _) = place.answer(request("Echo", TEXT, bad)).await;
        assert_eq!(headers["grpc-status"], "13", "{bad} is no base64");
    }
}

/// S4-86: limits are those of every transport, and a status without messages stands in the headers.
#[tokio::test]
async fn s4_86_a_message_over_the_limit_is_refused() {
    let place = serve(GrpcWebServerConfig::default()).await;
    let (headers, _) = place
        .answer(request("Echo", WEB, b"\0\x7f\xff\xff\xff".as_slice()))
        .await;
    assert_eq!(headers["grpc-status"], "8");
}

/// S4-43, S4-86: on HTTP/1.1 a client that is refused while it still sends is answered all the same, and can go on. If the
/// server closed at once, a reset would overtake the answer (RFC 9112, 9.6).
#[tokio::test]
async fn s4_86_who_is_refused_while_it_sends_hears_why() {
    /// More than the sockets of both ends hold.
    const BYTES: usize = 32 << 20;
    let place = serve(GrpcWebServerConfig::default()).await;
    let mut stream = place.connect().await;
    let mut body = vec![0; BYTES];
    body[1] = 0x7f;
    // A message over the limit, a method that is not there, and what is no gRPC-Web.
    for (path, kind, told) in [
        ("/t.T/Echo", WEB, "grpc-status: 8\r\n"),
        ("/t.T/Nothing", WEB, "grpc-status: 12\r\n"),
        ("/t.T/Echo", "text/plain", "HTTP/1.1 400"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: {kind}\r\ncontent-length: {BYTES}\r\n\r\n"
        );
        let all = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            let mut answer = String::new();
            let mut byte = [0];
            while !answer.ends_with("\r\n\r\n") {
                stream.read_exact(&mut byte).await?;
                answer.push(byte[0].into());
            }
            std::io::Result::Ok(answer)
        };
        let answer = soon(told, all).await.expect("nothing is reset");
        assert!(answer.contains(told), "{kind}: {answer}");
    }
}

/// S4-86: a client that asks whether it may send is not asked for what nobody wants.
#[tokio::test]
async fn s4_86_who_is_refused_before_it_sends_keeps_it() {
    let place = serve(GrpcWebServerConfig::default()).await;
    let mut stream = place.connect().await;
    let head = "POST /t.T/Echo HTTP/1.1\r\nhost: t\r\ncontent-type: text/plain\r\n\
                expect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("open");
    let mut answer = String::new();
    let read = soon("the end", stream.read_to_string(&mut answer)).await;
    read.expect("a clean end");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// What a refused client goes on sending is read for some time, and no longer.
#[tokio::test]
async fn who_is_refused_and_never_ends_is_cut() {
    let place = serve(GrpcWebServerConfig::default()).await;
    let mut stream = place.connect().await;
    let head = "POST /t.T/Nothing HTTP/1.1\r\nhost: t\r\ncontent-type: application/grpc-web\r\n\
                content-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("open");
    soon("the answer", stream.readable()).await.expect("open");
    tokio::time::pause();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("a clean end");
    assert!(answer.contains("grpc-status: 12\r\n"), "{answer}");
}

/// S4-86: who goes away cancels the call, on either HTTP.
#[tokio::test]
async fn s4_86_closing_cancels_the_call() {
    let mut place = serve(GrpcWebServerConfig::default()).await;
    let mut stream = place.connect().await;
    let head = format!(
        "POST /t.T/Wait HTTP/1.1\r\nhost: t\r\ncontent-type: {WEB}\r\ncontent-length: 6\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("open");
    stream.write_all(X).await.expect("open");
    let mut answer = vec![0; 12];
    soon("an answer", stream.read_exact(&mut answer))
        .await
        .expect("open");
    assert_eq!(answer, b"HTTP/1.1 200");
    drop(stream);
    let why = soon("the handler over HTTP/1.1", place.cancelled.recv()).await;
    assert_eq!(why, Some(CancelReason::Peer));

    let io = TokioIo::new(place.connect().await);
    let handshake = conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);
    let response = sender.send_request(request("Wait", WEB, X));
    let mut body = soon("an answer", response)
        .await
        .expect("an answer")
        .into_body();
    let first = soon("a message", body.frame()).await.expect("a frame");
    assert_eq!(
        first.expect("no error").into_data().ok().as_deref(),
        Some(X)
    );
    drop(body);
    let why = soon("the handler over HTTP/2", place.cancelled.recv()).await;
    assert_eq!(why, Some(CancelReason::Peer));
}

/// A handler that does not read holds back its own client alone, not all calls of the connection.
#[tokio::test]
async fn one_unread_stream_does_not_stop_the_others() {
    let place = serve(GrpcWebServerConfig::default()).await;
    let io = TokioIo::new(place.connect().await);
    let handshake = conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);
    // More than one stream may send, and than a connection may by hyper's default.
    let large = vec![0; 6 << 20];
    let stalled = sender.send_request(request("Stall", WEB, large));
    let _stalled = soon("an answer", stalled).await.expect("an answer");
    let answer = sender.send_request(request("Echo", WEB, X));
    let answer = soon("the other's answer", answer).await.expect("an answer");
    let body = soon("its end", answer.into_body().collect()).await;
    assert!(body.expect("whole").to_bytes().starts_with(X));
}

/// An open call is told and ends regularly, an idle connection is closed, and then the server has stopped.
#[tokio::test]
async fn a_graceful_stop_lets_open_calls_end() {
    let mut place = serve(GrpcWebServerConfig::default()).await;
    let mut idle = place.connect().await;
    let body = place.call(request("Wait", WEB, X)).await.into_body();
    place.server.begin_graceful_shutdown();
    let why = soon("the handler", place.cancelled.recv()).await;
    assert_eq!(why, Some(CancelReason::Stopping));
    let body = soon("the end", body.collect()).await.expect("whole");
    assert_eq!(
        body.to_bytes(),
        [X, b"\x80\0\0\0\x0fgrpc-status:0\r\n"].concat()
    );
    let read = soon("the idle one's end", idle.read(&mut [0])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let served = soon("the server's end", place.serving).await;
    assert_eq!(served.expect("no panic"), Ok(()));
}

/// A client that says nothing, or begins and never goes on, is not kept.
#[tokio::test]
async fn a_client_without_a_request_is_cut() {
    let place = serve(GrpcWebServerConfig {
        request_timeout: Duration::from_millis(50),
        ..GrpcWebServerConfig::default()
    })
    .await;
    for said in [
        "",
        "P",
        "POST /t.T/Echo HTTP/1.1\r\nhost:",
        "PRI * HTTP/2.0\r\n\r\nSM",
    ] {
        let mut stream = place.connect().await;
        stream.write_all(said.as_bytes()).await.expect("open");
        let mut rest = Vec::new();
        // What may come before the end, or a reset in its place, is of no interest.
        let _ = soon(said, stream.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let place = serve(GrpcWebServerConfig {
        connections_max: 1,
        ..GrpcWebServerConfig::default()
    })
    .await;
    let held = place.call(request("Wait", WEB, X)).await;
    let read = soon("its end", place.connect().await.read(&mut [0])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    drop(held);
}

/// S4-86: a page of an origin that is not allowed does not get past its browser, for it is told nothing.
#[tokio::test]
async fn s4_86_only_allowed_origins_are_told_that_they_are() {
    let ours = "https://app.example.org";
    let asked = |origins: &[&str], origin: &'static str| {
        let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
        async move {
            let place = serve(GrpcWebServerConfig {
                origins,
                ..GrpcWebServerConfig::default()
            })
            .await;
            let preflight = Request::options("http://test/t.T/Echo")
                .header("host", "test")
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,x-grpc-web")
                .body(Full::default());
            let (headers, _) = place.answer(preflight.expect("valid")).await;
            let value = |name: &str| {
                headers
                    .get(name)
                    .map(|value| value.to_str().expect("text").to_owned())
            };
            let allowed = value("access-control-allow-origin");
            (allowed, value("access-control-allow-headers"))
        }
    };
    let (origin, headers) = asked(&[ours, "http://localhost:3000"], ours).await;
    assert_eq!(origin.as_deref(), Some(ours));
    assert_eq!(headers.as_deref(), Some("authorization,x-grpc-web"));
    assert_eq!(asked(&[ours], "https://evil.example").await.0, None);
    assert_eq!(asked(&[], ours).await.0, None, "by default there are none");
    assert_eq!(asked(&["*"], ours).await.0.as_deref(), Some("*"));
    for bad in [
        "app.example.org",
        "https://",
        "https://a/path",
        "https://a\n",
    ] {
        let config = GrpcWebServerConfig {
            origins: vec![bad.to_owned()],
            ..GrpcWebServerConfig::default()
        };
        let bound = GrpcWebServer::bind("127.0.0.1:0", config).await;
        assert!(bound.is_err(), "{bad:?} is no origin");
    }
}
