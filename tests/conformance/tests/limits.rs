//! Bounds of size and of time, on both sides and in both directions.

use std::time::Duration;

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    CallOptions, CancelReason, Client, Code, EndedBy, Metadata, MethodConfig, Receiver, Router,
    SendError, Sender, Server, ServerConfig, ServiceConfig, Status,
};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

async fn open(pair: &Fixture, options: CallOptions) -> (Sender, Receiver) {
    let call = pair.client.call(RUN, Metadata::new(), options).await;
    call.unwrap_or_else(|error| panic!("the call could not be opened: {error}"))
}

async fn unary(pair: &Fixture, bytes: usize, options: CallOptions) -> Result<Bytes, Status> {
    let request = Bytes::from(vec![b'x'; bytes]);
    pair.client
        .unary(ECHO, Metadata::new(), request, options)
        .await
}

/// S4-43: each of the four limits, at it and one byte above it. 0 lets only empty messages through.
#[test]
fn s4_43_each_limit_takes_what_is_at_it_and_refuses_one_byte_more() {
    for_each_transport(|transport| async move {
        for limit in [0, 1000] {
            let free = usize::MAX;
            // Of the client's requests: sent, taken. Of the server's responses: sent, taken.
            for limits in [
                [limit, free, free, free],
                [free, limit, free, free],
                [free, free, limit, free],
                [free, free, free, limit],
            ] {
                let [client_sends, server_takes, server_sends, client_takes] = limits;
                let config = ServerConfig {
                    receive_message_bytes_max: server_takes,
                    send_message_bytes_max: server_sends,
                    ..ServerConfig::default()
                };
                let pair = Fixture::with_config(transport, config).await;
                let options = CallOptions {
                    send_message_bytes_max: Some(client_sends),
                    receive_message_bytes_max: Some(client_takes),
                    ..CallOptions::default()
                };
                let answer = unary(&pair, limit, options.clone()).await;
                assert_eq!(answer.map(|m| m.len()), Ok(limit), "at it: {limits:?}");
                let answer = unary(&pair, limit + 1, options).await;
                assert_eq!(code(&answer), Code::ResourceExhausted, "{limits:?}");
                let other = pair.unary(ECHO, "").await;
                assert_eq!(other, Ok(Bytes::new()), "other calls go on: {limits:?}");
            }
        }
    });
}

/// S4-43: the sender hears at once of a message that is too large, and its stream goes on; one that is received ends it.
#[test]
fn s4_43_a_stream_ends_by_the_limit_of_the_side_that_receives() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            receive_message_bytes_max: 100,
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let options = CallOptions {
            send_message_bytes_max: Some(200),
            ..CallOptions::default()
        };
        let (sender, mut receiver) = open(&pair, options).await;
        let refused = sender.try_send(Bytes::from(vec![b'x'; 201]));
        assert_eq!(refused, Err(SendError::TooLarge));
        say(&sender, "echo before");
        let mut batch = Vec::new();
        receiver.next_batch(&mut batch).await.expect("the echo");
        say(&sender, "x".repeat(101));
        let (_, outcome) = read(&mut receiver).await;
        assert_eq!(code(&outcome), Code::ResourceExhausted);
        let by = receiver.ended().map(|ended| ended.by);
        assert_eq!(by, Some(EndedBy::Status), "the server says so");
        assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
    });
}

/// S4-43: the status is that of the limit also where an answer was given that has not left yet.
#[test]
fn s4_43_an_answer_that_has_not_left_hides_no_limit() {
    for_each_transport(|transport| async move {
        let config = ServerConfig {
            receive_message_bytes_max: 100,
            ..ServerConfig::default()
        };
        let pair = Fixture::with_config(transport, config).await;
        let (sender, mut receiver) = open(&pair, CallOptions::default()).await;
        // The server finds both in one read.
        say(&sender, "echo before");
        say(&sender, "x".repeat(101));
        let (_, outcome) = read(&mut receiver).await;
        assert_eq!(code(&outcome), Code::ResourceExhausted);
    });
}

/// S4-42: the server hears of the client's deadline (`grpc-timeout`), and the handler can see it.
#[test]
fn s4_42_the_handler_sees_the_clients_deadline() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        for (timeout, least) in [
            (None, None),
            (Some(MINUTE), Some(1)),
            (Some(100 * MINUTE), Some(60_001)),
        ] {
            let options = CallOptions {
                timeout,
                ..CallOptions::default()
            };
            let (sender, mut receiver) = open(&pair, options).await;
            say(&sender, "deadline");
            done(&sender);
            let (messages, outcome) = read(&mut receiver).await;
            assert_eq!(outcome, Ok(()));
            let said = String::from_utf8_lossy(&messages[0]).into_owned();
            let left = said.parse().ok().map(Duration::from_millis);
            assert_eq!(
                left.is_some(),
                timeout.is_some(),
                "{timeout:?} came as {said}"
            );
            assert!(left <= timeout, "{timeout:?} came as {said}");
            let least = least.map(Duration::from_millis);
            assert!(left >= least, "{timeout:?} came as {said}");
        }
    });
}

/// S4-42: the earliest bound counts, whoever set it, and the call ends as `DEADLINE_EXCEEDED`.
#[test]
fn s4_42_the_earliest_of_all_bounds_counts() {
    let short = Some(Duration::from_millis(30));
    let long = Some(100 * MINUTE);
    for_each_transport(|transport| async move {
        // By the call, by the client's configuration, by the server's.
        for (own, configured, server) in [
            (short, long, long),
            (long, short, long),
            (long, long, short),
            (None, None, short),
        ] {
            let case = format!("{own:?}, {configured:?}, {server:?}");
            let method = MethodConfig {
                timeout: configured,
                ..MethodConfig::default()
            };
            let methods = ServiceConfig {
                methods: [(WAIT.into(), method)].into(),
                ..ServiceConfig::default()
            };
            let config = ServerConfig {
                timeout_max: server,
                unary_timeout_max: None,
                ..ServerConfig::default()
            };
            let pair = Fixture::with_configs(transport, config, methods).await;
            let options = CallOptions {
                timeout: own,
                ..CallOptions::default()
            };
            let call = pair
                .client
                .unary(WAIT, Metadata::new(), Bytes::new(), options);
            assert_eq!(code(&call.await), Code::DeadlineExceeded, "{case}");
        }
    });
}

/// S4-42, on a virtual clock: exactly at the deadline, on the client and on the server, and not before.
#[tokio::test(start_paused = true)]
async fn s4_42_a_deadline_comes_when_it_is_due() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let router = Router::new();
    router.stream(RUN, move |call| {
        let tell = tell.clone();
        async move {
            let call = call;
            let due = call.cancellation.deadline();
            let reason = call.cancellation.cancelled().await;
            let _ = tell.send((due, reason, Instant::now()));
        }
    });
    let (client, server) = headwater_in_process::pair();
    let client = Client::new(client);
    let server = Server::new(server, router, ServerConfig::default());
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    tokio::spawn(async move { server.serve().await });

    for millis in [1, 250, 3_600_000] {
        let timeout = Duration::from_millis(millis);
        let began = Instant::now();
        let options = CallOptions {
            timeout: Some(timeout),
            ..CallOptions::default()
        };
        let call = client.call(RUN, Metadata::new(), options).await;
        let (_sender, mut receiver) = call.expect("it opens");
        let (_, outcome) = read(&mut receiver).await;
        assert_eq!(code(&outcome), Code::DeadlineExceeded);
        assert_eq!(began.elapsed(), timeout, "on the client");
        let (due, reason, at) = told.recv().await.expect("the handler tells");
        assert_eq!(due, Some(began + timeout), "what the handler sees");
        assert_eq!(at, began + timeout, "when it hears: {reason:?}");
    }
}
