//! What is left when calls, clients and servers end gracefully.

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_rpc::{CallOptions, CancelReason, Code, IncomingCall, Metadata, Shape};
use tokio::{sync::mpsc, task::yield_now};

use crate::support::{bytes, code, none_open};

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
