//! S4-54 over HTTP/2: what no handler has seen is sent again, and nothing else.

use bytes::Bytes;
use headwater_rpc::{CallOptions, Code, ExecutionPolicy, Metadata};

use crate::{
    frames::{
        DATA, END_STREAM, HEADERS, NO_ERROR, REFUSED_STREAM, Raw, block, frame, go_away, literal,
        message, reset, response,
    },
    servers::{HANG, Script, client_of},
};

const RETRIED_ONCE: u64 = 1;
const NOT_RETRIED: u64 = 0;

const REQUEST: Bytes = Bytes::from_static(b"request");

/// What a unary call without any policy comes to, against a server whose first connection follows the script, and how
/// often it was sent again.
async fn check(script: Script, expected: Result<Bytes, Code>, retries: u64) {
    let (client, _script_ended) = client_of(script).await;
    let options = CallOptions {
        timeout: Some(HANG),
        ..CallOptions::default()
    };
    let call = client.unary("/t.T/X", Metadata::new(), REQUEST, options);
    let outcome = call.await.map_err(|status| status.code);
    assert_eq!(outcome, expected);
    assert_eq!(client.retry_counters().transparent_retries, retries);
}

/// The answer of a handler: one message, and OK.
fn answer(stream: u32) -> Vec<u8> {
    let mut bytes = block(0, stream, &response());
    bytes.extend(frame(DATA, 0, stream, &message(&[3])));
    bytes.extend(block(END_STREAM, stream, &literal("grpc-status", "0")));
    bytes
}

async fn write(raw: &mut Raw, bytes: Vec<u8>) {
    raw.write(&bytes).await.expect("the client is there");
}

#[tokio::test]
async fn s4_54_a_refused_stream_is_sent_again_on_the_same_connection() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            write(&mut raw, reset(1, REFUSED_STREAM)).await;
            let again = raw.next(HEADERS).await.stream;
            assert_eq!(again, 3, "a new stream");
            let data = raw.next(DATA).await;
            let sent = (data.stream, data.flags & END_STREAM, data.payload);
            assert_eq!(sent, (3, END_STREAM, message(&REQUEST)), "all of it");
            write(&mut raw, answer(again)).await;
            raw.rest().await.len()
        })
    };
    check(script, Ok(Bytes::from_static(&[3])), RETRIED_ONCE).await;
}

#[tokio::test]
async fn s4_54_a_stream_that_is_refused_twice_has_failed() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            write(&mut raw, reset(1, REFUSED_STREAM)).await;
            let again = raw.next(HEADERS).await.stream;
            write(&mut raw, reset(again, REFUSED_STREAM)).await;
            raw.rest().await.len()
        })
    };
    check(script, Err(Code::Unavailable), RETRIED_ONCE).await;
}

/// The next connection takes it.
#[tokio::test]
async fn s4_54_a_stream_above_go_away_is_sent_again_on_another_connection() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            write(&mut raw, go_away(0, NO_ERROR)).await;
            raw.rest().await.len()
        })
    };
    check(script, Ok(Bytes::from_static(&[1])), RETRIED_ONCE).await;
}

/// A handler may have seen it.
#[tokio::test]
async fn s4_54_a_stream_that_go_away_spares_is_not_sent_again() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            write(&mut raw, go_away(1, NO_ERROR)).await;
            0
        })
    };
    check(script, Err(Code::Unavailable), NOT_RETRIED).await;
}

/// Nor is one that was answered, whatever its reset says.
#[tokio::test]
async fn s4_54_a_stream_that_is_refused_after_its_headers_is_not_sent_again() {
    let script: Script = |mut raw| {
        Box::pin(async move {
            let mut bytes = block(0, 1, &response());
            bytes.extend(reset(1, REFUSED_STREAM));
            write(&mut raw, bytes).await;
            raw.rest().await.len()
        })
    };
    check(script, Err(Code::Unavailable), NOT_RETRIED).await;
}

/// A call whose requests come one by one keeps none of them, unless its policy says so.
#[tokio::test]
async fn s4_54_a_stream_of_requests_is_sent_again_by_its_policy_alone() {
    let cases = [
        (None, Err(Code::Unavailable)),
        (
            Some(ExecutionPolicy::TRANSPARENT),
            Ok(vec![Bytes::from_static(&[3])]),
        ),
    ];
    for (execution, expected) in cases {
        let script: Script = |mut raw| {
            Box::pin(async move {
                write(&mut raw, reset(1, REFUSED_STREAM)).await;
                let again = raw.next(HEADERS).await.stream;
                write(&mut raw, answer(again)).await;
                raw.rest().await.len()
            })
        };
        let (client, _script_ended) = client_of(script).await;
        let options = CallOptions {
            timeout: Some(HANG),
            execution,
            ..CallOptions::default()
        };
        let call = client.call("/t.T/X", Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        // The stream may have been refused by now.
        let _ = sender.try_send(REQUEST);
        let mut messages = Vec::new();
        let outcome = receiver.next_batch(&mut messages).await;
        let outcome = outcome.map(|_| messages);
        assert_eq!(outcome.map_err(|error| error.status.code), expected);
    }
}
