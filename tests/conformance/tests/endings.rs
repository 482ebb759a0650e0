//! How calls end before their time: deadlines, cancels, stops; and how a slow reader holds its peer back.

use std::time::Duration;

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, RUN, WAIT, done, read, say},
    for_each_transport,
    time::{DEADLINE, overdue},
};
use headwater_rpc::{
    CallOptions, CancelReason, Code, Credit, EndedBy, Metadata, MethodConfig, SendError, Sender,
    ServerConfig, ServiceConfig, Status,
};
use tokio::{sync::oneshot, task::yield_now};

/// For what may come as early as it likes.
const SHORT: Duration = Duration::from_millis(30);

fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

fn limited() -> CallOptions {
    CallOptions {
        timeout: Some(DEADLINE),
        ..CallOptions::default()
    }
}

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let call = pair
            .client
            .unary(WAIT, Metadata::new(), Bytes::new(), limited());
        let answer = overdue(&pair, call).await;
        assert_eq!(code(&answer), Code::DeadlineExceeded);
        let reason = pair.control.next_cancel().await;
        // Whichever side's timer comes first, the handler hears of it.
        assert!(
            [CancelReason::Deadline, CancelReason::Peer].contains(&reason),
            "{reason:?}"
        );
    });
}

#[test]
fn a_deadline_ends_a_stream_that_is_flowing() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let call = pair.client.call(RUN, Metadata::new(), limited()).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, "echo first");
        let mut messages = Vec::new();
        receiver.next_batch(&mut messages).await.expect("the echo");
        say(&sender, "wait");
        let (rest, outcome) = overdue(&pair, read(&mut receiver)).await;
        messages.extend(rest);
        assert_eq!(messages, ["first"]);
        assert_eq!(code(&outcome), Code::DeadlineExceeded);
        assert_eq!(
            receiver.ended().map(|ended| ended.by),
            Some(EndedBy::Deadline)
        );
        pair.control.next_cancel().await;
    });
}

#[test]
fn a_deadline_fires_although_nobody_reads() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let call = pair.client.call(RUN, Metadata::new(), limited()).await;
        let (sender, receiver) = call.expect("it opens");
        say(&sender, "wait");
        overdue(&pair, sender.ended()).await;
        assert_eq!(
            receiver.ended().map(|ended| ended.by),
            Some(EndedBy::Deadline)
        );
        pair.control.next_cancel().await;
    });
}

/// A server with a bound of its own says so although the client gave none: the earlier of the two counts.
#[test]
fn the_servers_own_bound_ends_a_call() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            timeout_max: Some(DEADLINE),
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let answer = overdue(&pair, pair.unary(WAIT, "")).await;
        assert_eq!(code(&answer), Code::DeadlineExceeded);
        assert_eq!(pair.control.next_cancel().await, CancelReason::Deadline);
    });
}

/// A unary call whose message never comes ends all the same, and so does one whose handler hangs; a stream is not bounded.
#[test]
fn a_unary_call_is_bounded_in_time_and_a_stream_is_not() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            unary_timeout_max: Some(SHORT),
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let (stream, mut messages) = pair.call(RUN).await;
        say(&stream, "echo before");
        let mut batch = Vec::new();
        messages.next_batch(&mut batch).await.expect("the echo");
        let (_silent, mut answer) = pair.call(ECHO).await;
        assert_eq!(code(&read(&mut answer).await.1), Code::DeadlineExceeded);
        assert_eq!(code(&pair.unary(WAIT, "").await), Code::DeadlineExceeded);
        say(&stream, "echo after");
        done(&stream);
        let (rest, outcome) = read(&mut messages).await;
        assert_eq!((rest, outcome), (vec![Bytes::from("after")], Ok(())));
    });
}

/// S4-28: a client's cancel reaches the handler: by dropping the future of a unary call.
#[test]
fn s4_28_a_dropped_unary_call_reaches_the_handler() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let client = pair.client.clone();
        let calling = tokio::spawn(async move {
            let options = CallOptions::default();
            client
                .unary(WAIT, Metadata::new(), Bytes::new(), options)
                .await
        });
        pair.control.started().await;
        calling.abort();
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
    });
}

/// S4-28: by dropping both halves of a stream whose requests are still open, while the handler only waits.
#[test]
fn s4_28_dropped_halves_reach_a_handler_that_does_not_read() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, receiver) = pair.call(RUN).await;
        say(&sender, "echo x");
        say(&sender, "wait");
        pair.control.started().await;
        drop(receiver);
        drop(sender);
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
    });
}

/// S4-28: by [`headwater_rpc::Sender::cancel`], before anything came back, and after it; nobody reads the receiver.
#[test]
fn s4_28_a_cancel_reaches_the_handler_although_nobody_reads() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for (first, half_close) in [
            (None, false),
            (Some("echo x"), false),
            (Some("echo x"), true),
        ] {
            let (sender, mut receiver) = pair.call(RUN).await;
            if let Some(line) = first {
                say(&sender, line);
                receiver
                    .next_batch(&mut Vec::new())
                    .await
                    .expect("the echo");
            }
            say(&sender, "wait");
            if half_close {
                done(&sender);
            }
            pair.control.started().await;
            sender.cancel();
            assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
            let (_, outcome) = read(&mut receiver).await;
            assert_eq!(code(&outcome), Code::Cancelled, "on the client's side too");
        }
    });
}

/// S4-28: a cancel is never taken for the end of the requests.
#[test]
fn s4_28_a_cancelled_upload_is_not_committed() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "echo half of it");
        receiver
            .next_batch(&mut Vec::new())
            .await
            .expect("the echo");
        drop((sender, receiver));
        // `run` reports a cancel only if its reads failed; a clean end would answer OK and report nothing.
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
    });
}

/// S4-28 and S4-77: a client that is held back can still cancel.
#[test]
fn s4_28_a_blocked_client_can_cancel() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for answered in [false, true] {
            let (sender, mut receiver) = pair.call(RUN).await;
            if answered {
                say(&sender, "echo x");
                receiver
                    .next_batch(&mut Vec::new())
                    .await
                    .expect("the echo");
            }
            say(&sender, "wait");
            pair.control.started().await;
            fill(&pair, &sender).await;
            drop((sender, receiver));
            assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
        }
    });
}

/// Sends until nothing moves any more, and says how many bytes that took.
async fn fill(pair: &Fixture, sender: &Sender) -> usize {
    let chunk = Bytes::from(vec![0; 16 << 10]);
    let mut sent = 0;
    loop {
        match sender.try_send(chunk.clone()) {
            Ok(()) => sent += chunk.len(),
            Err(SendError::Blocked) => tokio::select! {
                biased;
                () = sender.writable() => {}
                () = settle(pair) => return sent,
            },
            Err(error) => panic!("{error}"),
        }
    }
}

/// Returns when whatever was under way on the connection has arrived: calls that began after it have been answered.
async fn settle(pair: &Fixture) {
    for _ in 0..20 {
        pair.unary(ECHO, "x").await.expect("other calls go on");
    }
}

/// S4-76: every transport takes a service config, in-process like the others, for deadlines and limits; `policies.rs` has
/// what it says about retries and hedging.
#[test]
fn s4_76_a_service_config_bounds_calls_by_method() {
    for_each_transport(|transport| async move {
        let slow = MethodConfig {
            timeout: Some(SHORT),
            ..MethodConfig::default()
        };
        let small = MethodConfig {
            response_message_bytes_max: Some(10),
            ..MethodConfig::default()
        };
        let methods = [(WAIT, slow), (ECHO, small)];
        let config = ServiceConfig {
            methods: methods.map(|(path, method)| (path.into(), method)).into(),
            ..ServiceConfig::default()
        };
        let pair = Fixture::with_service_config(transport, config).await;
        assert_eq!(code(&pair.unary(WAIT, "").await), Code::DeadlineExceeded);
        assert_eq!(
            pair.unary(ECHO, "ten bytes.").await,
            Ok(Bytes::from("ten bytes."))
        );
        let answer = pair.unary(ECHO, "eleven bytes").await;
        assert_eq!(code(&answer), Code::ResourceExhausted);
    });
}

/// S4-77: a handler that stops reading stops the client, with bounded memory, and reading on lets everything through.
#[test]
fn s4_77_a_handler_that_does_not_read_holds_the_client_back() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, _receiver) = pair.call(RUN).await;
        say(&sender, "stall");
        pair.control.started().await;
        let held = fill(&pair, &sender).await;
        // HTTP/2's window for one stream is 256 KiB here, and the two ends hold some more.
        assert!(
            held < 2 << 20,
            "{held} bytes were taken from a client that nobody reads"
        );
        // Another call on the same connection is not starved by it.
        assert_eq!(
            pair.unary(ECHO, &"x".repeat(300_000))
                .await
                .map(|m| m.len()),
            Ok(300_000)
        );
    });
}

/// S4-77: what was held back arrives, in full, when the handler reads on.
#[test]
fn s4_77_reading_on_lets_everything_through() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "stall");
        pair.control.started().await;
        say(&sender, "count");
        let held = fill(&pair, &sender).await;
        pair.control.go_on();
        sender.writable().await;
        sender
            .send(Bytes::from_static(b"last"))
            .await
            .expect("open");
        done(&sender);
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(outcome, Ok(()));
        let expected = format!("{} {}", held / (16 << 10) + 1, held + 4);
        assert_eq!(messages, [Bytes::from(expected)]);
    });
}

/// S4-77: a client that does not read stops the handler, with bounded memory; other calls go on.
#[test]
fn s4_77_a_client_that_does_not_read_holds_the_handler_back() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "flood 10000 1024");
        say(&sender, "ok");
        pair.control.started().await;
        settle(&pair).await;
        assert_eq!(
            pair.unary(ECHO, &"x".repeat(300_000))
                .await
                .map(|m| m.len()),
            Ok(300_000)
        );
        let held = pair
            .control
            .flooded()
            .last()
            .copied()
            .expect("it was blocked");
        assert!(
            held < 2048,
            "the handler got rid of {held} KiB that nobody read"
        );
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!((messages.len(), outcome), (10_000, Ok(())));
    });
}

#[test]
fn a_window_of_messages_blocks_before_one_of_bytes() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let options = CallOptions {
            send_window: Credit {
                messages: 3,
                bytes: 1 << 20,
            },
            ..CallOptions::default()
        };
        let call = pair.client.call(RUN, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        for _ in 0..3 {
            say(&sender, "echo m");
        }
        assert_eq!(sender.try_send(Bytes::new()), Err(SendError::Blocked));
        sender.writable().await;
        say(&sender, "ok");
        assert_eq!(read(&mut receiver).await.0.len(), 3);
    });
}

/// S4-71: calls before `connect` wait, then run; a second `connect` fails, and so does one after the stop.
#[test]
fn s4_71_calls_wait_for_connect_which_runs_once() {
    for_each_transport(|transport| async move {
        let pair = Fixture::stopped(transport).await;
        let client = pair.client.clone();
        let (began, begun) = oneshot::channel();
        let early = tokio::spawn(async move {
            began.send(()).expect("the test waits for it");
            let options = CallOptions::default();
            client
                .unary(ECHO, Metadata::new(), Bytes::from("early"), options)
                .await
        });
        begun.await.expect("the call began");
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!early.is_finished(), "nothing is connected yet");
        let pair = pair.start();
        assert_eq!(early.await.expect("no panic"), Ok(Bytes::from("early")));
        assert_eq!(code(&pair.client.connect().await), Code::FailedPrecondition);
        pair.client.begin_graceful_shutdown();
        let stopped = Fixture::stopped(transport).await;
        stopped.client.begin_graceful_shutdown();
        assert_eq!(
            code(&stopped.client.connect().await),
            Code::FailedPrecondition
        );
    });
}

/// S4-72: a graceful stop without a call returns at once; with one it waits for it; new calls fail.
#[test]
fn s4_72_a_graceful_stop_waits_for_open_calls() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        pair.unary(ECHO, "x").await.expect("it works");
        let (sender, mut receiver) = pair.call(RUN).await;
        pair.client.begin_graceful_shutdown();
        let refused = pair.unary(ECHO, "x").await;
        assert_eq!(code(&refused), Code::FailedPrecondition);
        say(&sender, "echo still here");
        receiver
            .next_batch(&mut Vec::new())
            .await
            .expect("the call goes on");
        assert!(!pair.connecting.is_finished(), "a call is open");
        done(&sender);
        read(&mut receiver).await.1.expect("OK");
        let connected = (&mut pair.connecting).await.expect("no panic");
        assert_eq!(connected, Ok(()));

        let mut idle = Fixture::new(transport).await;
        idle.unary(ECHO, "x").await.expect("it works");
        idle.client.begin_graceful_shutdown();
        assert_eq!((&mut idle.connecting).await.expect("no panic"), Ok(()));
    });
}

/// S4-73: after the server has stopped, a new call fails: in process as `FAILED_PRECONDITION`, over a network as
/// `UNAVAILABLE`, because there a server that has stopped and one that is away cannot be told apart.
#[test]
fn s4_73_a_stopped_server_refuses_new_calls() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        pair.unary(ECHO, "x").await.expect("it works");
        pair.server.begin_graceful_shutdown();
        assert_eq!((&mut pair.serving).await.expect("no panic"), Ok(()));
        assert_eq!(code(&pair.unary(ECHO, "x").await), transport.stopped);
    });
}

/// S4-74: `connect` dropped: both halves of every open call end as cancelled, on both sides.
#[test]
fn s4_74_dropping_connect_cancels_every_call() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (one, mut one_receiver) = pair.call(RUN).await;
        let (two, mut two_receiver) = pair.call(RUN).await;
        say(&one, "echo a");
        one_receiver
            .next_batch(&mut Vec::new())
            .await
            .expect("the echo");
        say(&one, "wait");
        say(&two, "wait");
        pair.control.started().await;
        pair.control.started().await;
        pair.connecting.abort();
        for (sender, receiver) in [(one, &mut one_receiver), (two, &mut two_receiver)] {
            let (_, outcome) = read(receiver).await;
            assert_eq!(code(&outcome), Code::Cancelled);
            assert_eq!(sender.try_send(Bytes::new()), Err(SendError::Ended));
            assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
        }
        let late = pair.unary(ECHO, "x").await;
        assert_eq!(code(&late), Code::FailedPrecondition);
    });
}

/// S4-75: a graceful stop of the server fires the cancel handles, and the handlers may still finish.
#[test]
fn s4_75_a_graceful_stop_tells_the_handlers() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "wait");
        pair.control.started().await;
        pair.server.begin_graceful_shutdown();
        assert_eq!(pair.control.next_cancel().await, CancelReason::Stopping);
        assert_eq!(read(&mut receiver).await, (vec![], Ok(())), "it finished");
        drop(sender);
        assert_eq!((&mut pair.serving).await.expect("no panic"), Ok(()));
    });
}

/// S4-75: also for a call that was accepted and whose handler has not begun.
#[test]
fn s4_75_a_call_not_yet_picked_up_is_told_too() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "wait");
        // On one thread, the handler of a call that has just been accepted has had no turn.
        while pair.server.open_calls() == 0 {
            yield_now().await;
        }
        pair.server.begin_graceful_shutdown();
        assert_eq!(pair.control.next_cancel().await, CancelReason::Stopping);
        assert_eq!(read(&mut receiver).await.1, Ok(()));
    });
}

/// S4-07: `serve` dropped: no client waits for ever, and the handlers are told.
#[test]
fn s4_07_dropping_serve_ends_every_call() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "echo a");
        receiver
            .next_batch(&mut Vec::new())
            .await
            .expect("the echo");
        say(&sender, "wait");
        pair.control.started().await;
        pair.serving.abort();
        assert_eq!(pair.control.next_cancel().await, CancelReason::Stopping);
        let (_, outcome) = read(&mut receiver).await;
        assert_eq!(code(&outcome), Code::Unavailable);
    });
}

#[test]
fn a_server_serves_once() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        pair.unary(ECHO, "x").await.expect("it works");
        assert_eq!(code(&pair.server.serve().await), Code::FailedPrecondition);
    });
}
