//! The WebSocket codec against tungstenite: where one accepts, both do, and both find the same.
//!
//! What may differ is listed in [`agree`], and nothing else.

use headwater_fuzz::{
    corpus,
    oracle::{End, Reading, Sender, ours, ours_lent, tungstenite},
    runner,
    stream::{Stream, frames, noise},
};
use headwater_proto::websocket::{
    Incoming, MessageKind, Violation, begin_message, encode_close, encode_message, encode_ping,
    encode_pong, finish_message, mask_frame,
};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};

/// Small, so that generated messages exceed it often; and large, so that all three forms of a length are accepted.
const MESSAGE_BYTES_MAX: [usize; 2] = [300, 100_000];

/// Compares what was made of the same bytes.
fn agree(of: Sender, bytes: &[u8], message_bytes_max: usize) -> Result<(), TestCaseError> {
    let ours = ours(of, [bytes], message_bytes_max);
    prop_assert_eq!(&ours_lent(of, bytes, message_bytes_max), &ours);
    let mut theirs = tungstenite(of, bytes, message_bytes_max);
    if theirs.end == End::Open && ours.end != End::Open {
        // Difference 1: we refuse as soon as it is clear that no continuation can be accepted: by the first two bytes
        // of a header, by a length, by text that is wrong in the middle of a frame. tungstenite waits for the whole
        // frame. So it gets a whole frame: whatever comes now, it must refuse as well.
        let longer = [bytes, &vec![0; message_bytes_max + 14]].concat();
        theirs = tungstenite(of, &longer, message_bytes_max);
    }
    let End::Refused(violation) = ours.end else {
        let theirs = allowing_1014(&ours, theirs);
        prop_assert_eq!(format!("{:?}", ours.end), format!("{:?}", theirs.end));
        prop_assert_eq!(ours.found, theirs.found);
        return Ok(());
    };
    if is_wasteful(violation, &ours.found, &theirs.found) {
        // Difference 2: RFC 6455, section 5.2, demands the shortest form, and browsers do too; tungstenite takes any.
        prop_assert!(theirs.found.starts_with(&ours.found));
        return Ok(());
    }
    if violation.reason == "a close code that must not be sent" && theirs.end == End::Closed {
        // Difference 3: tungstenite answers such a code with 1002 by itself and reports a close frame of that code.
        let protocol = Incoming::Close {
            code: Some(violation.close_code),
            reason: "Protocol violation".into(),
        };
        prop_assert_eq!(theirs.found.pop(), Some(protocol));
        prop_assert_eq!(ours.found, theirs.found);
        return Ok(());
    }
    prop_assert_eq!(&ours.found, &theirs.found);
    let End::Refused(code) = theirs.end else {
        return Err(TestCaseError::fail(format!(
            "only we refuse: {violation:?}, {theirs:?}"
        )));
    };
    prop_assert!(same_fault(violation, code), "{violation:?} and {code}");
    Ok(())
}

/// Whether a length was refused that takes more bytes than it needs; in a control frame no long form is ever allowed.
fn is_wasteful(violation: Violation, ours: &[Incoming], theirs: &[Incoming]) -> bool {
    match violation.reason {
        "a length takes the fewest bytes" => true,
        "a control frame has at most 125 bytes" => theirs
            .get(ours.len())
            .is_some_and(|next| !matches!(next, Incoming::Message { .. })),
        _ => false,
    }
}

/// Difference 4: 1014, bad gateway, is in the registry since 2017; tungstenite does not know it.
fn allowing_1014(ours: &Reading<Violation>, mut theirs: Reading<u16>) -> Reading<u16> {
    if let Some(
        close @ Incoming::Close {
            code: Some(1014), ..
        },
    ) = ours.found.last()
    {
        theirs.found.pop();
        theirs.found.push(close.clone());
    }
    theirs
}

/// Difference 5: a frame with several faults is refused for the first that is looked at. tungstenite looks at its
/// length first and at the text of a close reason before the code; we look at the flags first, and at no content of a
/// control frame with a long form of a length.
fn same_fault(violation: Violation, theirs: u16) -> bool {
    match violation.close_code {
        1002 if violation.reason == "a close code that must not be sent" => theirs != 1009,
        1002 if violation.reason == "a control frame has at most 125 bytes" => true,
        1002 => theirs == 1002 || theirs == 1009,
        ours => ours == theirs,
    }
}

/// Whatever the pieces, the same comes out.
fn pieces_do_not_matter(
    of: Sender,
    stream: &Stream,
    message_bytes_max: usize,
) -> Result<(), TestCaseError> {
    let whole = ours(of, [&stream.bytes[..]], message_bytes_max);
    let pieces = ours(of, stream.pieces(), message_bytes_max);
    prop_assert_eq!(&pieces, &whole);
    let bytes = ours(of, stream.bytes.chunks(1), message_bytes_max);
    prop_assert_eq!(&bytes, &whole);
    Ok(())
}

fn check(of: Sender, stream: &Stream) -> Result<(), TestCaseError> {
    for max in MESSAGE_BYTES_MAX {
        agree(of, &stream.bytes, max)?;
        pieces_do_not_matter(of, stream, max)?;
    }
    Ok(())
}

/// Runs [`check`] on generated streams.
fn fuzz(test: &str, of: Sender, cases: u32, streams: impl Strategy<Value = Stream>) {
    let result = runner(test, cases).run(&streams, |stream| check(of, &stream));
    // "minimal failing input" is what goes to the corpus.
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_corpus_is_read_as_tungstenite_reads_it() {
    for (file, bytes) in corpus::read("websocket") {
        for max in MESSAGE_BYTES_MAX {
            agree(Sender::Client, &bytes, max).unwrap_or_else(|error| panic!("{file}: {error}"));
            let whole = ours(Sender::Client, [&bytes[..]], max);
            for size in 1..bytes.len() {
                assert_eq!(
                    ours(Sender::Client, bytes.chunks(size), max),
                    whole,
                    "{file} in pieces of {size}"
                );
            }
        }
    }
}

#[test]
fn frames_are_read_as_tungstenite_reads_them() {
    fuzz("frames", Sender::Client, 4000, frames(Sender::Client));
}

#[test]
fn frames_of_a_server_are_read_as_tungstenite_reads_them() {
    fuzz(
        "server frames",
        Sender::Server,
        4000,
        frames(Sender::Server),
    );
}

#[test]
fn noise_is_read_as_tungstenite_reads_it() {
    fuzz("noise", Sender::Client, 8000, noise());
}

/// The generator must reach what the comparison is about: otherwise the tests above prove little.
#[test]
fn generated_frames_reach_messages_and_every_kind_of_end() {
    let mut reached = std::collections::BTreeMap::<String, u32>::new();
    let counted = std::cell::RefCell::new(&mut reached);
    runner("reach", 2000)
        .run(&frames(Sender::Client), |stream| {
            let reading = ours(Sender::Client, [&stream.bytes[..]], MESSAGE_BYTES_MAX[0]);
            let end = match reading.end {
                End::Open => "open".to_owned(),
                End::Closed => "closed".to_owned(),
                End::Refused(violation) => violation.reason.to_owned(),
            };
            let mut counted = counted.borrow_mut();
            *counted.entry(end).or_default() += 1;
            *counted.entry("found".to_owned()).or_default() += reading.found.len() as u32;
            Ok(())
        })
        .unwrap();
    println!("{reached:#?}");
    assert!(reached["found"] > 2000, "too few messages: {reached:?}");
    assert!(reached.len() >= 15, "too few kinds of end: {reached:?}");
}

/// What a server says, for the round trip.
#[derive(Debug, Clone)]
enum Said {
    Message(MessageKind, Vec<u8>),
    LaterMessage(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn said() -> impl Strategy<Value = Said> {
    let text = "[ -~äß€中😀]{0,200}".prop_map(|text| (MessageKind::Text, text.into_bytes()));
    let binary = prop_oneof![0..300_usize, 65_530..65_540_usize]
        .prop_map(|len| (MessageKind::Binary, (0..len).map(|i| i as u8).collect()));
    let message = prop_oneof![text, binary];
    prop_oneof![
        4 => (message, any::<bool>()).prop_map(|((kind, data), later)| match later {
            true => Said::LaterMessage(kind, data),
            false => Said::Message(kind, data),
        }),
        1 => vec(any::<u8>(), 0..=125).prop_map(Said::Ping),
        1 => vec(any::<u8>(), 0..=125).prop_map(Said::Pong),
    ]
}

fn encode(said: &Said, out: &mut Vec<u8>) -> Incoming {
    match said {
        Said::Message(kind, data) => encode_message(*kind, data, out),
        Said::LaterMessage(kind, data) => {
            let mark = begin_message(out);
            out.extend(data);
            finish_message(*kind, mark, out);
        }
        Said::Ping(payload) => encode_ping(payload, out),
        Said::Pong(payload) => encode_pong(payload, out),
    }
    match said.clone() {
        Said::Message(kind, data) | Said::LaterMessage(kind, data) => Incoming::Message {
            kind,
            data: data.into(),
        },
        Said::Ping(payload) => Incoming::Ping(payload.into()),
        Said::Pong(payload) => Incoming::Pong(payload.into()),
    }
}

/// As a server writes it, and with a mask as a client does.
#[test]
fn what_we_write_is_read_by_tungstenite() {
    let valid_code = prop_oneof![1000..=1003_u16, 1007..=1013_u16, 3000..=4999_u16];
    let close = (valid_code, "[ -~€]{0,200}");
    let key = prop_oneof![Just(None), any::<[u8; 4]>().prop_map(Some)];
    let strategy = (vec(said(), 0..10), close, key);
    runner("round trip", 2000)
        .run(&strategy, |(said, (code, reason), key)| {
            let mut out = Vec::new();
            let mut frame = |write: &mut dyn FnMut(&mut Vec<u8>)| {
                let start = out.len();
                write(&mut out);
                if let Some(key) = key {
                    mask_frame(start, key, &mut out);
                }
            };
            let mut expected = Vec::new();
            for said in &said {
                frame(&mut |out| expected.push(encode(said, out)));
            }
            frame(&mut |out| encode_close(code, &reason, out));
            let reason = reason[..reason.floor_char_boundary(123)].to_owned();
            expected.push(Incoming::Close {
                code: Some(code),
                reason,
            });
            let of = match key {
                Some(_) => Sender::Client,
                None => Sender::Server,
            };
            let reading = tungstenite(of, &out, 1 << 20);
            prop_assert_eq!(reading.found, expected);
            prop_assert_eq!(reading.end, End::Closed);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
