//! Against peers that speak HTTP/2 by themselves: what is refused, and what is never taken for a success.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::SendRequest, server::SendResponse};
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{
    CallOptions, CancelReason, Client, Code, Metadata, Router, Server, ServerConfig, Status,
};
use http::{HeaderMap, Method, Request, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A server with a method that waits for a cancel and tells which it was, and one that echoes.
async fn serve() -> (SocketAddr, mpsc::UnboundedReceiver<CancelReason>) {
    let (cancels, cancelled) = mpsc::unbounded_channel();
    let router = Router::new();
    router.unary("/t.T/Echo", |request| async { Ok(request.message) });
    router.stream("/t.T/Wait", move |call| {
        let cancels = cancels.clone();
        async move {
            // All of it, or the closure drops the halves that are not named here.
            let call = call;
            let reason = call.cancellation.cancelled().await;
            cancels.send(reason).expect("the test listens");
        }
    });
    let transport = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
    let transport = transport.expect("a free port on loopback");
    let addr = transport.local_addr();
    let server = Server::new(transport, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    (addr, cancelled)
}

async fn connect(addr: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

fn request(path: &str) -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("http://test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("valid")
}

async fn send(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    end: bool,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let mut client = client.clone().ready().await.expect("the connection is up");
    client.send_request(request, end).expect("it is accepted")
}

async fn finish(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.expect("no reset");
        body.flow_control()
            .release_capacity(chunk.len())
            .expect("it was received");
        bytes.extend_from_slice(&chunk);
    }
    (bytes, body.trailers().await.expect("no reset"))
}

fn status_of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("grpc-status")
        .and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn what_is_no_grpc_call_is_refused() {
    let (addr, _) = serve().await;
    let client = connect(addr).await;
    let mut get = request("/t.T/Echo");
    *get.method_mut() = Method::GET;
    let response = send(&client, get, true).await.0.await.expect("an answer");
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");
    for content_type in ["application/json", "application/grpc-web", "text/plain"] {
        let mut other = request("/t.T/Echo");
        other
            .headers_mut()
            .insert("content-type", content_type.parse().expect("valid"));
        let response = send(&client, other, true).await.0.await.expect("an answer");
        assert_eq!(response.status(), 415, "{content_type}");
    }
}

#[tokio::test]
async fn a_plain_request_is_answered_with_trailers() {
    let (addr, _) = serve().await;
    let client = connect(addr).await;
    let (response, mut body) = send(&client, request("/t.T/Echo"), false).await;
    let message = Bytes::from_static(&[0, 0, 0, 0, 2, b'h', b'i']);
    body.send_data(message.clone(), true).expect("open");
    let response = response.await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let (bytes, trailers) = finish(&mut response.into_body()).await;
    assert_eq!(bytes, message);
    assert_eq!(
        status_of(&trailers.expect("they say the status")),
        Some("0")
    );
}

#[tokio::test]
async fn bad_headers_and_bad_bytes_get_a_status() {
    let (addr, _) = serve().await;
    let client = connect(addr).await;
    let mut late = request("/t.T/Echo");
    late.headers_mut()
        .insert("grpc-timeout", "soon".parse().expect("valid"));
    let response = send(&client, late, true).await.0.await.expect("an answer");
    assert_eq!(
        status_of(response.headers()),
        Some("13"),
        "malformed grpc-timeout"
    );

    let cases: [(&'static [u8], &str); 4] = [
        (&[7, 0, 0, 0, 0], "13"),
        (&[0, 0, 0, 0, 9, 1], "13"),
        (&[0, 0xFF, 0, 0, 0], "8"),
        (&[1, 0, 0, 0, 1, 1], "13"),
    ];
    for (bytes, expected) in cases {
        let (response, mut body) = send(&client, request("/t.T/Echo"), false).await;
        body.send_data(Bytes::from_static(bytes), true)
            .expect("open");
        let response = response.await.expect("an answer");
        assert_eq!(status_of(response.headers()), Some(expected), "{bytes:?}");
    }
}

/// tonic's own timer answers CANCELLED; ours has to come first, every time.
#[tokio::test]
async fn a_deadline_is_answered_as_such() {
    let (addr, mut cancelled) = serve().await;
    let client = connect(addr).await;
    for _ in 0..40 {
        let mut short = request("/t.T/Wait");
        short
            .headers_mut()
            .insert("grpc-timeout", "20m".parse().expect("valid"));
        let (response, _body) = send(&client, short, false).await;
        let response = response.await.expect("an answer");
        assert_eq!(status_of(response.headers()), Some("4"));
        assert_eq!(cancelled.recv().await, Some(CancelReason::Deadline));
    }
}

#[tokio::test]
async fn a_reset_reaches_the_handler() {
    let (addr, mut cancelled) = serve().await;
    let client = connect(addr).await;
    let (response, mut body) = send(&client, request("/t.T/Wait"), false).await;
    body.send_data(Bytes::from_static(&[0, 0, 0, 0, 0]), false)
        .expect("open");
    // The server has the stream once it has answered a later one.
    let (other, _) = send(&client, request("/t.T/None"), true).await;
    other.await.expect("an answer");
    body.send_reset(Reason::CANCEL);
    drop(response);
    assert_eq!(cancelled.recv().await, Some(CancelReason::Peer));
}

#[tokio::test]
async fn a_lost_connection_reaches_the_handler() {
    let (addr, mut cancelled) = serve().await;
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let (_response, _body) = send(&client, request("/t.T/Wait"), false).await;
    let (other, _) = send(&client, request("/t.T/None"), true).await;
    other.await.expect("an answer");
    connection.abort();
    assert_eq!(cancelled.recv().await, Some(CancelReason::Peer));
}

/// What a server does with a request.
type Answer = fn(SendResponse<Bytes>);

/// A server that does `answer` with every request, and a client of it.
async fn client_of(answer: Answer) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, respond))) = connection.accept().await {
                    answer(respond);
                }
            });
        }
    });
    let transport = Http2Client::new(&url, &Http2ClientConfig::default());
    let client = Client::new(transport.expect("a valid url"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    client
}

async fn outcome(answer: Answer) -> Result<Bytes, Status> {
    let client = client_of(answer).await;
    let call = client.unary(
        "/t.T/X",
        Metadata::new(),
        Bytes::new(),
        CallOptions::default(),
    );
    let bound = tokio::time::timeout(Duration::from_secs(20), call);
    bound.await.expect("the client must not wait for ever")
}

fn headers(status: u16) -> Response<()> {
    let response = Response::builder().status(status);
    response
        .header("content-type", "application/grpc")
        .body(())
        .expect("valid")
}

fn message() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, 1, 1])
}

fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().expect("valid"));
    trailers
}

#[tokio::test]
async fn an_answer_without_a_status_is_never_a_success() {
    let cases: [(&str, Answer, Code); 8] = [
        (
            "no trailers",
            |mut respond| {
                let mut body = respond.send_response(headers(200), false).expect("open");
                body.send_data(message(), true).expect("open");
            },
            Code::Internal,
        ),
        (
            "http 503",
            |mut respond| {
                respond.send_response(headers(503), true).expect("open");
            },
            Code::Unavailable,
        ),
        (
            "http 404",
            |mut respond| {
                respond.send_response(headers(404), true).expect("open");
            },
            Code::Unimplemented,
        ),
        (
            "reset by cancel",
            |mut respond| {
                let mut body = respond.send_response(headers(200), false).expect("open");
                body.send_data(message(), false).expect("open");
                body.send_reset(Reason::CANCEL);
            },
            Code::Cancelled,
        ),
        (
            "reset without an error",
            |mut respond| {
                let mut body = respond.send_response(headers(200), false).expect("open");
                body.send_data(message(), false).expect("open");
                body.send_reset(Reason::NO_ERROR);
            },
            Code::Internal,
        ),
        (
            "refused",
            |mut respond| {
                respond.send_reset(Reason::REFUSED_STREAM);
            },
            Code::Unavailable,
        ),
        (
            "half a message",
            |mut respond| {
                let mut body = respond.send_response(headers(200), false).expect("open");
                body.send_data(message().slice(..5), false).expect("open");
                body.send_trailers(trailers("0")).expect("open");
            },
            Code::Internal,
        ),
        (
            "a status that is no number",
            |mut respond| {
                let mut body = respond.send_response(headers(200), false).expect("open");
                body.send_data(message(), false).expect("open");
                body.send_trailers(trailers("fine")).expect("open");
            },
            Code::Unknown,
        ),
    ];
    for (name, answer, expected) in cases {
        let got = outcome(answer).await.map_err(|status| status.code);
        assert_eq!(got, Err(expected), "{name}");
    }
    let good = outcome(|mut respond| {
        let mut body = respond.send_response(headers(200), false).expect("open");
        body.send_data(message(), false).expect("open");
        body.send_trailers(trailers("0")).expect("open");
    });
    assert_eq!(
        good.await,
        Ok(Bytes::from_static(&[1])),
        "the same with a status"
    );
}

#[tokio::test]
async fn a_call_finds_the_server_away_and_then_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    drop(listener);
    let transport = Http2Client::new(&format!("http://{addr}"), &impatient());
    let client = Client::new(transport.expect("a valid url"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let call = |wait_for_ready| {
        let options = CallOptions {
            wait_for_ready: Some(wait_for_ready),
            ..CallOptions::default()
        };
        client.unary("/t.T/Echo", Metadata::new(), Bytes::from("x"), options)
    };
    let away = call(false).await.expect_err("nobody listens");
    assert_eq!(away.code, Code::Unavailable);

    let router = Router::new();
    router.unary("/t.T/Echo", |request| async { Ok(request.message) });
    let transport = Http2Server::bind(addr, Http2ServerConfig::default()).await;
    let server = Server::new(
        transport.expect("still free"),
        router,
        ServerConfig::default(),
    );
    tokio::spawn(async move { server.serve().await });
    assert_eq!(call(true).await, Ok(Bytes::from("x")), "it is back");
    assert_eq!(call(false).await, Ok(Bytes::from("x")), "and stays");
}

/// Tries a server that is away again and again.
fn impatient() -> Http2ClientConfig {
    let mut config = Http2ClientConfig::default();
    config.channel.balancer.back_off.initial = Duration::from_millis(10);
    config.channel.balancer.back_off.max = Duration::from_millis(10);
    config
}

/// Paused time runs on while everybody waits, so the bound comes at once, and only because it is there.
#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_dropped() {
    let (addr, _) = serve().await;
    for said in [&b""[..], &b"PRI * HTTP/2.0\r\n"[..]] {
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        stream.write_all(said).await.expect("it is open");
        let mut rest = Vec::new();
        // A reset is as good an end as a close.
        let end = tokio::time::timeout(Duration::from_secs(11), stream.read_to_end(&mut rest));
        assert!(end.await.is_ok(), "after {said:?} it stayed open");
    }
}

#[tokio::test]
async fn other_urls_are_refused() {
    for url in ["", "ftp://a", "/a", "127.0.0.1:80", "unix:"] {
        let client = Http2Client::new(url, &Http2ClientConfig::default());
        let code = client.err().map(|status| status.code);
        assert_eq!(code, Some(Code::InvalidArgument), "{url:?}");
    }
}
