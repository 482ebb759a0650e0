//! Toward our server: requests that are none. Each ends its stream, and the connection and everyone else are served on.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};

use crate::{
    frames::{END_STREAM, HEADERS, block, literal},
    target::{ECHO, HANG, Target},
};

/// A request to the echo, and how it is spoiled.
struct Bad {
    request: Request<()>,
    body: &'static [u8],
}

impl Bad {
    fn new(body: &'static [u8]) -> Self {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://test{ECHO}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("valid");
        Self { request, body }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::try_from(value).expect("valid");
        let name = HeaderName::from_static(name);
        self.request.headers_mut().insert(name, value);
        self
    }

    fn with_method(mut self, method: Method) -> Self {
        *self.request.method_mut() = method;
        self
    }

    /// The answer is this HTTP status and this gRPC status, and nothing else has changed.
    async fn gets(self, http: u16, grpc: Option<&str>) {
        let target = Target::start().await;
        let mut client = target.h2().await;
        for round in 0..3 {
            client = client.ready().await.expect("the connection is up");
            let sent = client.send_request(self.request.clone(), false);
            let (response, mut body) = sent.expect("it is accepted");
            // A server that has answered already needs no more.
            let _ = body.send_data(Bytes::from_static(self.body), true);
            let response = response.await.expect("an answer");
            assert_eq!(response.status(), http, "round {round}");
            let status = response.headers().get("grpc-status");
            let status = status.map(|value| value.to_str().expect("a number"));
            assert_eq!(status, grpc, "round {round}");
            is_served(&mut client).await;
            target.good.is_served("beside a bad request").await;
        }
        drop(client);
        target.is_as_before("bad requests").await;
    }
}

/// A call like any other on this connection is answered.
async fn is_served(client: &mut h2::client::SendRequest<Bytes>) {
    let good = Bad::new(&[0, 0, 0, 0, 1, b'x']);
    let mut ready = client.clone().ready().await.expect("the connection is up");
    let sent = ready.send_request(good.request, false);
    let (response, mut body) = sent.expect("it is accepted");
    body.send_data(Bytes::from_static(good.body), true)
        .expect("it is open");
    let mut body = response.await.expect("an answer").into_body();
    let data = body.data().await.expect("a message").expect("no reset");
    assert_eq!(&*data, good.body, "on the same connection");
}

#[tokio::test]
async fn a_truncated_message() {
    Bad::new(&[0, 0, 0, 0, 9, 1]).gets(200, Some("13")).await;
}

#[tokio::test]
async fn a_truncated_prefix() {
    Bad::new(&[0, 0, 0]).gets(200, Some("13")).await;
}

#[tokio::test]
async fn a_message_of_four_gigabytes() {
    Bad::new(&[0, 0xFF, 0xFF, 0xFF, 0xFF])
        .gets(200, Some("8"))
        .await;
}

#[tokio::test]
async fn a_flag_that_does_not_exist() {
    Bad::new(&[7, 0, 0, 0, 0]).gets(200, Some("13")).await;
}

#[tokio::test]
async fn a_timeout_that_is_none() {
    for timeout in [
        "soon",
        "",
        "1",
        "123456789S",
        "-1S",
        "1s",
        "99999999999999H",
    ] {
        Bad::new(&[])
            .with("grpc-timeout", timeout)
            .gets(200, Some("13"))
            .await;
    }
}

#[tokio::test]
async fn metadata_that_is_not_base64() {
    Bad::new(&[])
        .with("key-bin", "~~~")
        .gets(200, Some("13"))
        .await;
}

#[tokio::test]
async fn a_content_type_that_is_not_grpc() {
    for content_type in ["application/json", "application/grpc-web", ""] {
        Bad::new(&[])
            .with("content-type", content_type)
            .gets(415, None)
            .await;
    }
}

#[tokio::test]
async fn a_method_that_is_not_post() {
    for method in [Method::GET, Method::PUT, Method::OPTIONS] {
        Bad::new(&[]).with_method(method).gets(405, None).await;
    }
}

#[tokio::test]
async fn metadata_over_the_limit() {
    Bad::new(&[])
        .with("ballast", &"b".repeat(17 << 10))
        .gets(431, None)
        .await;
}

/// RFC 9113, 8.1.1: a malformed request is an error of its stream; a path that is missing is one that nobody serves.
/// (`h2` takes an upper-case name for an error of the connection, which 5.4.2 leaves to it.)
#[tokio::test]
async fn requests_that_http_does_not_have() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let path = (":path", ECHO);
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("no method", &[(":scheme", "http"), path]),
        ("no path", &[(":method", "POST"), (":scheme", "http")]),
        (
            "a pseudo-header twice",
            &[(":method", "POST"), (":scheme", "http"), path, path],
        ),
        (
            "a header of HTTP/1.1",
            &[
                (":method", "POST"),
                (":scheme", "http"),
                path,
                ("connection", "close"),
            ],
        ),
    ];
    let mut stream = 1;
    for (name, headers) in cases {
        let headers = headers.iter().map(|(name, value)| literal(name, value));
        let headers: Vec<u8> = headers.flatten().collect();
        raw.write(&block(END_STREAM, stream, &headers))
            .await
            .expect("it is open");
        let ended = tokio::time::timeout(HANG, raw.ended(stream)).await;
        assert!(ended.is_ok(), "{name}: no answer");
        raw.is_served(stream + 2, name).await;
        target.good.is_served(name).await;
        stream += 4;
    }
    drop(raw);
    target.is_as_before("malformed requests").await;
}

/// A tunnel is nothing that gRPC has.
#[tokio::test]
async fn a_connect_request() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let connect = [
        literal(":method", "CONNECT"),
        literal(":authority", "elsewhere:80"),
    ];
    raw.write(&block(0, 1, &connect.concat()))
        .await
        .expect("it is open");
    assert_eq!(raw.next(HEADERS).await.stream, 1, "an answer");
    raw.is_served(3, "after CONNECT").await;
    drop(raw);
    target.is_as_before("CONNECT").await;
}
