//! How a handler learns that it works for nobody.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{RUN, WAIT, done, read, say},
    for_each_transport,
    time::{DEADLINE, pass},
};
use headwater_rpc::{
    CallOptions, CancelReason, Code, Metadata, Receiver, SendError, Sender, ServerConfig, Status,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

use crate::support::code;

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
            timeout_max: Some(DEADLINE),
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let (_sender, mut receiver) = waiting(&pair).await;
        pass(DEADLINE).await;
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
