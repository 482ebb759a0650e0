//! What becomes of an answer that its client has no room for.

#[path = "hostile/frames.rs"]
#[allow(dead_code, reason = "the hostile peers need more of it")]
mod frames;

use std::time::Duration;

use bytes::Bytes;
use frames::{HEADERS, RST_STREAM, Raw, block, request, setting};
use headwater_http2::{Http2Server, Http2ServerConfig, ServerCounters};
use headwater_rpc::{Router, Server, ServerConfig};
use tokio::time::Instant;

const FLOOD: &str = "/t.T/Flood";
const SECOND: Duration = Duration::from_secs(1);
/// The setting of the first window of every stream (RFC 9113, 6.5.2).
const INITIAL_WINDOW: u16 = 4;

/// A server whose calls last a second, and one that sends what it can for so long.
async fn flooded() -> (Raw, ServerCounters) {
    frames::tick();
    let router = Router::new();
    router.stream(FLOOD, |call| async move {
        while call
            .sender
            .send(Bytes::from_static(&[7; 1000]))
            .await
            .is_ok()
        {}
    });
    let transport = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
    let transport = transport.expect("a free port on loopback");
    let (addr, counters) = (transport.local_addr(), transport.counters());
    let config = ServerConfig {
        timeout_max: Some(SECOND),
        ..ServerConfig::default()
    };
    let server = Server::new(transport, router, config);
    tokio::spawn(async move { server.serve().await });
    let mut raw = Raw::client(addr).await;
    raw.write(&setting(INITIAL_WINDOW, 0)).await.expect("open");
    (raw, counters)
}

/// A client that gives no window cannot hold a call beyond its time: its stream is reset.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_over_is_reset_where_no_window_lets_its_end_through() {
    let (mut raw, counters) = flooded().await;
    let began = Instant::now();
    let call = block(0, 1, &request(FLOOD));
    raw.write(&call).await.expect("open");
    assert_eq!(raw.next(HEADERS).await.stream, 1, "the answer begins");
    let reset = raw.next(RST_STREAM).await;
    assert_eq!(reset.stream, 1, "the call is over");
    assert!(began.elapsed() >= SECOND, "not before its deadline");
    while counters.streams() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(counters.connections(), 1, "its connection is as before");
}

/// A client that resets a stream for which it gives no window ends it at once.
#[tokio::test(start_paused = true)]
async fn a_stream_without_a_window_can_be_reset_by_its_client() {
    let (mut raw, counters) = flooded().await;
    raw.write(&block(0, 1, &request(FLOOD)))
        .await
        .expect("open");
    raw.next(HEADERS).await;
    let began = Instant::now();
    raw.write(&frames::reset(1, frames::CANCEL))
        .await
        .expect("open");
    while counters.streams() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() < SECOND, "before its deadline");
}
