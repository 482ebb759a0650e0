use std::time::Duration;

use headwater_rpc::{
    Code,
    channel::{ChannelConfig, State},
};

use crate::{
    fixture::{Fixture, echoed, pick_first, round_robin, settled},
    network::Network,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn nothing_is_connected_before_the_first_call_unless_it_is_eager() {
    let network = Network::new();
    network.up(1).await;
    let lazy = Fixture::new(&network, &[1], pick_first());
    settled().await;
    assert!(network.connections().is_empty(), "nothing is held");
    drop(lazy);
    let config = ChannelConfig {
        eager: true,
        ..pick_first()
    };
    let eager = Fixture::new(&network, &[1], config);
    settled().await;
    assert_eq!(eager.channel.state(), State::Ready);
    assert_eq!(network.connections(), [1]);
}

/// S4-63: attempts come after 1 s, times 1.6 each, at most 120 s apart, and at once after a connection was lost.
#[tokio::test(start_paused = true)]
async fn s4_63_attempts_back_off() {
    let network = Network::new();
    let fixture = Fixture::new(&network, &[1], pick_first());
    fixture.channel.wake();
    tokio::time::sleep(SECOND * 1800 - SECOND / 2).await;
    let times: Vec<_> = network.attempts().iter().map(|(at, _)| *at).collect();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The clock ticks in milliseconds.
    let expected = [
        1.0, 1.6, 2.56, 4.096, 6.5536, 10.486, 16.777, 26.844, 42.95, 68.719, 109.951, 120.0, 120.0,
    ];
    for (wait, expected) in waits.iter().zip(expected) {
        let off = (wait.as_secs_f64() - expected).abs();
        assert!(off < 0.003, "{wait:?} instead of {expected}: {waits:?}");
    }
    assert!(waits.len() > expected.len(), "it tries on: {waits:?}");
}

/// S4-63: after half an hour without a call the connection is given up, and the next call makes another.
#[tokio::test(start_paused = true)]
async fn s4_63_connections_idle() {
    let network = Network::new();
    network.up(1).await;
    let fixture = Fixture::new(&network, &[1], pick_first());
    let (sender, mut receiver) = fixture.stream().await;
    tokio::time::sleep(SECOND * 7200).await;
    echoed(&sender, &mut receiver, "a call keeps it").await;
    drop((sender, receiver));
    tokio::time::sleep(SECOND * 1799).await;
    assert_eq!(fixture.channel.state(), State::Ready);
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(fixture.channel.state(), State::Idle);
    assert!(network.connections().is_empty(), "nothing is held");
    assert_eq!(network.left_gracefully(), [1]);
    assert_eq!(fixture.who().await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_open_on_a_connection_that_closes_goes_on() {
    let network = Network::new();
    network.up(1).await;
    let fixture = Fixture::new(&network, &[1], pick_first());
    let (sender, mut receiver) = fixture.stream().await;
    network.go_away(1);
    settled().await;
    assert_eq!(fixture.channel.state(), State::Idle);
    assert_eq!(fixture.who().await, Ok(1), "over a new connection");
    assert_eq!(network.connections(), [1, 1]);
    echoed(&sender, &mut receiver, "over the old one").await;
    drop((sender, receiver));
    settled().await;
    assert_eq!(network.connections(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_connection_does_not_take_goes_over_another() {
    for config in [pick_first(), round_robin()] {
        let network = Network::new();
        network.up(1).await;
        let fixture = Fixture::new(&network, &[1], config);
        assert_eq!(fixture.who().await, Ok(1));
        network.refuse_streams(1);
        let both = tokio::join!(fixture.who(), fixture.who());
        assert_eq!(both, (Ok(1), Ok(1)), "nothing was sent, so nothing is lost");
        assert_eq!(network.attempts().len(), 2, "both took the same new one");
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_take_no_stream_are_not_stormed() {
    let network = Network::new();
    network.up(1).await;
    network.refuse_every_stream(1);
    let fixture = Fixture::new(&network, &[1], pick_first());
    let outcome = fixture.who_when_ready(Some(SECOND * 10)).await;
    let status = outcome.expect_err("no stream is taken");
    assert_eq!(status.code, Code::DeadlineExceeded);
    let attempts = network.attempts().len();
    assert_eq!(attempts, 12, "one more at once, then one a second");
}

/// S4-04: `UNAVAILABLE` with the reason of the last failure.
#[tokio::test(start_paused = true)]
async fn s4_04_without_a_connection_calls_are_unavailable() {
    let network = Network::new();
    let fixture = Fixture::new(&network, &[7], pick_first());
    let status = fixture.who().await.expect_err("nobody is there");
    assert_eq!(status.code, Code::Unavailable);
    assert_eq!(
        status.message,
        "no connection: ipv4:127.0.0.1:7: connection refused"
    );
}
