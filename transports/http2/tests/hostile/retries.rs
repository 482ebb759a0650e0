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

/// What a call comes to, on a client that retries no failure, against a server whose first connection follows the
/// script, and how often it was sent again.
async fn check(script: Script, expected: Result<Bytes, Code>, retries: u64) {
    let (client, _script_ended) = client_of(script).await;
    let options = CallOptions {
        execution: Some(ExecutionPolicy::TRANSPARENT),
        timeout: Some(HANG),
        ..CallOptions::default()
    };
    let call = client.unary("/t.T/X", Metadata::new(), Bytes::new(), options);
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
