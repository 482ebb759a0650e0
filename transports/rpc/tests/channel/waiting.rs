use std::time::Duration;

use headwater_rpc::{
    Code,
    channel::{ChannelConfig, State},
};
use tokio::time::Instant;

use crate::{
    fixture::{Fixture, pick_first, round_robin, settled},
    network::Network,
};

const SECOND: Duration = Duration::from_secs(1);

/// S4-44: in transient failure a call fails at once, unless it waits for ready.
#[tokio::test(start_paused = true)]
async fn s4_44_only_who_waits_for_ready_outlasts_a_failure() {
    let network = Network::new();
    let fixture = Fixture::new(&network, &[1], round_robin());
    fixture.who().await.expect_err("nobody is there");
    assert_eq!(fixture.channel.state(), State::TransientFailure);
    let begun = Instant::now();
    let status = fixture.who().await.expect_err("nobody is there");
    assert_eq!(
        (status.code, begun.elapsed()),
        (Code::Unavailable, Duration::ZERO)
    );

    let waits = fixture.who_when_ready(None);
    tokio::pin!(waits);
    tokio::select! {
        biased;
        answer = &mut waits => panic!("it must wait: {answer:?}"),
        () = tokio::time::sleep(SECOND * 100) => {}
    }
    network.up(1).await;
    assert_eq!(waits.await, Ok(1));
}

/// S4-62: while a connection is being made calls wait for it, in either mode.
#[tokio::test(start_paused = true)]
async fn s4_62_calls_wait_while_connecting() {
    let network = Network::new();
    network.silence(1);
    let fixture = Fixture::new(&network, &[1], pick_first());
    let calls = async {
        tokio::join!(
            fixture.who(),
            fixture.who_when_ready(None),
            fixture.who_when_ready(Some(SECOND * 60))
        )
    };
    tokio::pin!(calls);
    tokio::select! {
        biased;
        answers = &mut calls => panic!("they must wait: {answers:?}"),
        () = tokio::time::sleep(SECOND * 25) => {}
    }
    network.up(1).await;
    let (impatient, patient, bounded) = calls.await;
    let status = impatient.expect_err("the first attempt took too long");
    assert_eq!(status.code, Code::Unavailable);
    assert_eq!((patient, bounded), (Ok(1), Ok(1)));
    let left = network.timeouts().into_iter().flatten().next();
    assert_eq!(
        left,
        Some(SECOND * 20),
        "the second attempt took its 20 s too, and the server is told what is left"
    );
}

/// S4-62: waiting ends with the deadline.
#[tokio::test(start_paused = true)]
async fn s4_62_a_deadline_ends_the_wait() {
    let network = Network::new();
    let fixture = Fixture::new(&network, &[1], pick_first());
    let begun = Instant::now();
    let status = fixture.who_when_ready(Some(SECOND * 3)).await;
    let status = status.expect_err("nobody comes");
    assert_eq!(
        (status.code, begun.elapsed()),
        (Code::DeadlineExceeded, SECOND * 3)
    );
}

/// S4-62: the queue is bounded.
#[tokio::test(start_paused = true)]
async fn s4_62_no_more_calls_wait_than_may() {
    let network = Network::new();
    network.silence(1);
    let config = ChannelConfig {
        waiting_calls_max: 2,
        ..pick_first()
    };
    let fixture = Fixture::new(&network, &[1], config);
    {
        let two = async { tokio::join!(fixture.who(), fixture.who()) };
        tokio::pin!(two);
        tokio::select! {
            biased;
            answers = &mut two => panic!("they must wait: {answers:?}"),
            () = settled() => {}
        }
        let status = fixture.who().await.expect_err("there is no room");
        assert_eq!(status.code, Code::Unavailable);
        assert_eq!(status.message, "too many calls wait for a connection");
    }
    let third = tokio::time::timeout(SECOND, fixture.who()).await;
    third.expect_err("who gives up makes room");
}
