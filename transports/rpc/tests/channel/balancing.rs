use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use headwater_rpc::channel::State;

use crate::{
    fixture::{Fixture, echoed, pick_first, round_robin, settled},
    network::Network,
    resolving::pushed,
};

#[tokio::test(start_paused = true)]
async fn pick_first_stays_with_one_server() {
    let network = Network::new();
    network.up(1).await;
    network.up(2).await;
    let fixture = Fixture::new(&network, &[9, 2, 1], pick_first());
    for _ in 0..3 {
        assert_eq!(fixture.who().await, Ok(2), "9 is down, and 2 comes next");
    }
    assert_eq!(network.connections(), [2]);
}

#[tokio::test(start_paused = true)]
async fn round_robin_uses_all_that_are_ready() {
    let network = Network::new();
    for port in [1, 2, 3] {
        network.up(port).await;
    }
    let fixture = Fixture::new(&network, &[1, 9, 2, 3], round_robin());
    fixture.who().await.expect("three work");
    settled().await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(fixture.who().await.expect("three work"));
    }
    let (first, second) = answers.split_at(3);
    assert_eq!(first, second, "they take turns");
    let distinct: BTreeSet<_> = first.iter().copied().collect();
    assert_eq!(distinct, BTreeSet::from([1, 2, 3]));
}

/// S4-02, S4-61: the client is one object, and works on while endpoints are added and removed under load.
#[tokio::test(start_paused = true)]
async fn s4_02_s4_61_endpoints_come_and_go_under_load() {
    let network = Network::new();
    for port in 1..=4 {
        network.up(port).await;
    }
    let (pushes, resolver) = pushed(&[1]);
    let fixture = Arc::new(Fixture::resolved_by(&network, resolver, round_robin()));
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (fixture, over) = (Arc::clone(&fixture), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    answers.push(fixture.who().await);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                answers
            })
        })
        .collect();
    let (sender, mut receiver) = fixture.stream().await;
    for ports in [&[1, 2][..], &[2], &[2, 3], &[3], &[4, 3], &[4]] {
        pushes.push(ports);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut held = network.connections();
        held.retain(|port| *port != 1);
        held.sort_unstable();
        let mut expected = ports.to_vec();
        expected.retain(|port| *port != 1);
        expected.sort_unstable();
        assert_eq!(
            held, expected,
            "connections follow the list, gracefully or at once"
        );
    }
    over.store(true, Ordering::Relaxed);
    let mut reached = BTreeSet::new();
    for caller in callers {
        for answer in caller.await.expect("no panic") {
            reached.insert(answer.expect("no call fails because of a change"));
        }
    }
    assert_eq!(reached, BTreeSet::from([1, 2, 3, 4]));

    assert_eq!(
        network.left_gracefully().first(),
        Some(&1),
        "it was told to end"
    );
    assert!(network.connections().contains(&1), "its stream runs on");
    echoed(&sender, &mut receiver, "still there").await;
    drop((sender, receiver));
    settled().await;
    assert_eq!(network.connections(), [4], "it went with its last stream");
}

/// S4-61: the states as gRPC has them, as a watcher sees them.
#[tokio::test(start_paused = true)]
async fn s4_61_the_states_can_be_watched() {
    let network = Network::new();
    let fixture = Fixture::new(&network, &[1], pick_first());
    let channel = &fixture.channel;
    settled().await;
    assert_eq!(channel.state(), State::Idle, "nobody has called yet");
    assert_eq!(network.attempts(), []);
    network.silence(1);
    channel.wake();
    assert_eq!(channel.state_change(State::Idle).await, State::Connecting);
    let next = channel.state_change(State::Connecting).await;
    assert_eq!(next, State::TransientFailure, "the attempt took too long");
    network.up(1).await;
    let next = channel.state_change(State::TransientFailure).await;
    assert_eq!(next, State::Ready);
    tokio::time::sleep(Duration::from_secs(5)).await;
    network.go_away(1);
    assert_eq!(channel.state_change(State::Ready).await, State::Idle);
    fixture.client.begin_graceful_shutdown();
    assert_eq!(channel.state_change(State::Idle).await, State::Shutdown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_from_many_threads_survive_changes() {
    let network = Network::new();
    for port in 1..=3 {
        network.up(port).await;
    }
    let (pushes, resolver) = pushed(&[1, 2]);
    let fixture = Arc::new(Fixture::resolved_by(&network, resolver, round_robin()));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move {
                for _ in 0..200 {
                    fixture.who().await.expect("one of them works");
                }
            })
        })
        .collect();
    for _ in 0..30 {
        for ports in [&[2, 3][..], &[3], &[1, 3], &[1, 2, 3]] {
            pushes.push(ports);
            fixture.who().await.expect("one of them works");
        }
    }
    for caller in callers {
        caller.await.expect("no call failed");
    }
}
