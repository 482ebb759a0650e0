//! S4-63, S4-65 (gRFC A8): when a silent server is asked, and what follows. On paused time, which runs on by itself while
//! everybody waits.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_http2::{Http2ClientConfig, Http2Connector, Keepalive};
use headwater_rpc::{
    CallOptions, Code, Metadata,
    channel::{Address, Connection, Connector},
};
use tokio::{net::TcpListener, time::Instant};

use crate::support::{ACK, GOAWAY, PING, Raw, client_of, listen};

fn connector(address: SocketAddr, keepalive: Keepalive) -> Http2Connector {
    let config = Http2ClientConfig {
        keepalive: Some(keepalive),
        ..Http2ClientConfig::default()
    };
    Http2Connector::new(&address.to_string(), &config).expect("valid")
}

async fn connect(
    connector: &Http2Connector,
    listener: &TcpListener,
    address: SocketAddr,
) -> (Arc<dyn Connection>, Raw) {
    let address = Address::Socket(address);
    let (connected, raw) = tokio::join!(connector.connect(&address), Raw::accept(listener));
    let connection = connected.unwrap_or_else(|status| panic!("{status}"));
    (connection.into(), raw)
}

/// S4-65: a silent server is asked no sooner than after 10 s, whatever was configured, and given up 20 s later.
#[tokio::test(start_paused = true)]
async fn s4_65_a_server_that_does_not_answer_is_given_up() {
    let (listener, address) = listen().await;
    let hasty = Keepalive {
        interval: Duration::from_secs(1),
        ..Keepalive::default()
    };
    let connector = connector(address, hasty);
    let (connection, mut raw) = connect(&connector, &listener, address).await;
    let (client, _breaks) = client_of(&connection);
    let begun = Instant::now();
    let asked = tokio::spawn(async move {
        let ping = raw.ping().await;
        let at = Instant::now();
        // Nothing more until the client hangs up.
        assert!(raw.ping().await.is_none(), "it asked twice");
        (ping.is_some(), at)
    });
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let call = client.unary("/t.T/X", metadata, Bytes::new(), options);
    let status = call.await.expect_err("nobody answers");
    assert_eq!(status.code, Code::Unavailable);
    let took = begun.elapsed();
    let why = connection.closed().await;
    assert!(why.message.contains("keep-alive"), "{why}");
    let (pinged, at) = asked.await.expect("no panic");
    assert!(pinged, "it was not asked");
    let silent = at - begun;
    assert!(
        (Duration::from_secs(9)..Duration::from_secs(12)).contains(&silent),
        "asked after {silent:?}"
    );
    assert!(
        (Duration::from_secs(29)..Duration::from_secs(32)).contains(&took),
        "given up after {took:?}"
    );
}

/// S4-65: a server that answers is asked again and again, and kept.
#[tokio::test(start_paused = true)]
async fn s4_65_a_server_that_answers_is_kept() {
    let (listener, address) = listen().await;
    let always = Keepalive {
        without_calls: true,
        ..Keepalive::default()
    };
    let connector = connector(address, always);
    let (connection, mut raw) = connect(&connector, &listener, address).await;
    let mut last = Instant::now();
    for round in 0..20 {
        let payload = raw.ping().await;
        let payload = payload.unwrap_or_else(|| panic!("it hung up in round {round}"));
        let silent = last.elapsed();
        assert!(silent >= Duration::from_secs(9), "asked after {silent:?}");
        last = Instant::now();
        raw.write(PING, ACK, &payload).await;
    }
    let closed = tokio::time::timeout(Duration::from_secs(1), connection.closed());
    assert!(closed.await.is_err(), "it was given up");
}

/// S4-65: without a call nobody is asked, unless that is wanted. S4-63: and not at all by default.
#[tokio::test(start_paused = true)]
async fn s4_65_an_idle_connection_is_left_alone() {
    let (listener, address) = listen().await;
    for keepalive in [None, Some(Keepalive::default())] {
        let config = Http2ClientConfig {
            keepalive: keepalive.clone(),
            ..Http2ClientConfig::default()
        };
        let connector = Http2Connector::new(&address.to_string(), &config).expect("valid");
        let (_connection, mut raw) = connect(&connector, &listener, address).await;
        let quiet = tokio::time::timeout(Duration::from_secs(3600), raw.ping());
        assert!(quiet.await.is_err(), "asked with {keepalive:?}");
    }
}

/// S4-65: `ENHANCE_YOUR_CALM` with `too_many_pings` doubles the interval, for the next connection of the target as well.
#[tokio::test(start_paused = true)]
async fn s4_65_too_many_pings_double_the_interval() {
    let (listener, address) = listen().await;
    let always = Keepalive {
        without_calls: true,
        ..Keepalive::default()
    };
    let connector = connector(address, always);
    for expected in [10, 20, 40] {
        let (connection, mut raw) = connect(&connector, &listener, address).await;
        let begun = Instant::now();
        raw.ping().await.expect("it asks");
        let silent = begun.elapsed().as_secs();
        assert!(
            (expected - 1..=expected + 1).contains(&silent),
            "asked after {silent} s, not {expected} s"
        );
        let calm = [&[0, 0, 0, 0, 0, 0, 0, 11], &b"too_many_pings"[..]].concat();
        raw.write(GOAWAY, 0, &calm).await;
        let why = connection.closed().await;
        assert!(why.message.contains("too_many_pings"), "{why}");
    }
}

/// A wait without end is no mistake: whoever wants none of one of the two says so with it.
#[tokio::test(start_paused = true)]
async fn endless_waits_leave_the_connection_alone() {
    let never_asks = Keepalive {
        interval: Duration::MAX,
        ..Keepalive::default()
    };
    let never_gives_up = Keepalive {
        timeout: Duration::MAX,
        ..Keepalive::default()
    };
    for keepalive in [never_asks, never_gives_up] {
        let (listener, address) = listen().await;
        let connector = connector(address, keepalive.clone());
        let (connection, _raw) = connect(&connector, &listener, address).await;
        let (client, _breaks) = client_of(&connection);
        let options = CallOptions {
            timeout: Some(Duration::from_secs(60)),
            ..CallOptions::default()
        };
        let call = client.unary("/t.T/X", Metadata::new(), Bytes::new(), options);
        let outcome = call.await.map_err(|status| status.code);
        assert_eq!(outcome, Err(Code::DeadlineExceeded), "{keepalive:?}");
    }
}
