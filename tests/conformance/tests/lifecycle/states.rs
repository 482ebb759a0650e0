//! The states of a client.

use bytes::Bytes;
use headwater_conformance::{
    Fixture, Stopped, Transport,
    control::{ECHO, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_rpc::{CallOptions, Client, Code, Metadata, Receiver, Sender, Status};
use tokio::task::{JoinHandle, yield_now};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    NotStarted,
    Running,
    Stopping,
    Stopped,
}

/// What becomes of a call or a `connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Works,
    Waits,
    Refused,
}

/// A client in some state; while it is stopping, an open call holds it there.
struct InPhase {
    client: Client,
    connecting: Option<JoinHandle<Result<(), Status>>>,
    open: Option<(Sender, Receiver)>,
    serving: JoinHandle<Result<(), Status>>,
}

impl InPhase {
    async fn new(transport: Transport, phase: Phase) -> Self {
        let Stopped { client, server, .. } = Fixture::stopped(transport).await;
        let serving = tokio::spawn(async move { server.serve().await });
        let mut this = Self {
            client,
            connecting: None,
            open: None,
            serving,
        };
        if phase == Phase::NotStarted {
            return this;
        }
        let client = this.client.clone();
        this.connecting = Some(tokio::spawn(async move { client.connect().await }));
        assert_eq!(this.call().await, Outcome::Works);
        if phase == Phase::Stopping {
            let options = CallOptions::default();
            let open = this.client.call(RUN, Metadata::new(), options).await;
            this.open = Some(open.expect("it runs"));
        }
        if phase >= Phase::Stopping {
            this.client.begin_graceful_shutdown();
        }
        if phase == Phase::Stopped {
            this.stopped().await;
        }
        this
    }

    async fn call(&self) -> Outcome {
        let client = self.client.clone();
        let call = tokio::spawn(async move {
            let options = CallOptions::default();
            let answer = client.unary(ECHO, Metadata::new(), Bytes::new(), options);
            answer.await.map(drop)
        });
        self.outcome(call).await
    }

    async fn connect(&self) -> Outcome {
        let client = self.client.clone();
        let connect = tokio::spawn(async move { client.connect().await });
        self.outcome(connect).await
    }

    async fn outcome(&self, mut task: JoinHandle<Result<(), Status>>) -> Outcome {
        if self.connecting.is_none() {
            for _ in 0..10 {
                yield_now().await;
            }
            if !task.is_finished() {
                task.abort();
                return Outcome::Waits;
            }
        }
        match (&mut task).await.expect("no panic") {
            Ok(()) => Outcome::Works,
            Err(status) => {
                assert_eq!(status.code, Code::FailedPrecondition, "{status}");
                Outcome::Refused
            }
        }
    }

    /// Waits until what ran has come to its end.
    async fn stopped(&mut self) {
        if let Some((sender, mut receiver)) = self.open.take() {
            done(&sender);
            assert_eq!(read(&mut receiver).await.1, Ok(()), "it may finish");
        }
        if let Some(connecting) = self.connecting.as_mut() {
            assert_eq!(connecting.await.expect("no panic"), Ok(()));
        }
        self.connecting = None;
    }
}

impl Drop for InPhase {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// S4-21: what each state of a client makes of a call, of `connect`, and of a stop, which always ends in the last state:
/// from there nothing leads back. A `connect` that waits is one that runs.
#[test]
fn s4_21_the_states_of_a_client() {
    let table = [
        (Phase::NotStarted, Outcome::Waits, Outcome::Waits),
        (Phase::Running, Outcome::Works, Outcome::Refused),
        (Phase::Stopping, Outcome::Refused, Outcome::Refused),
        (Phase::Stopped, Outcome::Refused, Outcome::Refused),
    ];
    for_each_transport(|transport| async move {
        for (phase, call, connect) in table {
            let state = InPhase::new(transport, phase).await;
            assert_eq!(state.call().await, call, "a call while {phase:?}");
            let state = InPhase::new(transport, phase).await;
            assert_eq!(state.connect().await, connect, "connect while {phase:?}");
            let mut state = InPhase::new(transport, phase).await;
            state.client.begin_graceful_shutdown();
            state.stopped().await;
            assert_eq!(state.call().await, Outcome::Refused, "after {phase:?}");
            assert_eq!(state.connect().await, Outcome::Refused, "after {phase:?}");
        }
    });
}

/// S4-06: a server is its calls: how many connections, and whose, is not to be seen of it.
#[test]
fn s4_06_a_server_shows_calls_and_no_connections() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        assert_eq!(pair.server.open_calls(), 0);
        let first = pair.call(WAIT).await;
        let second = pair.call(WAIT).await;
        for (sender, _) in [&first, &second] {
            say(sender, "");
            done(sender);
            pair.control.started().await;
        }
        assert_eq!(pair.server.open_calls(), 2, "two calls, on one connection");
        drop((first, second));
        while pair.server.open_calls() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
