//! Toward our server: too much of something. The connection ends, or the flood is taken without holding anything of it,
//! and everyone else is served on.

use std::{sync::atomic::Ordering, time::Duration};

use headwater_http2::Http2ServerConfig;

use crate::{
    frames::{
        CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
        PING, REFUSED_STREAM, RST_STREAM, Raw, SETTINGS, block, frame, literal, request, reset,
        setting, tick, window_update,
    },
    target::{DEAF, FLOOD, HANG, NONE, Target, WAIT, eventually},
};

/// The flood ends its own connection, with this in words.
async fn ends_its_connection(name: &str, flood: Vec<u8>, debug: &str) {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    // A server that hangs up in the middle has had enough.
    let _ = raw.write(&flood).await;
    target.good.is_served(name).await;
    let end = tokio::time::timeout(HANG, raw.next(GOAWAY)).await;
    let end = end.unwrap_or_else(|_| panic!("{name}: the connection goes on"));
    assert_eq!(end.error(), ENHANCE_YOUR_CALM, "{name}");
    assert_eq!(end.debug_data(), debug, "{name}");
    target.is_as_before(name).await;
}

/// The flood is answered or ignored: after it, calls on the same connection are served, and nothing was kept.
async fn is_endured(name: &str, flood: Vec<u8>) {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    for round in 0..20 {
        raw.write(&flood).await.expect("it is open");
        target.good.is_served(name).await;
        raw.is_served(round * 2 + 3, name).await;
    }
    drop(raw);
    target.is_as_before(name).await;
}

/// CVE-2023-44487.
#[tokio::test]
async fn rapid_reset() {
    let resets = (0..500).flat_map(|index| {
        let stream = 2 * index + 1;
        [block(0, stream, &request(WAIT)), reset(stream, CANCEL)].concat()
    });
    ends_its_connection("rapid reset", resets.collect(), "too_many_resets").await;
}

/// Rapid reset once more, of streams that have reached their handlers: as many run as streams may be open, and the others are
/// refused until these have ended.
#[tokio::test]
async fn accepted_streams_that_are_reset_bound_their_handlers() {
    let target = Target::with(Http2ServerConfig {
        concurrent_streams_max: 8,
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = target.raw().await;
    for round in 0..10 {
        let streams = || (8 * round..8 * (round + 1)).map(|index| 2 * index + 1);
        let opened: Vec<u8> = streams()
            .flat_map(|stream| block(0, stream, &request(DEAF)))
            .collect();
        raw.write(&opened).await.expect("it is open");
        if round > 0 {
            for _ in streams() {
                let refused = raw.next(RST_STREAM).await;
                assert_eq!(refused.error(), REFUSED_STREAM, "the handlers still run");
            }
        } else {
            eventually(
                || target.deaf.load(Ordering::SeqCst) == 8,
                || format!("{} handlers run", target.deaf.load(Ordering::SeqCst)),
            )
            .await;
            let resets: Vec<u8> = streams().flat_map(|stream| reset(stream, CANCEL)).collect();
            raw.write(&resets).await.expect("it is open");
            raw.synchronise().await;
        }
        let running = target.deaf.load(Ordering::SeqCst);
        assert_eq!(running, 8, "as many as streams");
        target.good.is_served("while another resets").await;
    }
    target.deaf_end.close();
    eventually(
        || target.deaf.load(Ordering::SeqCst) == 0,
        || "a handler does not end".to_owned(),
    )
    .await;
    raw.is_served(1001, "when the handlers have ended").await;
    drop(raw);
    target.is_as_before("resets of accepted streams").await;
}

/// CVE-2025-8671: the client has the server reset its streams.
#[tokio::test]
async fn made_you_reset() {
    let streams = (0..3000).flat_map(|index| {
        let stream = 2 * index + 1;
        // A window that overflows is an error of its stream.
        let too_much = window_update(stream, u32::MAX >> 1);
        [block(0, stream, &request(WAIT)), too_much].concat()
    });
    let debug = "too_many_internal_resets";
    ends_its_connection("made you reset", streams.collect(), debug).await;
}

/// CVE-2024-27316 and its kin.
#[tokio::test]
async fn a_header_block_without_an_end() {
    let mut endless = frame(HEADERS, 0, 1, &request(WAIT));
    endless.extend(frame(CONTINUATION, 0, 1, &[]).repeat(5000));
    ends_its_connection("empty continuations", endless, "too_many_continuations").await;
}

#[tokio::test]
async fn a_header_block_without_an_end_and_with_bytes() {
    let mut endless = frame(HEADERS, 0, 1, &request(WAIT));
    let ballast = crate::frames::ballast(1000);
    endless.extend(frame(CONTINUATION, 0, 1, &ballast).repeat(5000));
    let name = "continuations";
    ends_its_connection(name, endless, "too_many_continuations").await;
}

/// A small block that refers to a large header again and again.
fn bomb(times: usize) -> Vec<u8> {
    let mut bomb = request(WAIT);
    // A literal with indexing (RFC 7541, 6.2.1), and then nothing but its index.
    let mut header = literal("ballast", &"b".repeat(120));
    header[0] = 0x40;
    bomb.extend(header);
    bomb.extend([0x80 | 62].repeat(times));
    frame(HEADERS, END_HEADERS, 1, &bomb)
}

/// CVE-2016-6581.
#[tokio::test]
async fn a_header_block_that_grows_far_over_the_limit_when_it_is_read() {
    ends_its_connection("the bomb", bomb(15_000), "header_list_way_too_large").await;
}

#[tokio::test]
async fn a_header_block_that_grows_over_the_limit_when_it_is_read() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    raw.write(&bomb(150)).await.expect("it is open");
    assert_eq!(raw.next(HEADERS).await.stream, 1, "it is refused");
    raw.is_served(3, "after the bomb").await;
    target.good.is_served("after the bomb").await;
    drop(raw);
    target.is_as_before("the bomb").await;
}

/// CVE-2019-9518.
#[tokio::test]
async fn empty_data() {
    let mut empty = block(0, 1, &request(WAIT));
    empty.extend(frame(DATA, 0, 1, &[]).repeat(5000));
    ends_its_connection("empty data", empty, "too_many_data_frames").await;
}

/// S4-65: too many pings are answered with what makes gRPC's clients ask less often.
#[tokio::test]
async fn s4_65_a_flood_of_pings() {
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(5000);
    ends_its_connection("pings", pings, "too_many_pings").await;
}

/// The last frame stands between two others, also when the client did not read and half a frame was written.
#[tokio::test]
async fn a_flood_of_pings_while_a_frame_is_half_written() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let mut start = [setting(4, 1 << 30), window_update(0, 1 << 30)].concat();
    start.extend(block(0, 1, &request(FLOOD)));
    raw.write(&start).await.expect("it is open");
    // Nothing is read until the server can write no more: its handler stands still.
    raw.next(DATA).await;
    for _ in 0..50 {
        target.good.is_served("while another does not read").await;
    }
    raw.write(&frame(PING, 0, 0, &[0; 8]).repeat(10))
        .await
        .expect("it is open");
    target.good.is_served("while another pings").await;
    let rest = tokio::time::timeout(HANG, raw.rest()).await;
    let rest = rest.expect("the connection ends");
    let end = rest.last().expect("frames");
    assert_eq!(end.kind, GOAWAY, "the last whole frame");
    assert_eq!(end.debug_data(), "too_many_pings");
    assert_eq!(end.last_stream(), 1, "what was served");
    drop(raw);
    target.is_as_before("pings amid data").await;
}

#[tokio::test]
async fn a_flood_of_settings() {
    let settings = frame(SETTINGS, 0, 0, &[]).repeat(5000);
    ends_its_connection("settings", settings, "too_many_settings").await;
}

#[tokio::test]
async fn a_flood_of_ping_answers_to_nobodys_ping() {
    let answers = frame(PING, 1, 0, &[7; 8]).repeat(5000);
    is_endured("ping answers", answers).await;
}

#[tokio::test]
async fn a_flood_of_priorities_and_frames_that_nobody_knows() {
    let priority = frame(2, 0, 1, &[0, 0, 0, 3, 0]);
    let unknown = frame(99, 0xFF, 0, &[1, 2, 3]);
    let both = [priority, unknown].concat();
    is_endured("priorities", both.repeat(2000)).await;
}

#[tokio::test]
async fn a_flood_of_small_window_updates() {
    is_endured("window updates", window_update(0, 1).repeat(5000)).await;
}

/// Requests without an end as fast as they can be written, and never a read: no more streams than are allowed are kept.
/// Paused time runs on while everybody waits.
#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_by_a_client_that_does_not_read() {
    tick();
    let target = Target::with(Http2ServerConfig {
        concurrent_streams_max: 50,
        ..Http2ServerConfig::default()
    })
    .await;
    let mut raw = target.raw().await;
    let requests = |from: u32| -> Vec<u8> {
        let streams = (from..from + 200).map(|index| block(0, 2 * index + 1, &request(WAIT)));
        streams.flatten().collect()
    };
    for round in 0..20 {
        let requests = requests(200 * round);
        let written = raw.write(&requests);
        // A server that has had enough has hung up, or reads no more.
        let written = tokio::time::timeout(Duration::from_millis(100), written).await;
        target.good.is_served("while another floods").await;
        let streams = target.counters.streams();
        assert!(streams <= 51, "{streams} streams are open");
        if !matches!(written, Ok(Ok(()))) {
            break;
        }
    }
    drop(raw);
    target.is_as_before("a flood of requests").await;
}

/// Unary calls that end at once, answers included: nothing is left of them.
#[tokio::test]
async fn a_flood_of_calls_to_nobody() {
    let target = Target::start().await;
    let mut raw = target.raw().await;
    let calls = (0..1000).map(|index| block(END_STREAM, 2 * index + 1, &request(NONE)));
    let calls: Vec<u8> = calls.flatten().collect();
    raw.write(&calls).await.expect("it is open");
    target.good.is_served("while another floods").await;
    eventually(
        || target.counters.streams() == 0,
        || "streams are left".to_owned(),
    )
    .await;
    drop(raw);
    target.is_as_before("calls to nobody").await;
}

impl Raw {
    /// Makes sure that what was written has been read.
    pub(crate) async fn synchronise(&mut self) {
        self.write(&frame(PING, 0, 0, &[9; 8]))
            .await
            .expect("it is open");
        while self.next(PING).await.payload != [9; 8] {}
    }
}
