//! Policies over a transport that does what a script says: faults that a real one has seldom.

mod again;
mod scripted;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_rpc::{
    CallOptions, Client, Code, Codes, ExecutionPolicy, Frame, Metadata, MethodConfig, Reached,
    RetryPolicy, RetryThrottling, SendError, ServiceConfig, Status, Trailers,
};
use scripted::{Scripted, Step, success, unavailable};
use tokio::{sync::watch, time::Instant};

const PATH: &str = "/a.B/C";

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Retries `UNAVAILABLE`, after 100 ms to 1 s.
fn retrying(attempts_max: u32) -> MethodConfig {
    let policy = RetryPolicy {
        attempts_max,
        initial_backoff: ms(100),
        max_backoff: ms(1000),
        backoff_multiplier: 2.0,
        retryable_status_codes: Codes::from([Code::Unavailable]),
    };
    MethodConfig {
        execution: Some(ExecutionPolicy::Retry(policy)),
        ..MethodConfig::default()
    }
}

fn config(method: MethodConfig) -> ServiceConfig {
    ServiceConfig {
        methods: [("".into(), method)].into(),
        ..ServiceConfig::default()
    }
}

async fn call(client: &Client, timeout: Option<Duration>) -> Result<Bytes, Code> {
    let options = CallOptions {
        timeout,
        ..CallOptions::default()
    };
    let answer = client.unary(PATH, Metadata::new(), Bytes::new(), options);
    answer.await.map_err(|status| status.code)
}

/// S4-54: what never left the client is tried again until it succeeds, and counts neither as attempt nor as failure.
#[tokio::test(start_paused = true)]
async fn s4_54_what_never_left_is_tried_again_until_it_succeeds() {
    let lost = (0..100).map(|_| Step::Gone(Reached::Nothing));
    let transport = Scripted::new(lost.chain([unavailable(), success()]));
    let throttled = ServiceConfig {
        // One failure leaves 2.0 of 3: were any of the others counted, nothing would be left to retry with.
        retry_throttling: Some(RetryThrottling {
            tokens_max: 3,
            token_ratio_thousandths: 1,
        }),
        ..config(retrying(2))
    };
    let client = transport.client(throttled);
    assert_eq!(call(&client, None).await, Ok(Bytes::from("answer")));
    let previous = transport.previous();
    assert_eq!(previous.len(), 102);
    assert!(previous[..101].iter().all(Option::is_none), "{previous:?}");
    assert_eq!(previous[101].as_deref(), Some("1"));
    let counters = client.retry_counters();
    let counted = (
        counters.transparent_retries,
        counters.retries,
        counters.failures,
    );
    assert_eq!(counted, (100, 1, 1));
}

/// S4-54: until the deadline, which is the whole call's.
#[tokio::test(start_paused = true)]
async fn s4_54_what_never_left_ends_with_the_deadline() {
    let lost = (0..100_000).map(|_| Step::Gone(Reached::Nothing));
    let transport = Scripted::new(lost);
    let client = transport.client(config(retrying(2)));
    let begun = Instant::now();
    let outcome = call(&client, Some(ms(5000))).await;
    assert_eq!(outcome, Err(Code::DeadlineExceeded));
    assert_eq!(begun.elapsed(), ms(5000));
    let opened = transport.opened().len();
    assert!((5..50).contains(&opened), "{opened} attempts in 5 s");
}

/// S4-54: what reached the server's library and no handler is tried again once, at once; then the policy says.
#[tokio::test(start_paused = true)]
async fn s4_54_what_no_handler_saw_is_tried_again_once() {
    let refused = || Step::Gone(Reached::Library);
    let transport = Scripted::new([refused(), success()]);
    let client = transport.client(config(retrying(2)));
    let begun = Instant::now();
    assert_eq!(call(&client, None).await, Ok(Bytes::from("answer")));
    assert_eq!(begun.elapsed(), Duration::ZERO, "at once");
    assert_eq!(transport.previous(), [None, None]);

    let transport = Scripted::new([refused(), refused(), refused(), success()]);
    let client = transport.client(config(retrying(2)));
    assert_eq!(call(&client, None).await, Err(Code::Unavailable));
    assert_eq!(transport.previous(), [None, None, Some("1".to_owned())]);
    let counters = client.retry_counters();
    assert_eq!((counters.transparent_retries, counters.retries), (1, 1));
}

/// S4-54: also where no failure is worth another attempt.
#[tokio::test(start_paused = true)]
async fn s4_54_transparent_retries_need_no_other() {
    let method = || MethodConfig {
        execution: Some(ExecutionPolicy::TRANSPARENT),
        ..MethodConfig::default()
    };
    let steps = [
        Step::Gone(Reached::Nothing),
        Step::Gone(Reached::Library),
        success(),
    ];
    let client = Scripted::new(steps).client(config(method()));
    assert_eq!(call(&client, None).await, Ok(Bytes::from("answer")));
    let transport = Scripted::new([unavailable(), success()]);
    let client = transport.client(config(method()));
    assert_eq!(call(&client, None).await, Err(Code::Unavailable));
    assert_eq!(transport.opened().len(), 1);
}

/// S4-54: a handler may have seen it: only the policy says.
#[tokio::test(start_paused = true)]
async fn s4_54_what_a_handler_may_have_seen_is_the_policys() {
    let transport = Scripted::new([Step::Gone(Reached::Handler), success()]);
    let client = transport.client(config(MethodConfig::default()));
    assert_eq!(call(&client, None).await, Err(Code::Unavailable));
    let transport = Scripted::new([Step::Gone(Reached::Handler), success()]);
    let client = transport.client(config(retrying(2)));
    assert_eq!(call(&client, None).await, Ok(Bytes::from("answer")));
    assert_eq!(client.retry_counters().transparent_retries, 0);
}

/// S4-42: each attempt is given what is left of the call's time.
#[tokio::test(start_paused = true)]
async fn s4_42_attempts_are_given_the_time_that_is_left() {
    let pushed = |wait: &str| {
        let mut trailers = Trailers::failed(Status::new(Code::Unavailable, "busy"));
        let added = trailers.metadata.append("grpc-retry-pushback-ms", wait);
        added.expect("valid metadata");
        Step::Answer(vec![Frame::end(trailers)])
    };
    let transport = Scripted::new([pushed("300"), pushed("200"), success()]);
    let client = transport.client(config(retrying(3)));
    let outcome = call(&client, Some(ms(1000))).await;
    assert_eq!(outcome, Ok(Bytes::from("answer")));
    let opened = transport.opened();
    let given: Vec<_> = opened
        .iter()
        .filter_map(|headers| headers.timeout)
        .collect();
    assert_eq!(given, [ms(1000), ms(700), ms(500)]);
}

/// S4-44: whether a call waits for a connection is told to the transport: the options say, else the method, else it does
/// not.
#[tokio::test]
async fn s4_44_the_transport_is_told_whether_to_wait() {
    let cases = [
        (None, None, false),
        (None, Some(true), true),
        (Some(false), Some(true), false),
        (Some(true), Some(false), true),
        (Some(true), None, true),
    ];
    for (own, configured, expected) in cases {
        let transport = Scripted::new([success()]);
        let client = transport.client(config(MethodConfig {
            wait_for_ready: configured,
            ..MethodConfig::default()
        }));
        let options = CallOptions {
            wait_for_ready: own,
            ..CallOptions::default()
        };
        let answer = client.unary(PATH, Metadata::new(), Bytes::new(), options);
        answer.await.expect("it succeeds");
        let told = transport.opened().first().map(|it| it.wait_for_ready);
        assert_eq!(told, Some(expected), "{own:?} {configured:?}");
    }
}

/// S4-44: a transport that has no stream for now fails the call at once, or the attempt, where there is a policy.
#[tokio::test(start_paused = true)]
async fn s4_44_a_stream_that_is_not_opened_fails_the_attempt() {
    let steps = || [Step::Refuse(Code::Unavailable), success()];
    let client = Scripted::new(steps()).client(ServiceConfig::default());
    assert_eq!(call(&client, None).await, Err(Code::Unavailable));
    let client = Scripted::new(steps()).client(config(retrying(2)));
    assert_eq!(call(&client, None).await, Ok(Bytes::from("answer")));
    let closing = [Step::Refuse(Code::FailedPrecondition), success()];
    let client = Scripted::new(closing).client(config(retrying(2)));
    assert_eq!(call(&client, None).await, Err(Code::FailedPrecondition));
}

/// S4-57: the configuration that the transport brings comes before the client's own, changes while it runs, and makes way
/// again when it is empty.
#[tokio::test(start_paused = true)]
async fn s4_57_the_transport_brings_a_config() {
    let (brings, brought_by_transport) = watch::channel(Arc::default());
    let mut transport = Scripted::default();
    transport.config = Some(brought_by_transport);
    let client = transport.client(config(retrying(2)));
    let makes = async |expected: usize| {
        let before = transport.opened().len();
        transport.then((0..expected).map(|_| unavailable()));
        assert_eq!(call(&client, None).await, Err(Code::Unavailable));
        assert_eq!(transport.opened().len() - before, expected);
    };
    makes(2).await;
    brings.send_replace(Arc::new(config(retrying(4))));
    makes(4).await;
    brings.send_replace(Arc::new(config(retrying(3))));
    makes(3).await;
    client.set_service_config(config(retrying(5)));
    makes(3).await;
    brings.send_replace(Arc::default());
    makes(5).await;
}

/// A server that reads no more does not stop the application, whether or not the call is committed by then.
#[tokio::test(start_paused = true)]
async fn what_a_server_does_not_read_does_not_block() {
    let transport = Scripted::new([Step::Discard]);
    let client = transport.client(config(retrying(2)));
    let call = client.call(PATH, Metadata::new(), CallOptions::default());
    let (sender, _receiver) = call.await.expect("it opens");
    for _ in 0..1000 {
        let sent = sender.send(Bytes::from(vec![0; 10_000]));
        let sent = tokio::time::timeout(ms(100), sent).await;
        assert_eq!(sent, Ok(Ok(())));
    }
    sender.cancel();
    assert_eq!(sender.try_send(Bytes::new()), Err(SendError::Ended));
}

/// What is kept for the next attempt was taken by no transport, as far as a sender can know; also not once the call is
/// committed, for nobody knows how much had gone before.
#[tokio::test(start_paused = true)]
async fn of_a_call_that_may_be_repeated_no_message_counts_as_taken() {
    let transport = Scripted::new([Step::Later(ms(10), Step::Silence.into())]);
    let client = transport.client(config(retrying(2)));
    let halves = client.call(PATH, Metadata::new(), CallOptions::default());
    let (sender, _receiver) = halves.await.expect("a call");
    sender.try_send("x".into()).expect("room");
    tokio::time::sleep(ms(1000)).await;
    let sent: usize = transport.sent().iter().map(Vec::len).sum();
    assert!(sent > 0, "the attempt has read it");
    assert_eq!(sender.taken_messages(), 0);
    let waited = tokio::time::timeout(ms(1000), sender.taken_beyond(0)).await;
    assert!(waited.is_err(), "it waits for the end of the call");
}

/// S4-55: an attempt that fails just as the buffer is full is followed by one more, which is the last: all that was sent is
/// still there, and nothing that follows will be.
#[tokio::test(start_paused = true)]
async fn s4_55_the_attempt_after_a_full_buffer_is_the_last() {
    let transport = Scripted::new([
        Step::ReadAndGone(Reached::Handler),
        unavailable(),
        success(),
    ]);
    let client = transport.client(config(retrying(5)));
    let options = CallOptions {
        retry_buffer_bytes_max: Some(10),
        ..CallOptions::default()
    };
    let request = Bytes::from_static(&[0; 100]);
    let answer = client.unary(PATH, Metadata::new(), request, options);
    let outcome = answer.await.map_err(|status| status.code);
    assert_eq!(outcome, Err(Code::Unavailable));
    assert_eq!(transport.opened().len(), 2);
    assert_eq!(client.retry_counters().buffer_full, 1);
}

/// S4-55: an attempt to which the call is committed before its stream is there goes on when it is, to its end.
#[tokio::test(start_paused = true)]
async fn s4_55_a_call_may_be_committed_before_its_stream_is_open() {
    let slow = || Step::Later(ms(1000), success().into());
    let refused = || Step::Later(ms(1000), Step::Refuse(Code::Unavailable).into());
    let cases = [
        (slow(), Ok(Bytes::from("answer"))),
        (refused(), Err(Code::Unavailable)),
    ];
    for (second, expected) in cases {
        let transport = Scripted::new([Step::ReadAndGone(Reached::Handler), second, success()]);
        let client = transport.client(config(retrying(5)));
        let options = CallOptions {
            retry_buffer_bytes_max: Some(10),
            ..CallOptions::default()
        };
        let request = Bytes::from_static(&[7; 100]);
        let answer = client.unary(PATH, Metadata::new(), request.clone(), options);
        let outcome = answer.await.map_err(|status| status.code);
        assert_eq!(outcome, expected);
        assert_eq!(transport.opened().len(), 2);
        let sent = transport.sent();
        let whole = vec![Frame::Message(request), Frame::end(Trailers::ok())];
        assert!(sent.iter().all(|frames| *frames == whole), "{sent:?}");
        assert_eq!(sent.len(), if expected.is_ok() { 2 } else { 1 });
    }
}

/// S4-56: a call that is cancelled is counted as well, with what it came to.
#[tokio::test(start_paused = true)]
async fn s4_56_a_cancelled_call_is_counted() {
    let transport = Scripted::new([unavailable(), Step::Silence]);
    let client = transport.client(config(retrying(3)));
    let outcome = call(&client, Some(ms(500))).await;
    assert_eq!(outcome, Err(Code::DeadlineExceeded));
    while client.retry_counters().calls == 0 {
        tokio::task::yield_now().await;
    }
    let counters = client.retry_counters();
    let counted = (counters.calls, counters.retries, counters.failures);
    assert_eq!(counted, (1, 1, 1));
}
