//! Compression as it is said and flagged in HTTP/2, against peers that speak it by themselves (S4-67).

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest, server::SendResponse};
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{
    CallOptions, Client, Code, Encoding, Encodings, Metadata, Router, SUPPORTED_ENCODINGS, Server,
    ServerConfig, Status,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::net::{TcpListener, TcpStream};

/// 1000 zeros in gzip, as a message with its prefix.
const ZEROS: &[u8] = b"\x01\0\0\0\x1d\x1f\x8b\x08\0\0\0\0\0\x02\x03\x63\x60\x18\x05\xa3\x60\x14\x0c\x77\0\0\x80\x17\x0b\x06\xe8\x03\0\0";
const ECHO: &str = "/t.T/Echo";

async fn server(config: ServerConfig) -> SendRequest<Bytes> {
    let router = Router::new();
    router.unary(ECHO, |request| async { Ok(request.message) });
    let transport = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
    let transport = transport.expect("a free port on loopback");
    let addr = transport.local_addr();
    let server = Server::new(transport, router, config);
    tokio::spawn(async move { server.serve().await });
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

/// The headers, the first byte of the body, and the trailers of the answer to `body`.
async fn ask(
    client: &SendRequest<Bytes>,
    headers: &[(&'static str, &str)],
    body: &'static [u8],
) -> (HeaderMap, Option<u8>, HeaderMap) {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://test{ECHO}").parse().expect("valid");
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    for (name, value) in grpc.iter().chain(headers) {
        let value = HeaderValue::from_str(value).expect("valid");
        request.headers_mut().insert(*name, value);
    }
    let mut client = client.clone().ready().await.expect("the connection is up");
    let (response, mut stream) = client.send_request(request, false).expect("it is accepted");
    stream
        .send_data(Bytes::from_static(body), true)
        .expect("the stream is open");
    let (head, mut body) = response.await.expect("an answer").into_parts();
    let first = body.data().await.and_then(Result::ok);
    let flag = first.and_then(|data| data.first().copied());
    let trailers = body.trailers().await.expect("no reset");
    (head.headers, flag, trailers.unwrap_or_default())
}

#[tokio::test]
async fn s4_67_a_request_in_an_unknown_encoding_is_told_which_are_known() {
    let client = server(ServerConfig::default()).await;
    for name in ["br", "", "GZIP"] {
        let (headers, _, _) = ask(&client, &[("grpc-encoding", name)], ZEROS).await;
        assert_eq!(headers["grpc-status"], "12", "{name:?}");
        let known = &headers["grpc-accept-encoding"];
        assert_eq!(known, "identity,gzip,deflate,zstd", "{name:?}");
    }
}

#[tokio::test]
async fn s4_67_the_answer_says_what_it_is_compressed_with() {
    let config = ServerConfig {
        compression: Encoding::Zstd,
        ..ServerConfig::default()
    };
    let client = server(config).await;
    let asked = [
        ("grpc-encoding", "gzip"),
        ("grpc-accept-encoding", "br, zstd"),
    ];
    let (headers, flag, trailers) = ask(&client, &asked, ZEROS).await;
    assert_eq!(headers["grpc-encoding"], "zstd");
    let known = &headers["grpc-accept-encoding"];
    assert_eq!(known, "identity,gzip,deflate,zstd");
    assert_eq!(flag, Some(1), "it is compressed");
    assert_eq!(trailers["grpc-status"], "0");

    let (headers, flag, trailers) = ask(&client, &asked[..1], ZEROS).await;
    assert_eq!(headers.get("grpc-encoding"), None, "it was not asked for");
    assert_eq!(flag, Some(0), "it is not compressed");
    assert_eq!(trailers["grpc-status"], "0");

    let (headers, _, _) = ask(&client, &[], &[0, 0, 0, 0, 0]).await;
    let known = headers.get("grpc-accept-encoding");
    assert_eq!(known, None, "nobody spoke of compression");
}

#[tokio::test]
async fn s4_67_a_compressed_request_without_an_encoding_is_internal() {
    let client = server(ServerConfig::default()).await;
    let identity = [("grpc-encoding", "identity")];
    for headers in [&[][..], &identity] {
        let (headers, _, _) = ask(&client, headers, ZEROS).await;
        assert_eq!(headers["grpc-status"], "13");
    }
    let other = [("grpc-encoding", "deflate")];
    let (headers, _, _) = ask(&client, &other, ZEROS).await;
    assert_eq!(headers["grpc-status"], "13", "it is not what it says");
}

/// A server that answers every call with these headers and [`ZEROS`], and hands out what it was asked.
async fn answering(
    encoding: Option<&'static str>,
) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<HeaderMap>) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port on loopback");
    let addr = listener.local_addr().expect("it is bound");
    let (asked, asks) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the client comes");
        let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (head, body) = request.into_parts();
            let _ = asked.send(head.headers);
            tokio::spawn(answer(body, respond, encoding));
        }
    });
    (addr, asks)
}

async fn answer(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    encoding: Option<&'static str>,
) {
    while body.data().await.is_some() {}
    let mut response = Response::builder().header("content-type", "application/grpc");
    if let Some(encoding) = encoding {
        response = response.header("grpc-encoding", encoding);
    }
    let response = response.body(()).expect("valid");
    let mut stream = respond.send_response(response, false).expect("open");
    let _ = stream.send_data(Bytes::from_static(ZEROS), false);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let _ = stream.send_trailers(trailers);
}

async fn call(addr: SocketAddr, options: CallOptions) -> Result<Bytes, Status> {
    let transport = Http2Client::new(&format!("http://{addr}"), &Http2ClientConfig::default());
    let client = Client::new(transport.expect("a valid url"));
    let connect = client.clone();
    tokio::spawn(async move { connect.connect().await });
    client
        .unary(ECHO, Metadata::new(), Bytes::new(), options)
        .await
}

fn taking(accepted_encodings: Encodings) -> CallOptions {
    CallOptions {
        accepted_encodings,
        ..CallOptions::default()
    }
}

#[tokio::test]
async fn s4_67_a_response_in_what_was_not_offered_is_internal() {
    let gzip = Encodings::NONE.with(Encoding::Gzip);
    let (addr, _) = answering(Some("gzip")).await;
    let answer = call(addr, taking(gzip)).await;
    assert_eq!(answer, Ok(vec![0; 1000].into()));
    let cases = [
        (Some("gzip"), Encodings::NONE),
        (Some("zstd"), gzip),
        (Some("br"), SUPPORTED_ENCODINGS),
        (Some("identity"), SUPPORTED_ENCODINGS),
        (None, SUPPORTED_ENCODINGS),
    ];
    for (encoding, accepted) in cases {
        let (addr, _) = answering(encoding).await;
        let error = call(addr, taking(accepted)).await;
        let error = error.expect_err("there is nothing to read it with");
        assert_eq!(error.code, Code::Internal, "{encoding:?}, takes {accepted}");
    }
}

#[tokio::test]
async fn s4_67_a_request_says_what_it_is_compressed_with_and_what_is_taken() {
    let (addr, mut asks) = answering(None).await;
    let _ = call(addr, CallOptions::default()).await;
    let asked = asks.recv().await.expect("it was called");
    assert_eq!(asked.get("grpc-encoding"), None);
    assert_eq!(asked.get("grpc-accept-encoding"), None);
    let (addr, mut asks) = answering(None).await;
    let options = CallOptions {
        compression: Encoding::Gzip,
        ..taking(Encodings::NONE.with(Encoding::Deflate))
    };
    let _ = call(addr, options).await;
    let asked = asks.recv().await.expect("it was called");
    assert_eq!(asked["grpc-encoding"], "gzip");
    assert_eq!(asked["grpc-accept-encoding"], "identity,deflate");
}
