use std::time::Duration;

use headwater_rpc::{ClientTransport as _, Code, channel::State};
use tokio::time::Instant;

use crate::{
    fixture::{Fixture, echoed, pick_first, round_robin, settled},
    network::Network,
};

/// S4-23: a graceful stop does not wait for a back-off, nor for an attempt.
#[tokio::test(start_paused = true)]
async fn s4_23_a_stop_in_back_off_returns_at_once() {
    for silent in [false, true] {
        let network = Network::new();
        if silent {
            network.silence(1);
        }
        let mut fixture = Fixture::new(&network, &[1], pick_first());
        fixture.channel.wake();
        tokio::time::sleep(Duration::from_secs(300)).await;
        let begun = Instant::now();
        fixture.client.begin_graceful_shutdown();
        let stopped = (&mut fixture.connecting).await.expect("no panic");
        assert_eq!((stopped, begun.elapsed()), (Ok(()), Duration::ZERO));
        let attempts = network.attempts().len();
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(network.attempts().len(), attempts, "nothing is tried now");
    }
}

/// S4-23: nor does it wait for a call that waits for ready and for nothing else.
#[tokio::test(start_paused = true)]
async fn s4_23_a_call_without_a_connection_does_not_hold_up_a_stop() {
    let network = Network::new();
    let mut fixture = Fixture::new(&network, &[1], pick_first());
    let begun = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        fixture.client.begin_graceful_shutdown();
    };
    let (outcome, ()) = tokio::join!(fixture.who_when_ready(None), stop);
    let status = outcome.expect_err("it stops");
    assert_eq!(status.code, Code::FailedPrecondition);
    let stopped = (&mut fixture.connecting).await.expect("no panic");
    assert_eq!((stopped, begun.elapsed().as_secs()), (Ok(()), 60));
}

/// S4-22: new calls fail, the running one finishes, then the client has stopped.
#[tokio::test(start_paused = true)]
async fn s4_22_a_graceful_stop_lets_calls_finish() {
    let network = Network::new();
    network.up(1).await;
    network.up(2).await;
    let mut fixture = Fixture::new(&network, &[1, 2], round_robin());
    let (sender, mut receiver) = fixture.stream().await;
    settled().await;
    fixture.channel.begin_graceful_shutdown();
    fixture.client.begin_graceful_shutdown();
    settled().await;
    assert_eq!(fixture.channel.state(), State::Shutdown);
    assert_eq!(
        network.connections().len(),
        1,
        "what nobody uses went at once"
    );
    let status = fixture.who().await.expect_err("it stops");
    assert_eq!(status.code, Code::FailedPrecondition);
    echoed(&sender, &mut receiver, "still there").await;
    assert!(!fixture.connecting.is_finished());
    drop((sender, receiver));
    let stopped = (&mut fixture.connecting).await.expect("no panic");
    assert_eq!(stopped, Ok(()));
    assert!(network.connections().is_empty(), "nothing is held");
}

/// S4-04: `FAILED_PRECONDITION` for calls that wait when the transport is closing, and when it is closed.
#[tokio::test(start_paused = true)]
async fn s4_04_a_closing_transport_takes_no_call() {
    let network = Network::new();
    network.silence(1);
    let fixture = Fixture::new(&network, &[1], pick_first());
    let stop = async {
        settled().await;
        fixture.channel.begin_graceful_shutdown();
    };
    let waiting = async { tokio::join!(fixture.who(), fixture.who_when_ready(None)) };
    let ((one, other), ()) = tokio::join!(waiting, stop);
    for outcome in [one, other] {
        let status = outcome.expect_err("it stops");
        assert_eq!(status.code, Code::FailedPrecondition);
    }
    // The transport is closed now, and the client above it, which has not been told, still asks it.
    let late = fixture.who().await.expect_err("it has stopped");
    assert_eq!(late.code, Code::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn dropping_breaks_everything() {
    let network = Network::new();
    network.up(1).await;
    let fixture = Fixture::new(&network, &[1], pick_first());
    let (_sender, mut receiver) = fixture.stream().await;
    network.go_away(1);
    fixture.who().await.expect("there is a new connection");
    assert_eq!(network.connections(), [1, 1], "one of them only ends");
    fixture.connecting.abort();
    let mut messages = Vec::new();
    let ended = receiver.next_batch(&mut messages).await;
    let status = ended.expect_err("it was broken").status;
    assert_eq!(status.code, Code::Cancelled);
    settled().await;
    assert!(network.connections().is_empty(), "nothing is held");
    assert_eq!(fixture.channel.state(), State::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_channel_runs_once() {
    let network = Network::new();
    let fixture = Fixture::new(&network, &[1], pick_first());
    settled().await;
    let status = fixture.channel.connect().await.expect_err("it runs");
    assert_eq!(status.code, Code::FailedPrecondition);
}
