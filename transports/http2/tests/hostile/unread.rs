//! Toward our server: answers that nobody reads, of calls whose handlers have ended. In virtual time.

use std::time::Duration;

use headwater_http2::Http2ServerConfig;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    frames::{
        CANCEL, DATA, END_STREAM, HEADERS, RST_STREAM, Raw, block, frame, message, request,
        setting, tick, window_update,
    },
    target::{ECHO, Target},
};

/// How long an answer waits ([`headwater_rpc::ServerConfig::unread_timeout`]).
const UNREAD: Duration = Duration::from_secs(20);
/// What is asked and answered. This client does not hear how large the server's windows are.
const BYTES: usize = 20_000;

impl Raw {
    /// Makes these calls, and takes nothing of their answers.
    async fn calls_and_does_not_read(&mut self, streams: &[u32]) {
        let mut calls = setting(4, 0);
        for &stream in streams {
            calls.extend(block(0, stream, &request(ECHO)));
            // Less than a frame holds.
            let asked = message(&vec![b'x'; BYTES]);
            let (last, rest) = asked.split_last().expect("some bytes");
            for part in rest.chunks(16_000) {
                calls.extend(frame(DATA, 0, stream, part));
            }
            calls.extend(frame(DATA, END_STREAM, stream, &[*last]));
        }
        self.write(&calls).await.expect("it is open");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_read_are_given_up() {
    tick();
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let begun = Instant::now();
    raw.calls_and_does_not_read(&[1, 3]).await;
    // One of them is begun, and then no more of it is taken.
    raw.write(&window_update(3, 1000))
        .await
        .expect("it is open");
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let frame = timeout(2 * UNREAD, raw.next(RST_STREAM)).await;
        let frame = frame.expect("the server holds the answers for ever");
        assert_eq!(frame.error(), CANCEL);
        ended.push(frame.stream);
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    assert!(begun.elapsed() >= UNREAD, "each has its time");
    drop(raw);
    target.is_as_before("answers that are not read").await;
}

/// A server that stops without a bound does not wait for ever for such a client.
#[tokio::test(start_paused = true)]
async fn a_graceful_stop_does_not_wait_for_an_answer_that_is_not_read() {
    tick();
    let target = Target::start().await;
    let mut raw = target.raw().await;
    raw.calls_and_does_not_read(&[1]).await;
    raw.next(HEADERS).await;
    target.server.begin_graceful_shutdown();
    let rest = timeout(2 * UNREAD, raw.rest()).await;
    rest.expect("the connection ends");
}

/// A client that is slow, and reads, has all the time it needs.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_slowly_is_not_given_up() {
    tick();
    let target = Target::with(Http2ServerConfig {
        // This client answers pings only while it reads.
        keepalive_interval: Duration::from_secs(3600),
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = target.raw().await;
    raw.calls_and_does_not_read(&[1]).await;
    for _ in 0..4 {
        sleep(UNREAD * 3 / 4).await;
        raw.write(&window_update(1, 100)).await.expect("it is open");
        assert_eq!(
            raw.next(DATA).await.payload.len(),
            100,
            "what there is room for"
        );
    }
    let all = [window_update(1, 1 << 20), window_update(0, 1 << 20)].concat();
    raw.write(&all).await.expect("it is open");
    let mut got = 400;
    while got < BYTES + 5 {
        got += raw.next(DATA).await.payload.len();
    }
    raw.next(HEADERS).await;
}
