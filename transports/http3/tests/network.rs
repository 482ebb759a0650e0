//! What a network does to calls: it loses, reorders, falls silent, and is changed under a client.

mod support;

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use headwater_http3::{Http3ClientConfig, Http3ServerConfig};
use headwater_rpc::{CancelReason, Code, EndedBy, SendError};
use support::{
    EARLY, ECHO, FLOOD, STREAM,
    network::{Faults, Network},
    open, read, serve, unary, until, within,
};
use tokio::time::Instant;

/// S4-83: a server that is done before its client is heard to the end, in whatever order its packets come: the client may
/// be told to stop, and may reset, but no reset overtakes the answer.
#[tokio::test]
async fn s4_83_an_early_answer_survives_reordering_and_loss() {
    let fixture = serve(Http3ServerConfig::default()).await;
    for seed in 0..3 {
        let faults = Faults {
            lost: 3,
            late: 25,
            seed,
            ..Faults::default()
        };
        let network = Network::to(fixture.addr, faults).await;
        let (client, _) = fixture.client_at(network.addr, &fixture.client_config());
        let answer = Bytes::from(vec![b'a'; 20_000]);
        let calls = (0..20).map(|_| async {
            let (sender, mut receiver) = open(&client, EARLY).await;
            let sent = sender.send(answer.clone()).await;
            sent.expect("the call is open");
            // Much that nobody reads, and never an end.
            let more = async { while sender.send(answer.clone()).await.is_ok() {} };
            let (read, ()) = tokio::join!(read(&mut receiver), more);
            read
        });
        for (messages, outcome) in within("the calls", futures_util::future::join_all(calls)).await
        {
            assert_eq!(outcome, Ok(()), "seed {seed}: the answer was whole");
            assert!(messages.contains(&answer), "seed {seed}");
        }
    }
}

/// U-03: a peer that vanishes without a word is noticed within twice the keepalive's interval and its timeout, on both sides.
#[tokio::test(start_paused = true)]
async fn a_silent_network_is_noticed_in_time_on_both_sides() {
    let server = Http3ServerConfig {
        keepalive_interval: Duration::from_secs(4),
        keepalive_timeout: Duration::from_secs(3),
        ..Http3ServerConfig::default()
    };
    let mut fixture = serve(server).await;
    let network = Network::to(fixture.addr, Faults::default()).await;
    let config = Http3ClientConfig {
        keepalive_interval: Duration::from_secs(4),
        keepalive_timeout: Duration::from_secs(3),
        ..fixture.client_config()
    };
    let (client, _) = fixture.client_at(network.addr, &config);
    assert_eq!(unary(&client, ECHO, "x").await, Ok("x".into()));
    let (_sender, mut receiver) = open(&client, STREAM).await;
    let call = tokio::spawn(async move { receiver.next_batch(&mut Vec::new()).await });
    // A network that works is never taken for one that does not.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!call.is_finished(), "it is quiet, and all live");
    network.fall_silent();
    let began = Instant::now();
    let outcome = call.await.expect("no panic");
    assert_eq!(
        outcome.map_err(|error| error.status.code),
        Err(Code::Unavailable)
    );
    let noticed = began.elapsed();
    let bound = Duration::from_secs(2 * 4 + 3);
    assert!(
        noticed <= bound + Duration::from_secs(1),
        "the client noticed after {noticed:?}"
    );
    assert_eq!(fixture.cancels.recv().await, Some(CancelReason::Peer));
    until("the server's end", || fixture.counters.connections() == 0).await;
    let noticed = began.elapsed();
    assert!(
        noticed <= bound + Duration::from_secs(1),
        "the server noticed after {noticed:?}"
    );
}

/// Connection migration (RFC 9000, 9): the client has another address from one moment to the next, and its calls go on.
#[tokio::test]
async fn calls_go_on_when_their_client_changes_its_address() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let (client, transport) = fixture.client_with(&fixture.client_config());
    let (sender, mut receiver) = open(&client, STREAM).await;
    let mut batch = Vec::new();
    for round in 0..3 {
        sender
            .send(format!("{round}").into())
            .await
            .expect("the call is open");
        batch.clear();
        let came = within("the echo", receiver.next_batch(&mut batch)).await;
        assert_eq!(came.map_err(|error| error.status), Ok(1), "round {round}");
        assert_eq!(batch, [format!("{round}")]);
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
        transport
            .connector()
            .rebind(socket)
            .expect("it is a socket");
    }
    assert_eq!(unary(&client, ECHO, "x").await, Ok("x".into()));
    let connections = fixture.counters.connections();
    assert_eq!(connections, 1, "it is the same connection all the time");
}

/// A reader that stalls bounds what its writer can get rid of: by the windows, not by what the writer has.
#[tokio::test]
async fn a_stalled_reader_bounds_its_writer() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let config = Http3ClientConfig {
        stream_window_bytes: 128 << 10,
        ..fixture.client_config()
    };
    let (client, _) = fixture.client_with(&config);
    // The server's writer.
    let (_sender, mut receiver) = open(&client, FLOOD).await;
    let mut batch = Vec::new();
    within("the flood", receiver.next_batch(&mut batch))
        .await
        .expect("it flows");
    // The client's writer: the handler reads on only as its echoes are read, and they are not.
    let (sender, _receiver) = open(&client, STREAM).await;
    let message = Bytes::from(vec![0; 16 << 10]);
    let mut sent = 0_usize;
    loop {
        match sender.try_send(message.clone()) {
            Ok(()) => sent += message.len(),
            Err(SendError::Blocked) => {
                let writable = tokio::time::timeout(Duration::from_secs(1), sender.writable());
                if writable.await.is_err() {
                    break;
                }
            }
            Err(error) => panic!("the call is open: {error}"),
        }
        assert!(sent < 64 << 20, "nothing holds the writer back");
    }
    assert_eq!(
        unary(&client, ECHO, "x").await,
        Ok("x".into()),
        "others go on"
    );
}

/// A call whose connection is lost in the middle is not a success, whatever came before.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_no_end_of_a_stream() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let network = Network::to(fixture.addr, Faults::default()).await;
    let (client, _) = fixture.client_at(network.addr, &fixture.client_config());
    let (sender, mut receiver) = open(&client, STREAM).await;
    sender.send("x".into()).await.expect("the call is open");
    let mut batch = Vec::new();
    receiver.next_batch(&mut batch).await.expect("the echo");
    network.fall_silent();
    let error = receiver.next_batch(&mut batch).await;
    let error = error.expect_err("the network is gone");
    assert_eq!(
        (error.status.code, error.by),
        (Code::Unavailable, EndedBy::Transport)
    );
}

/// Between two on one machine there is no Ethernet: datagrams grow as far as they are taken (RFC 9000, 14.3).
#[tokio::test]
async fn datagrams_grow_where_no_network_is_between() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let network = Network::to(fixture.addr, Faults::default()).await;
    let (client, _) = fixture.client_at(network.addr, &fixture.client_config());
    let message = "x".repeat(64 << 10);
    while network.largest() < 6000 {
        assert_eq!(
            unary(&client, ECHO, &message).await,
            Ok(message.clone().into())
        );
    }
}

/// What is tried beyond what arrives costs no call its messages.
#[tokio::test]
async fn a_path_that_takes_short_datagrams_alone_carries_calls_all_the_same() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let faults = Faults {
        bytes_max: Some(1300),
        ..Faults::default()
    };
    let network = Network::to(fixture.addr, faults).await;
    let (client, _) = fixture.client_at(network.addr, &fixture.client_config());
    let message = "x".repeat(64 << 10);
    for _ in 0..20 {
        assert_eq!(
            unary(&client, ECHO, &message).await,
            Ok(message.clone().into())
        );
    }
    let largest = network.largest();
    assert!(largest > 1300, "longer ones were tried: {largest}");
}
