use alloc::{vec, vec::Vec};

use super::*;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// One frame of a client. `first` is its first byte: 0x80 for the last of a message, plus the opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ ..126 => out.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            out.push(0xfe);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0xff);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().enumerate().map(|(i, b)| b ^ MASK[i % 4]));
    out
}

fn decoder(message_bytes_max: usize) -> Decoder {
    Decoder::new(DecoderConfig { message_bytes_max })
}

/// All that `bytes` say when they come in pieces of this size, and what they end with.
fn decode_in(pieces_of: usize, bytes: &[u8]) -> (Vec<Incoming>, Option<u16>) {
    let mut decoder = decoder(1 << 20);
    let mut found = Vec::new();
    for piece in bytes.chunks(pieces_of) {
        decoder.push(piece);
        loop {
            match decoder.poll() {
                Ok(Some(incoming)) => found.push(incoming),
                Ok(None) => break,
                Err(violation) => return (found, Some(violation.close_code)),
            }
        }
    }
    (found, None)
}

/// The same, with short messages lent.
fn decode_lent(pieces_of: usize, bytes: &[u8]) -> (Vec<Incoming>, Option<u16>) {
    let mut decoder = decoder(1 << 20);
    let mut found = Vec::new();
    for piece in bytes.chunks(pieces_of) {
        decoder.push(piece);
        loop {
            let next = decoder.poll_short(|data| {
                found.push(Incoming::Message {
                    kind: MessageKind::Binary,
                    data: Bytes::copy_from_slice(data),
                });
            });
            match next {
                Ok(Some(incoming)) => found.push(incoming),
                Ok(None) => break,
                Err(violation) => return (found, Some(violation.close_code)),
            }
        }
    }
    (found, None)
}

/// The same, where the bytes lie.
fn decode_in_place(pieces_of: usize, bytes: &[u8]) -> (Vec<Incoming>, Option<u16>) {
    let mut decoder = decoder(1 << 20);
    let mut found = Vec::new();
    for piece in bytes.chunks(pieces_of) {
        decoder.push_short(&mut piece.to_vec(), |data| {
            found.push(Incoming::Message {
                kind: MessageKind::Binary,
                data: Bytes::copy_from_slice(data),
            });
        });
        loop {
            match decoder.poll() {
                Ok(Some(incoming)) => found.push(incoming),
                Ok(None) => break,
                Err(violation) => return (found, Some(violation.close_code)),
            }
        }
    }
    (found, None)
}

/// The same, and asserts that it does not matter how the bytes were cut, nor how the messages are taken.
fn decode(bytes: &[u8]) -> (Vec<Incoming>, Option<u16>) {
    let whole = decode_in(bytes.len().max(1), bytes);
    for size in [1, 2, 3, 5, 7, 64, 1000, bytes.len().max(1)] {
        assert_eq!(decode_in(size, bytes), whole, "in pieces of {size}");
        assert_eq!(decode_lent(size, bytes), whole, "lent, in pieces of {size}");
        assert_eq!(
            decode_in_place(size, bytes),
            whole,
            "in place, in pieces of {size}"
        );
    }
    whole
}

#[test]
fn short_binary_messages_are_lent_in_order_and_nothing_else_is() {
    let long = vec![9; SHARED_BYTES_MIN];
    let bytes = [
        frame(0x82, b"one"),
        frame(0x82, b""),
        frame(0x81, b"text"),
        frame(0x82, b"three"),
        frame(0x89, b"ping"),
        frame(0x82, &long),
        frame(0x82, b"four"),
    ]
    .concat();
    decode(&bytes);
    let mut decoder = decoder(1 << 20);
    decoder.push(&bytes);
    let mut lent = Vec::new();
    let mut given = 0;
    while let Ok(Some(_)) = decoder.poll_short(|data| lent.push(data.to_vec())) {
        given += 1;
    }
    assert_eq!(lent, [&b"one"[..], b"", b"three", b"four"]);
    assert_eq!(given, 3, "the text, the ping and the long one");
    assert!(decoder.is_idle(), "all was taken");
}

#[test]
fn what_a_server_sends_has_no_mask() {
    let config = DecoderConfig::default();
    let mut bytes = Vec::new();
    crate::websocket::encode_message(MessageKind::Text, b"Hello", &mut bytes);
    let mut decoder = Decoder::of_server(config);
    decoder.push(&bytes);
    assert_eq!(decoder.poll(), Ok(Some(text("Hello"))));
    decoder.push(&frame(0x81, b"Hello"));
    let refused = decoder.poll().expect_err("it is masked");
    assert_eq!(refused.close_code, 1002);
}

fn text(text: &str) -> Incoming {
    Incoming::Message {
        kind: MessageKind::Text,
        data: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn binary(data: &[u8]) -> Incoming {
    Incoming::Message {
        kind: MessageKind::Binary,
        data: Bytes::copy_from_slice(data),
    }
}

#[test]
fn messages_of_all_lengths_come_out_as_they_went_in() {
    for len in [0, 1, 7, 125, 126, 127, 5000, 65_535, 65_536, 200_000] {
        let payload: Vec<u8> = (0..len).map(|i| (i * 31) as u8).collect();
        let mut bytes = frame(0x82, &payload);
        bytes.extend(frame(0x81, b"after"));
        let expected = vec![binary(&payload), text("after")];
        assert!(decode(&bytes) == (expected, None), "payload of {len} bytes");
    }
}

#[test]
fn control_frames_come_between_fragments() {
    let mut bytes = frame(0x01, b"Hel");
    bytes.extend(frame(0x89, b"ping"));
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x8a, b""));
    bytes.extend(frame(0x80, b"lo"));
    let expected = vec![
        Incoming::Ping(Bytes::from_static(b"ping")),
        Incoming::Pong(Bytes::new()),
        text("Hello"),
    ];
    assert_eq!(decode(&bytes), (expected, None));
}

#[test]
fn a_character_may_be_cut_by_fragments() {
    let euro = "€".as_bytes();
    let mut bytes = frame(0x01, &euro[..1]);
    bytes.extend(frame(0x00, &euro[1..2]));
    bytes.extend(frame(0x80, &euro[2..]));
    assert_eq!(decode(&bytes), (vec![text("€")], None));
}

#[test]
fn nothing_after_a_close_frame_counts() {
    let mut bytes = frame(0x88, b"\x03\xe8bye");
    bytes.extend(frame(0x81, b"more"));
    bytes.extend([0xff; 9]);
    let close = Incoming::Close {
        code: Some(1000),
        reason: "bye".into(),
    };
    assert_eq!(decode(&bytes), (vec![close], None));
    let silent = Incoming::Close {
        code: None,
        reason: String::new(),
    };
    assert_eq!(decode(&frame(0x88, b"")), (vec![silent], None));
}

#[test]
fn what_the_protocol_forbids_is_refused_with_its_close_code() {
    let two = |a: Vec<u8>, b: Vec<u8>| [a, b].concat();
    for (what, bytes, code) in [
        ("a reserved bit", frame(0xc1, b"x"), 1002),
        ("a reserved data opcode", frame(0x83, b""), 1002),
        ("a reserved control opcode", frame(0x8b, b""), 1002),
        ("no mask", vec![0x81, 0x01, b'x'], 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("a long ping", frame(0x89, &[0; 126]), 1002),
        ("a wasteful 16-bit length", vec![0x82, 0xfe, 0, 125], 1002),
        (
            "a wasteful 64-bit length",
            vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            1002,
        ),
        (
            "a length of 64 bits",
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0],
            1002,
        ),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        (
            "a message within a message",
            two(frame(0x01, b"x"), frame(0x81, b"y")),
            1002,
        ),
        ("half a close code", frame(0x88, b"\x03"), 1002),
        ("close code 1005", frame(0x88, b"\x03\xed"), 1002),
        (
            "a close reason not UTF-8",
            frame(0x88, b"\x03\xe8\xff"),
            1007,
        ),
        ("text not UTF-8", frame(0x81, b"a\xff"), 1007),
        ("text with half a character", frame(0x81, b"a\xc3"), 1007),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
        (
            "half a character at the end of fragments",
            two(frame(0x01, b"a\xc3"), frame(0x80, b"")),
            1007,
        ),
    ] {
        assert_eq!(decode(&bytes), (vec![], Some(code)), "{what}");
    }
}

#[test]
fn text_that_cannot_become_utf8_is_refused_before_its_frame_ends() {
    let mut decoder = decoder(1 << 20);
    decoder.push(&frame(0x01, b"good "));
    decoder.push(&frame(0x80, b"\xf4\x90\x80\x80 never seen")[..8]);
    assert_eq!(decoder.poll(), Err(Violation::NOT_UTF8));
    assert_eq!(decoder.poll(), Err(Violation::NOT_UTF8), "it stays refused");
}

#[test]
fn a_message_too_long_is_refused_by_its_header() {
    let mut exact = decoder(1000);
    exact.push(&frame(0x82, &[1; 1000]));
    assert_eq!(exact.poll(), Ok(Some(binary(&[1; 1000]))));

    let mut one_more = decoder(1000);
    one_more.push(&frame(0x82, &[1; 1001])[..8]);
    assert_eq!(one_more.poll(), Err(Violation::TOO_LONG));

    let mut fragments = decoder(1000);
    fragments.push(&frame(0x02, &[1; 600]));
    assert_eq!(fragments.poll(), Ok(None));
    fragments.push(&frame(0x80, &[1; 401])[..8]);
    assert_eq!(fragments.poll(), Err(Violation::TOO_LONG));

    let mut huge = decoder(usize::MAX);
    huge.push(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(huge.poll(), Ok(None), "the mask is missing");
    huge.push(&[0; 4]);
    assert_eq!(huge.poll(), Ok(None), "a promise takes no memory");
}

#[test]
fn nothing_is_held_between_messages() {
    let mut decoder = decoder(1 << 20);
    let mut bytes = frame(0x81, b"one");
    bytes.extend(frame(0x82, &[7; 5000]));
    for piece in bytes.chunks(1000) {
        decoder.push(piece);
        while decoder.poll().unwrap().is_some() {}
    }
    assert!(decoder.is_idle());
    assert_eq!(decoder.buffer.capacity(), 0);
    decoder.push(&frame(0x81, b"two")[..4]);
    assert_eq!(decoder.poll(), Ok(None));
    assert!(!decoder.is_idle());
    assert!(
        decoder.buffer.capacity() <= 8,
        "the start of a frame is held alone"
    );
}

#[test]
fn a_partial_message_takes_at_most_twice_what_has_come() {
    let mut decoder = decoder(1 << 20);
    decoder.push(&frame(0x82, &vec![7; 1 << 20])[..14]);
    assert_eq!(decoder.poll(), Ok(None));
    let mut sent = 0;
    for size in [1, 10, 1000, 3, 50_000, 7, 200_000] {
        sent += size;
        decoder.push(&vec![0; size]);
        assert_eq!(decoder.poll(), Ok(None));
        let held = decoder.partial.as_ref().unwrap().capacity();
        assert!(held <= 2 * sent, "{held} bytes held after {sent} sent");
    }
}

/// Where the payloads of these frames lie, pushed at once, one after the other.
fn addresses(frames: &[Vec<u8>]) -> Vec<usize> {
    let mut decoder = decoder(1 << 20);
    decoder.push(&frames.concat());
    let mut payloads = Vec::new();
    while let Some(incoming) = decoder.poll().unwrap() {
        let Incoming::Message { data, .. } = incoming else {
            panic!("a message");
        };
        payloads.push(data);
    }
    payloads.iter().map(|data| data.as_ptr() as usize).collect()
}

#[test]
fn long_payloads_of_one_turn_share_its_buffer() {
    let long = frame(0x82, &[7; SHARED_BYTES_MIN]);
    let [one, two] = addresses(&[long.clone(), long])[..] else {
        panic!("two messages");
    };
    assert_eq!(
        two - one,
        SHARED_BYTES_MIN + 8,
        "one payload and one header on"
    );
}

#[test]
fn short_payloads_hold_only_themselves() {
    let long = frame(0x82, &[7; SHARED_BYTES_MIN]);
    let short = frame(0x82, &[7; 100]);
    // In the middle of a turn, and at its end.
    let [one, two, three] = addresses(&[long, short.clone(), short])[..] else {
        panic!("three messages");
    };
    let turn = one..one + SHARED_BYTES_MIN + 8 + 2 * 106;
    assert!(
        !turn.contains(&two),
        "the second lies in the buffer of the turn"
    );
    assert!(
        !turn.contains(&three),
        "the third lies in the buffer of the turn"
    );
}
