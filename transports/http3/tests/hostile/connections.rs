//! Connections that are none, or too many.

use std::net::Ipv4Addr;

use headwater_http3::Http3ServerConfig;
use quinn::{ConnectionError, Endpoint, TransportConfig};
use tokio::net::UdpSocket;

use crate::support::{self, ECHO, raw, serve, unary};

#[tokio::test]
async fn garbage_datagrams_are_ignored() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let mut byte: u32 = 1;
    for length in (0..3000).map(|round| round % 1400) {
        let garbage: Vec<u8> = std::iter::repeat_with(|| {
            byte = byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (byte >> 24) as u8
        })
        .take(length)
        .collect();
        socket
            .send_to(&garbage, fixture.addr)
            .await
            .expect("it is sent");
    }
    assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
    support::until("one connection", || fixture.counters.connections() == 1).await;
}

/// What begins like a connection and goes no further: above a threshold such clients have to prove their address, and
/// what they hold is bounded in number and in time.
#[tokio::test]
async fn a_flood_of_initials_is_bounded() {
    let config = Http3ServerConfig {
        unvalidated_handshakes_max: 4,
        connections_max: 16,
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let good = fixture.client();
    assert_eq!(unary(&good, ECHO, "before").await, Ok("before".into()));
    // The first datagram of a handshake, again and again, from many ports; the answers go unread.
    let config = raw::client_config(&fixture.tls, b"h3", TransportConfig::default()).await;
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let to = sink.local_addr().expect("it is bound");
    let mut first = vec![0; 1500];
    let mut endpoints = Vec::new();
    for _ in 0..200 {
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let connecting = endpoint.connect_with(config.clone(), to, "localhost");
        endpoints.push((endpoint, connecting.expect("valid")));
        let received = support::within("an Initial", sink.recv(&mut first)).await;
        let length = received.expect("it comes");
        let from = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        from.send_to(&first[..length], fixture.addr)
            .await
            .expect("it is sent");
    }
    let held = fixture.counters.connections();
    assert!(held <= 6, "{held} connections are held");
    assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
    // Who can be asked again is served, also now.
    let newcomer = fixture.client();
    assert_eq!(unary(&newcomer, ECHO, "new").await, Ok("new".into()));
}

#[tokio::test]
async fn connections_beyond_the_bound_are_refused() {
    let config = Http3ServerConfig {
        connections_max: 2,
        ..Http3ServerConfig::default()
    };
    let fixture = serve(config).await;
    let good = fixture.client();
    assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
    let _second = raw::connect(&fixture).await;
    let third = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let config = raw::client_config(&fixture.tls, b"h3", TransportConfig::default()).await;
    let connecting = third.connect_with(config, fixture.addr, "localhost");
    let refused = support::within("an answer", connecting.expect("valid")).await;
    assert!(
        matches!(refused, Err(ConnectionError::ConnectionClosed(_))),
        "{refused:?}"
    );
    assert_eq!(unary(&good, ECHO, "still").await, Ok("still".into()));
}

/// S4-80: HTTP/3 is spoken over TLS 1.3 with its own name, or not at all.
#[tokio::test]
async fn s4_80_another_protocol_is_not_spoken() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let config = raw::client_config(&fixture.tls, b"h2", TransportConfig::default()).await;
    let connecting = endpoint.connect_with(config, fixture.addr, "localhost");
    let refused = support::within("an answer", connecting.expect("valid")).await;
    let Err(ConnectionError::ConnectionClosed(close)) = refused else {
        panic!("no_application_protocol was to be said: {refused:?}");
    };
    assert_eq!(u64::from(close.error_code), 0x178, "RFC 9001, 8.1");
}
