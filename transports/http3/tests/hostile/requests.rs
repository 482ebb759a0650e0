//! Requests that are none: each is refused by itself, and its connection goes on.

use crate::support::{
    self, ECHO, raw, serve, unary,
    wire::{self, HEADERS, frame, line, message, request, section},
};
use headwater_http3::Http3ServerConfig;

const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// What a server does with a request of these bytes.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// A response with this status, in QPACK's one byte or two.
    Status(&'static [u8]),
    Reset(u64),
}

async fn outcome(client: &raw::RawClient, bytes: &[u8]) -> Outcome {
    let (mut send, mut recv) = client.send(bytes).await;
    let _ = send.finish();
    match raw::read(&mut recv).await {
        Err(code) => Outcome::Reset(code),
        Ok(answer) => {
            let known: [&[u8]; 4] = [b"405", b"415", b"431", b"200"];
            let holds = |text: &&&[u8]| {
                // In Huffman's code, or as it is.
                let coded: &[u8] = match **text {
                    b"405" => &[0x68, 0x0d],
                    b"415" => &[0x68, 0x2d],
                    b"431" => &[0x69, 0x90],
                    _ => return answer.contains(&0xd9),
                };
                answer.windows(2).any(|at| at == coded) || answer.windows(3).any(|at| at == **text)
            };
            let status = known.iter().find(holds);
            Outcome::Status(
                status
                    .copied()
                    .unwrap_or_else(|| panic!("no status: {answer:x?}")),
            )
        }
    }
}

fn head(lines: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, &section(lines))
}

#[tokio::test]
async fn what_is_no_call_is_refused_alone() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let client = raw::connect(&fixture).await;
    let pseudo = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", ECHO),
    ];
    let with = |more: &[(&str, &str)]| head(&[&pseudo[..], &GRPC, more].concat());
    let without = |missing: &str| {
        let lines = pseudo.iter().chain(&GRPC).copied();
        head(
            &lines
                .filter(|(name, _)| *name != missing)
                .collect::<Vec<_>>(),
        )
    };
    let cases: Vec<(&str, Vec<u8>, Outcome)> = vec![
        (
            "GET",
            head(&[&[(":method", "GET")], &pseudo[1..], &GRPC].concat()),
            Outcome::Status(b"405"),
        ),
        (
            "another content type",
            head(&pseudo),
            Outcome::Status(b"415"),
        ),
        ("no path", without(":path"), Outcome::Reset(0x10e)),
        ("no method", without(":method"), Outcome::Reset(0x10e)),
        ("no authority", without(":authority"), Outcome::Reset(0x10e)),
        (
            "a path twice",
            with(&[(":path", "/other")]),
            Outcome::Reset(0x10e),
        ),
        (
            "a response's header",
            with(&[(":status", "200")]),
            Outcome::Reset(0x10e),
        ),
        (
            "an unknown pseudo-header",
            with(&[(":what", "x")]),
            Outcome::Reset(0x10e),
        ),
        (
            "an upper-case name",
            with(&[("Name", "x")]),
            Outcome::Reset(0x10e),
        ),
        (
            "a line break",
            with(&[("name", "a\r\nb")]),
            Outcome::Reset(0x10e),
        ),
        (
            "connection",
            with(&[("connection", "close")]),
            Outcome::Reset(0x10e),
        ),
        (
            "transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
            Outcome::Reset(0x10e),
        ),
        (
            "te: gzip",
            head(&[&pseudo[..], &GRPC[..1], &[("te", "gzip")]].concat()),
            Outcome::Reset(0x10e),
        ),
        (
            "a length that is none",
            with(&[("content-length", "five")]),
            Outcome::Reset(0x10e),
        ),
        (
            "two lengths",
            with(&[("content-length", "5"), ("content-length", "6")]),
            Outcome::Reset(0x10e),
        ),
        (
            "headers too large",
            with(&[("name", &"x".repeat(17_000))]),
            Outcome::Status(b"431"),
        ),
        ("nothing", vec![], Outcome::Reset(0x10d)),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(outcome(&client, &bytes).await, expected, "{what}");
        assert_eq!(
            unary(&good, ECHO, what).await,
            Ok(what.into()),
            "beside {what}"
        );
    }
    let whole = [request(ECHO, &[]), message(b"x")].concat();
    let served = outcome(&client, &whole).await;
    assert_eq!(served, Outcome::Status(b"200"), "the connection goes on");
}

/// The length that is announced is the length that comes (RFC 9114, 4.1.2).
#[tokio::test]
async fn a_body_is_as_long_as_it_was_announced() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let client = raw::connect(&fixture).await;
    for (announced, good) in [("6", true), ("5", false), ("7", false)] {
        let bytes = [
            request(ECHO, &[("content-length", announced)]),
            message(b"x"),
        ];
        let (mut send, mut recv) = client.send(&bytes.concat()).await;
        let _ = send.finish();
        let answer = raw::read(&mut recv).await.expect("the call is answered");
        let echoed = answer.ends_with(b"x") || answer.windows(6).any(|at| at == b"\0\0\0\0\x01x");
        assert_eq!(echoed, good, "6 bytes, announced as {announced}");
    }
}

/// A header section of one byte a line would grow eightyfold, and one that is announced and does not come would be waited
/// for in memory.
#[tokio::test]
async fn oversize_sections_are_refused_before_they_grow() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let client = raw::connect(&fixture).await;
    // `accept: */*`, 16,000 times.
    let bomb = [&[0, 0][..], &[0xdd; 16_000]].concat();
    assert_eq!(
        outcome(&client, &frame(HEADERS, &bomb)).await,
        Outcome::Status(b"431")
    );
    let announced = [wire::varint(HEADERS), wire::varint(1 << 30), vec![0; 4096]].concat();
    let (send, mut recv) = client.send(&announced).await;
    let answer = raw::read(&mut recv).await;
    assert!(
        answer.is_ok(),
        "it is answered before it has come: {answer:?}"
    );
    assert_eq!(raw::stopped(&send).await, Some(0x100), "and told to stop");
    assert_eq!(unary(&good, ECHO, "good").await, Ok("good".into()));
}

/// What cannot be decoded ends the connection (RFC 9204, 2.2): the table of the next section would be in doubt.
#[tokio::test]
async fn sections_that_cannot_be_decoded_end_their_connection() {
    let fixture = serve(Http3ServerConfig::default()).await;
    let good = fixture.client();
    let dynamic = [0, 0, 0x80];
    let required = [5, 0, 0xd4];
    let cut = &line("name", "value")[..3];
    let huffman = [0, 0, 0x51, 0x84, 0xff, 0xff, 0xff, 0xff];
    let cases: [(&str, Vec<u8>); 5] = [
        ("nothing", vec![]),
        ("a dynamic line", dynamic.to_vec()),
        ("a required insertion", required.to_vec()),
        ("a line that is cut", [&[0, 0], cut].concat()),
        ("Huffman's EOS", huffman.to_vec()),
    ];
    for (what, section) in cases {
        let client = raw::connect(&fixture).await;
        let _ = client.send(&frame(HEADERS, &section)).await;
        assert_eq!(client.closed().await, 0x200, "{what}");
        assert_eq!(
            unary(&good, ECHO, what).await,
            Ok(what.into()),
            "beside {what}"
        );
    }
    support::until("its end", || fixture.counters.connections() == 1).await;
}
