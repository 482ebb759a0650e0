//! HTTP/3 where it gets through, and HTTP/2 where it does not.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use headwater_http2::{Http2ClientConfig, Http2Connector, Http2Server, Http2ServerConfig};
use headwater_http3::{Http3ClientConfig, Http3Connector, Http3Server, Http3ServerConfig};
use headwater_rpc::{
    CallOptions, Client, Code, Metadata, Router, Server, ServerConfig, ServerTransport,
    channel::{Channel, ChannelConfig},
    http::{Fallback, FallbackConfig},
    tls::DevCertificates,
};
use tokio::net::UdpSocket;

const ECHO: &str = "/test.Service/Echo";
const AUTHORITY: &str = "localhost";
/// For a way that never comes up.
const SHORT: Duration = Duration::from_millis(300);
/// For one that does, on a machine however busy.
const LONG: Duration = Duration::from_secs(10);

fn serve(transport: impl ServerTransport) {
    let router = Router::new();
    router.unary(ECHO, |request| async move { Ok(request.message) });
    let server = Server::new(transport, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
}

/// A client that prefers HTTP/3, of the server at this port.
fn client(addr: SocketAddr, certificates: &DevCertificates, patience: Duration) -> Client {
    let http3 = Http3ClientConfig {
        tls: certificates.client(),
        ..Http3ClientConfig::default()
    };
    let http2 = Http2ClientConfig {
        tls: Some(certificates.client()),
        ..Http2ClientConfig::default()
    };
    let connector = Fallback::new(
        Http3Connector::new(AUTHORITY, &http3).expect("valid"),
        Http2Connector::new(AUTHORITY, &http2).expect("valid"),
        FallbackConfig {
            patience,
            ..FallbackConfig::default()
        },
    );
    let channel = Channel::to(&format!("ipv4:{addr}"), connector, ChannelConfig::default());
    let client = Client::new(channel.expect("a target"));
    let run = client.clone();
    tokio::spawn(async move { run.connect().await });
    client
}

async fn echo(client: &Client) -> Result<Bytes, Code> {
    let options = CallOptions::default();
    let call = client.unary(ECHO, Metadata::new(), Bytes::from("x"), options);
    let answer = tokio::time::timeout(Duration::from_secs(20), call).await;
    answer
        .expect("the call hangs")
        .map_err(|status| status.code)
}

async fn http2(certificates: &DevCertificates) -> Http2Server {
    let server = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
    let server = server.expect("a free port").with_tls(certificates.server());
    server.expect("valid certificates")
}

/// S4-85: datagrams go nowhere, so the call comes by HTTP/2.
#[tokio::test]
async fn s4_85_where_udp_is_blocked_http2_is_spoken() {
    let certificates = DevCertificates::generate().expect("the system has randomness");
    let server = http2(&certificates).await;
    let (addr, counters) = (server.local_addr(), server.counters());
    serve(server);
    // Whatever comes here is taken and thrown away.
    let _hole = UdpSocket::bind(addr).await.expect("the same port of UDP");
    let client = client(addr, &certificates, SHORT);
    assert_eq!(echo(&client).await, Ok("x".into()));
    assert_eq!(counters.connections(), 1, "by HTTP/2");
}

/// S4-85: and where both get through, it is HTTP/3.
#[tokio::test]
async fn s4_85_where_udp_gets_through_http3_is_spoken() {
    let certificates = DevCertificates::generate().expect("the system has randomness");
    let second = http2(&certificates).await;
    let addr = second.local_addr();
    let config = Http3ServerConfig::default();
    let first = Http3Server::bind(addr, certificates.server(), config).await;
    let first = first.expect("the same port of UDP");
    let (by_http3, by_http2) = (first.counters(), second.counters());
    serve(first);
    serve(second);
    let client = client(addr, &certificates, LONG);
    assert_eq!(echo(&client).await, Ok("x".into()));
    assert_eq!((by_http3.connections(), by_http2.connections()), (1, 0));
}

/// A server that is away is away by both, and the error says both.
#[tokio::test]
async fn s4_85_a_server_that_is_away_is_away_by_both() {
    let certificates = DevCertificates::generate().expect("the system has randomness");
    let hole = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let addr = hole.local_addr().expect("it is bound");
    let client = client(addr, &certificates, SHORT);
    assert_eq!(echo(&client).await, Err(Code::Unavailable));
}
