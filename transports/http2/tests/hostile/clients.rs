//! Toward our server.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{CallOptions, Client, Code, Metadata, Router, Server, ServerConfig, Status};
use http::{Method, Request};
use tokio::{io::AsyncReadExt as _, task::yield_now, time::Instant};

use crate::frames::{
    CANCEL, CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, REFUSED_STREAM,
    RST_STREAM, Raw, block, frame, request, reset,
};

const ECHO: &str = "/t.T/Echo";
/// Never ends by itself.
const WAIT: &str = "/t.T/Wait";

async fn serve(config: Http2ServerConfig) -> SocketAddr {
    let router = Router::new();
    router.unary(ECHO, |request| async { Ok(request.message) });
    router.stream(WAIT, |call| async move {
        // All of it, or the closure drops the halves that are not named here.
        let call = call;
        call.cancellation.cancelled().await;
    });
    let transport = Http2Server::bind("127.0.0.1:0", config).await;
    let transport = transport.expect("a free port on loopback");
    let addr = transport.local_addr();
    let server = Server::new(transport, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    addr
}

/// A client that means no harm, on a connection of its own.
struct Good(Client);

impl Good {
    async fn connect(addr: SocketAddr) -> Self {
        let good = Self::new(addr);
        good.is_served("at first").await;
        good
    }

    fn new(addr: SocketAddr) -> Self {
        let transport = Http2Client::new(&format!("http://{addr}"), &Http2ClientConfig::default());
        let client = Client::new(transport.expect("a valid url"));
        let running = client.clone();
        tokio::spawn(async move { running.connect().await });
        Self(client)
    }

    async fn call(&self) -> Result<Bytes, Status> {
        let (metadata, message) = (Metadata::new(), Bytes::from("x"));
        let options = CallOptions::default();
        self.0.unary(ECHO, metadata, message, options).await
    }

    async fn is_served(&self, when: &str) {
        assert_eq!(self.call().await, Ok(Bytes::from("x")), "{when}");
    }
}

#[tokio::test]
async fn a_stream_over_the_limit_is_refused() {
    let addr = serve(Http2ServerConfig {
        concurrent_streams_max: 2,
        ..Http2ServerConfig::default()
    })
    .await;
    let good = Good::connect(addr).await;
    let mut raw = Raw::client(addr).await;
    for stream in [1, 3, 5] {
        let open = block(0, stream, &request(WAIT));
        raw.write(&open).await.expect("it is open");
    }
    let refused = raw.next(RST_STREAM).await;
    assert_eq!((refused.stream, refused.error()), (5, REFUSED_STREAM));
    good.is_served("while another connection is full").await;

    raw.write(&reset(1, CANCEL)).await.expect("it is open");
    let again = block(END_STREAM, 7, &request("/t.T/None"));
    raw.write(&again).await.expect("it is open");
    assert_eq!(raw.next(HEADERS).await.stream, 7, "a stream was free again");
}

#[tokio::test]
async fn a_header_list_over_the_limit_ends_its_stream_alone() {
    let addr = serve(Http2ServerConfig::default()).await;
    let good = Good::connect(addr).await;
    let stream = tokio::net::TcpStream::connect(addr).await;
    let (mut client, connection) = h2::client::handshake(stream.expect("it listens"))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    for (bytes, expected) in [(17 << 10, 431), (10 << 10, 200)] {
        let request = Request::builder()
            .method(Method::POST)
            .uri("http://test/t.T/None")
            .header("content-type", "application/grpc")
            .header("ballast", "b".repeat(bytes))
            .body(())
            .expect("valid");
        client = client.ready().await.expect("the connection is up");
        let (response, _): (_, h2::SendStream<Bytes>) =
            client.send_request(request, true).expect("it is accepted");
        let response = response.await.expect("an answer");
        assert_eq!(response.status(), expected, "{bytes} bytes");
        good.is_served("whatever another connection asks").await;
    }
}

/// Rapid reset (CVE-2023-44487), and header blocks that never end (CVE-2024-27316 and its kin).
#[tokio::test]
async fn floods_end_their_connection_and_no_other() {
    let addr = serve(Http2ServerConfig::default()).await;
    let good = Good::connect(addr).await;
    let resets: Vec<u8> = (0..500)
        .flat_map(|index| {
            let stream = 2 * index + 1;
            [block(0, stream, &request(WAIT)), reset(stream, CANCEL)].concat()
        })
        .collect();
    let mut endless = frame(HEADERS, 0, 1, &request(WAIT));
    endless.extend(frame(CONTINUATION, 0, 1, &[]).repeat(5000));
    let mut empty = block(0, 1, &request(WAIT));
    empty.extend(frame(DATA, 0, 1, &[]).repeat(5000));
    let floods = [
        ("rapid reset", resets),
        ("endless header block", endless),
        ("empty data", empty),
    ];
    for (name, flood) in floods {
        let mut raw = Raw::client(addr).await;
        raw.write(&flood).await.expect("it fits into the socket");
        let end = raw.next(GOAWAY).await;
        assert_eq!(end.error(), ENHANCE_YOUR_CALM, "{name}");
        good.is_served(name).await;
    }
}

/// Paused time runs on while everybody waits, so the bound comes at once, and only because it is there.
#[tokio::test(start_paused = true)]
async fn a_unary_call_without_its_message_does_not_hold_its_stream() {
    let addr = serve(Http2ServerConfig {
        concurrent_streams_max: 1,
        ..Http2ServerConfig::default()
    })
    .await;
    let good = Good::connect(addr).await;
    let mut raw = Raw::client(addr).await;
    let began = Instant::now();
    let open = block(0, 1, &request(ECHO));
    raw.write(&open).await.expect("it is open");
    good.is_served("while another's call is open").await;
    let bound = tokio::time::timeout(Duration::from_secs(60), raw.next(HEADERS));
    let answer = bound.await.expect("the call is bounded in time");
    assert_eq!(answer.stream, 1, "the call was answered");
    let took = began.elapsed();
    let expected = Duration::from_secs(9)..Duration::from_secs(12);
    assert!(expected.contains(&took), "it took {took:?}, not 10 s");

    let next = block(END_STREAM, 3, &request("/t.T/None"));
    raw.write(&next).await.expect("it is open");
    assert_eq!(raw.next(HEADERS).await.stream, 3, "the one stream is free");
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_at_once() {
    let addr = serve(Http2ServerConfig {
        connections_max: 2,
        ..Http2ServerConfig::default()
    })
    .await;
    let good = Good::connect(addr).await;
    let mut idle = Raw::client(addr).await;
    idle.next(crate::frames::SETTINGS).await;

    let mut third = tokio::net::TcpStream::connect(addr)
        .await
        .expect("the system accepts it");
    let mut said = Vec::new();
    // A reset is as good an end as a close.
    let _ = third.read_to_end(&mut said).await;
    assert!(said.is_empty(), "nobody speaks HTTP/2 there: {said:?}");
    let late = Good::new(addr);
    let refused = late.call().await.map_err(|status| status.code);
    assert_eq!(refused, Err(Code::Unavailable));
    good.is_served("when the server is full").await;

    drop(idle);
    // The server frees the place when it sees the end of the connection.
    let mut answer = late.call().await;
    for _ in 0..1000 {
        if answer.is_ok() {
            break;
        }
        yield_now().await;
        answer = late.call().await;
    }
    assert_eq!(answer, Ok(Bytes::from("x")), "a place is free again");
}
