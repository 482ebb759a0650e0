//! How clients, servers and calls begin and end: states, stops, cancels.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use headwater_conformance::{
    Fixture, Stopped, Transport,
    control::{ECHO, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    CallOptions, CancelReason, Client, Code, IncomingCall, Metadata, Receiver, SendError, Sender,
    ServerConfig, Shape, Status,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, yield_now},
};

const SHORT: Duration = Duration::from_millis(30);

fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

async fn none_open(pair: &Fixture) {
    while pair.server.open_calls() > 0 {
        yield_now().await;
    }
}

/// S4-20: all four kinds of call; when the future or the halves are gone, nothing of the call is left on either side.
#[test]
fn s4_20_a_call_leaves_nothing_behind() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
        none_open(&pair).await;
        let streams: [(Shape, &[&str], &[&str]); 3] = [
            (Shape::ClientStreaming, &["count", "a", "b"], &["2 2"]),
            (Shape::ServerStreaming, &["send 3 0"], &["", "", ""]),
            (Shape::Bidirectional, &["echo a", "echo b"], &["a", "b"]),
        ];
        for (shape, lines, expected) in streams {
            let options = CallOptions {
                shape,
                ..CallOptions::default()
            };
            let call = pair.client.call(RUN, Metadata::new(), options).await;
            let (sender, mut receiver) = call.expect("it opens");
            for line in lines {
                say(&sender, *line);
            }
            done(&sender);
            let (messages, outcome) = read(&mut receiver).await;
            assert_eq!((messages, outcome), (bytes(expected), Ok(())), "{shape:?}");
            // The halves are still held: it is the end of the call that frees it.
            none_open(&pair).await;
        }
        // Dropped before they are done.
        let client = pair.client.clone();
        let options = CallOptions::default();
        let unary = client.unary(WAIT, Metadata::new(), Bytes::new(), options);
        tokio::select! {
            answer = unary => panic!("nobody answers: {answer:?}"),
            () = pair.control.started() => {}
        }
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
        let halves = pair.call(RUN).await;
        say(&halves.0, "wait");
        pair.control.started().await;
        drop(halves);
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
        none_open(&pair).await;
        pair.client.begin_graceful_shutdown();
        let mut pair = pair;
        // A client that believed a call to be open would wait for it.
        assert_eq!((&mut pair.connecting).await.expect("no panic"), Ok(()));
    });
}

fn bytes(texts: &[&str]) -> Vec<Bytes> {
    let texts = texts.iter();
    texts.map(|text| Bytes::from((*text).to_owned())).collect()
}

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

/// S4-22: after a graceful stop new calls fail, running ones of every kind finish, and then `connect` returns.
#[test]
fn s4_22_a_graceful_stop_of_the_client_lets_calls_finish() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        let mut calls = Vec::new();
        for _ in 0..3 {
            let (sender, mut receiver) = pair.call(RUN).await;
            say(&sender, "echo open");
            let opened = receiver.next_batch(&mut Vec::new()).await;
            assert_eq!(opened, Ok(1));
            calls.push((sender, receiver));
        }
        pair.client.begin_graceful_shutdown();
        for _ in 0..2 {
            let refused = pair.unary(ECHO, "x").await;
            assert_eq!(code(&refused), Code::FailedPrecondition);
        }
        for (sender, mut receiver) in calls {
            assert!(!pair.connecting.is_finished(), "a call is open");
            say(&sender, "echo more");
            done(&sender);
            let (messages, outcome) = read(&mut receiver).await;
            assert_eq!((messages, outcome), (bytes(&["more"]), Ok(())));
        }
        assert_eq!((&mut pair.connecting).await.expect("no panic"), Ok(()));
    });
}

/// S4-26: after a graceful stop of the server new calls fail, the handlers of open ones are told and may still finish,
/// and then `serve` returns.
#[test]
fn s4_26_a_graceful_stop_of_the_server_lets_calls_finish() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        let (told, mut telling) = mpsc::unbounded_channel();
        pair.router.stream("/a.B/C", move |call| {
            let told = told.clone();
            async move {
                let IncomingCall {
                    mut receiver,
                    sender,
                    cancellation,
                    ..
                } = call;
                let reason = cancellation.cancelled().await;
                told.send(reason).expect("the test waits");
                // It works on as if nothing had happened.
                let (messages, outcome) = read(&mut receiver).await;
                for message in messages {
                    sender.send(message).await.expect("the call is open");
                }
                let _ = sender.finish(outcome, Metadata::new());
            }
        });
        let (sender, mut receiver) = pair.call("/a.B/C").await;
        say(&sender, "before");
        while pair.server.open_calls() == 0 {
            yield_now().await;
        }
        pair.server.begin_graceful_shutdown();
        assert_eq!(telling.recv().await, Some(CancelReason::Stopping));
        assert_eq!(code(&pair.unary(ECHO, "x").await), transport.stopped);
        assert!(!pair.serving.is_finished(), "a call is open");
        say(&sender, "after");
        done(&sender);
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!((messages, outcome), (bytes(&["before", "after"]), Ok(())));
        assert_eq!((&mut pair.serving).await.expect("no panic"), Ok(()));
    });
}

/// A call whose handler waits for its cancellation.
async fn waiting(pair: &Fixture) -> (Sender, Receiver) {
    let (sender, receiver) = pair.call(RUN).await;
    say(&sender, "wait");
    pair.control.started().await;
    (sender, receiver)
}

/// S4-27: the handler hears of a deadline that has passed.
#[test]
fn s4_27_the_reason_is_the_deadline() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            timeout_max: Some(SHORT),
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let (_sender, mut receiver) = waiting(&pair).await;
        assert_eq!(pair.control.next_cancel().await, CancelReason::Deadline);
        assert_eq!(code(&read(&mut receiver).await.1), Code::DeadlineExceeded);
    });
}

/// S4-27, S4-28: it hears of a client that cancels in whatever way, at once: nothing else happens on the connection, and
/// no timer runs.
#[test]
fn s4_27_s4_28_the_reason_is_the_peer_however_it_cancels() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for way in ["cancel", "finish", "drop", "drop the future"] {
            match way {
                "cancel" => {
                    let (sender, _receiver) = waiting(&pair).await;
                    sender.cancel();
                    assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
                }
                "finish" => {
                    let (sender, _receiver) = waiting(&pair).await;
                    let failed = Err(Status::new(Code::Aborted, "enough"));
                    sender.finish(failed, Metadata::new()).expect("it is open");
                    assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
                }
                "drop" => {
                    drop(waiting(&pair).await);
                    assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
                }
                _ => {
                    tokio::select! {
                        answer = pair.unary(WAIT, "") => panic!("nobody answers: {answer:?}"),
                        () = pair.control.started() => {}
                    }
                    assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
                }
            }
        }
        let _open = waiting(&pair).await;
        pair.connecting.abort();
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
    });
}

/// S4-27: it hears of a connection that breaks without a word: here the client's runtime is gone from one moment to the
/// next.
#[test]
fn s4_27_the_reason_is_the_peer_when_the_connection_breaks() {
    for_each_transport(|transport| async move {
        let stopped = Fixture::stopped(transport).await;
        let (client, server) = (stopped.client.clone(), stopped.server.clone());
        let serving = tokio::spawn(async move { server.serve().await });
        let (broken, breaks) = oneshot::channel::<()>();
        let away = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            let connection = client.clone();
            runtime.spawn(async move { connection.connect().await });
            let halves = runtime.block_on(async {
                let options = CallOptions::default();
                let call = client.call(RUN, Metadata::new(), options).await;
                let halves = call.expect("it opens");
                say(&halves.0, "wait");
                breaks.await.expect("the test says when");
                halves
            });
            // Sockets and timers first, so that nobody can say goodbye.
            drop(runtime);
            drop(halves);
        });
        stopped.control.started().await;
        broken.send(()).expect("the client waits");
        assert_eq!(stopped.control.next_cancel().await, CancelReason::Peer);
        away.join().expect("no panic");
        serving.abort();
    });
}

/// S4-27: it hears of a server that stops, gracefully or not.
#[test]
fn s4_27_the_reason_is_that_the_server_stops() {
    for_each_transport(|transport| async move {
        for graceful in [true, false] {
            let pair = Fixture::new(transport).await;
            let (_sender, mut receiver) = waiting(&pair).await;
            if graceful {
                pair.server.begin_graceful_shutdown();
            } else {
                pair.serving.abort();
            }
            assert_eq!(pair.control.next_cancel().await, CancelReason::Stopping);
            let outcome = read(&mut receiver).await.1;
            assert_eq!(outcome.is_ok(), graceful, "{outcome:?}");
        }
    });
}

/// S4-27: cancelling twice is cancelling once, on both sides, and changes nothing of a call that is over.
#[test]
fn s4_27_cancel_is_idempotent() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = waiting(&pair).await;
        for _ in 0..2 {
            sender.cancel();
            assert_eq!(sender.try_send(Bytes::new()), Err(SendError::Ended));
        }
        assert_eq!(code(&read(&mut receiver).await.1), Code::Cancelled);
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);

        let (sender, mut receiver) = pair.call(RUN).await;
        done(&sender);
        assert_eq!(read(&mut receiver).await.1, Ok(()));
        sender.cancel();
        assert_eq!(read(&mut receiver).await.1, Ok(()), "it was over");

        pair.router.stream("/a.B/C", |call| async move {
            for _ in 0..2 {
                call.sender.cancel();
                assert_eq!(call.cancellation.reason(), Some(CancelReason::Withdrawn));
            }
        });
        let (_sender, mut receiver) = pair.call("/a.B/C").await;
        assert_eq!(code(&read(&mut receiver).await.1), Code::Cancelled);
    });
}

/// S4-27: a guarded operation runs to its end, and its cancel handler is called once if the call was cancelled meanwhile,
/// at once if it was before, and never if it was not.
#[test]
fn s4_27_a_guarded_operation_is_told_and_not_dropped() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (tells, mut told) = mpsc::unbounded_channel();
        pair.router.stream("/a.B/C", move |call| {
            let tells = tells.clone();
            async move {
                let count = AtomicUsize::new(0);
                let noted = |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                };
                let cancellation = &call.cancellation;
                let one = cancellation.guard(async { 1 }, noted).await;
                let before = count.swap(0, Ordering::Relaxed);
                call.sender
                    .send_headers(Metadata::new())
                    .expect("it is open");
                let operation = async {
                    while count.load(Ordering::Relaxed) == 0 {
                        yield_now().await;
                    }
                    yield_now().await;
                    2
                };
                let two = cancellation.guard(operation, noted).await;
                let during = count.swap(0, Ordering::Relaxed);
                let three = cancellation.guard(async { 3 }, noted).await;
                let after = count.load(Ordering::Relaxed);
                let seen = [(one, before), (two, during), (three, after)];
                tells.send(seen).expect("the test waits");
            }
        });
        let (sender, mut receiver) = pair.call("/a.B/C").await;
        assert!(
            receiver.headers().await.is_some(),
            "it is not cancelled yet"
        );
        sender.cancel();
        assert_eq!(told.recv().await, Some([(1, 0), (2, 1), (3, 1)]));
    });
}

/// S4-37: a signal stops a server gracefully: it ends when its calls have, and those that do not end are ended when the
/// grace is over.
#[test]
fn s4_37_a_signal_stops_a_server_and_the_grace_ends_it() {
    for_each_transport(|transport| async move {
        for (grace, finishes) in [(None, true), (Some(HOUR), true), (Some(SHORT), false)] {
            let stopped = Fixture::stopped(transport).await;
            let (client, server) = (stopped.client.clone(), stopped.server.clone());
            let connecting = tokio::spawn(async move { client.connect().await });
            let (signal, signalled) = oneshot::channel::<()>();
            let serving = tokio::spawn(async move {
                let signal = async { drop(signalled.await) };
                server.serve_until(signal, grace).await
            });
            let options = CallOptions::default();
            let call = stopped.client.call(RUN, Metadata::new(), options).await;
            let (sender, mut receiver) = call.expect("it opens");
            say(&sender, "echo open");
            assert_eq!(receiver.next_batch(&mut Vec::new()).await, Ok(1));
            signal.send(()).expect("the server waits for it");
            if finishes {
                say(&sender, "wait");
                assert_eq!(stopped.control.next_cancel().await, CancelReason::Stopping);
                assert_eq!(read(&mut receiver).await.1, Ok(()), "{grace:?}");
            } else {
                let outcome = read(&mut receiver).await.1;
                assert_eq!(code(&outcome), Code::Unavailable, "after the grace");
            }
            assert_eq!(serving.await.expect("no panic"), Ok(()), "{grace:?}");
            connecting.abort();
        }
    });
}

const HOUR: Duration = Duration::from_secs(3600);

/// S4-37: so does a client.
#[test]
fn s4_37_a_signal_stops_a_client_and_the_grace_ends_it() {
    for_each_transport(|transport| async move {
        for (grace, finishes) in [(None, true), (Some(HOUR), true), (Some(SHORT), false)] {
            let stopped = Fixture::stopped(transport).await;
            let (client, server) = (stopped.client.clone(), stopped.server.clone());
            let serving = tokio::spawn(async move { server.serve().await });
            let (signal, signalled) = oneshot::channel::<()>();
            let connecting = tokio::spawn(async move {
                let signal = async { drop(signalled.await) };
                client.connect_until(signal, grace).await
            });
            let options = CallOptions::default();
            let call = stopped.client.call(RUN, Metadata::new(), options).await;
            let (sender, mut receiver) = call.expect("it opens");
            say(&sender, "echo open");
            assert_eq!(receiver.next_batch(&mut Vec::new()).await, Ok(1));
            signal.send(()).expect("the client waits for it");
            if finishes {
                done(&sender);
            }
            let outcome = read(&mut receiver).await.1;
            let expected = (!finishes).then_some(Code::Cancelled);
            assert_eq!(outcome.err().map(|status| status.code), expected);
            assert_eq!(connecting.await.expect("no panic"), Ok(()), "{grace:?}");
            serving.abort();
        }
    });
}

/// S4-37: the signal that asks a process to terminate, as a service would be given it.
#[cfg(unix)]
#[test]
fn s4_37_sigterm_stops_a_server_gracefully() {
    use tokio::signal::unix::{SignalKind, signal};

    for_each_transport(|transport| async move {
        let stopped = Fixture::stopped(transport).await;
        let (client, server) = (stopped.client.clone(), stopped.server.clone());
        let connecting = tokio::spawn(async move { client.connect().await });
        let mut terminate = signal(SignalKind::terminate()).expect("the system has signals");
        let serving = tokio::spawn(async move {
            let signal = async { terminate.recv().await.unwrap_or(()) };
            server.serve_until(signal, Some(HOUR)).await
        });
        let options = CallOptions::default();
        let call = stopped.client.call(RUN, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, "wait");
        stopped.control.started().await;
        // From here on the signal is caught, so it ends nothing but the server.
        let process = std::process::id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-TERM", &process])
            .status();
        assert!(kill.expect("there is a kill command").success());
        assert_eq!(stopped.control.next_cancel().await, CancelReason::Stopping);
        assert_eq!(read(&mut receiver).await, (vec![], Ok(())), "it finished");
        assert_eq!(serving.await.expect("no panic"), Ok(()));
        connecting.abort();
    });
}
