//! Services of others beside the router: what becomes of the bodies, heads and ends that they give.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Reason, client::SendRequest};
use headwater_http2::{Http2Server, Http2ServerConfig, ServerCounters};
use headwater_rpc::{Router, Server, ServerConfig};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use tokio::net::TcpStream;
use tonic::{body::Body, server::NamedService};

/// Answers with the request's body, under headers that HTTP/2 does not have; or with one that fails.
#[derive(Clone)]
struct Mirror;

impl NamedService for Mirror {
    const NAME: &'static str = "m.Mirror";
}

/// Fails with this reset.
struct Failing(Option<Reason>);

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Poll::Ready(self.0.take().map(|reason| Err(reason.into())))
    }
}

impl tower::Service<Request<Body>> for Mirror {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = Response::builder();
        let body = match request.uri().path() {
            "/m.Mirror/Fails" => Body::new(Failing(Some(Reason::ENHANCE_YOUR_CALM))),
            "/m.Mirror/Full" => Body::new(http_body_util::Full::new(Bytes::from("full"))),
            _ => request.into_body(),
        };
        let response = response
            .header("connection", "x-hop, close")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("transfer-encoding", "chunked")
            .header("x-end", "2");
        ready(Ok(response.body(body).expect("valid")))
    }
}

async fn mounted() -> (SendRequest<Bytes>, ServerCounters) {
    let transport = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
    let transport = transport.expect("a free port").with_service(Mirror);
    let (addr, counters) = (transport.local_addr(), transport.counters());
    let server = Server::new(transport, Router::new(), ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    (client.ready().await.expect("it is up"), counters)
}

fn request(path: &str) -> Request<()> {
    let request = Request::post(format!("http://test{path}"));
    request.body(()).expect("valid")
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways_and_headers_of_http_1_do_not() {
    let (mut client, _) = mounted().await;
    let (response, mut body) = client
        .send_request(request("/m.Mirror/Body"), false)
        .expect("open");
    let response = response.await.expect("before the request has ended");
    let names: Vec<_> = response
        .headers()
        .keys()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["x-end"], "what is of one connection stays there");
    let mut answer = response.into_body();
    // Longer than a window, so some of it waits for it.
    let sent = vec![7; 300_000];
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", HeaderValue::from_static("last"));
    body.send_data(Bytes::from(sent.clone()), false)
        .expect("open");
    body.send_trailers(trailers.clone()).expect("open");
    let mut got = Vec::new();
    while let Some(data) = answer.data().await {
        let data = data.expect("no reset");
        let freed = answer.flow_control().release_capacity(data.len());
        freed.expect("no more than came");
        got.extend_from_slice(&data);
    }
    assert_eq!(got, sent);
    let echoed = answer.trailers().await.expect("no reset");
    assert_eq!(echoed, Some(trailers));
}

#[tokio::test]
async fn the_length_of_a_whole_body_is_told() {
    let (mut client, _) = mounted().await;
    let (response, _) = client
        .send_request(request("/m.Mirror/Full"), true)
        .expect("open");
    let response = response.await.expect("an answer");
    assert_eq!(response.headers()["content-length"], "4");
    let data = response.into_body().data().await;
    assert_eq!(data.expect("a body").expect("no reset"), "full");
}

/// What a body fails with is what the client is told.
#[tokio::test]
async fn a_body_that_fails_resets_its_stream_alone() {
    let (mut client, counters) = mounted().await;
    let (response, _) = client
        .send_request(request("/m.Mirror/Fails"), true)
        .expect("open");
    // It may overtake the head.
    let failed = match response.await {
        Ok(response) => response.into_body().data().await.expect("a reset"),
        Err(error) => Err(error),
    };
    let failed = failed.expect_err("a reset");
    assert_eq!(failed.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    let (response, _) = client
        .send_request(request("/m.Mirror/Full"), true)
        .expect("the connection is as before");
    response.await.expect("an answer");
    assert_eq!(counters.connections(), 1);
}

#[tokio::test]
async fn a_client_that_resets_ends_the_work_for_it() {
    let (mut client, counters) = mounted().await;
    let (response, mut body) = client
        .send_request(request("/m.Mirror/Body"), false)
        .expect("open");
    response.await.expect("an answer");
    assert_eq!(counters.streams(), 1, "its body has not ended");
    body.send_reset(Reason::CANCEL);
    while counters.streams() > 0 {
        tokio::task::yield_now().await;
    }
}
