//! Streams of bytes that a client or a server might send: mostly valid frames, with faults.

use std::fmt;

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{corpus, oracle::Sender};

/// One frame, valid or not.
#[derive(Debug, Clone)]
struct Frame {
    first: u8,
    masked: bool,
    mask: [u8; 4],
    payload: Vec<u8>,
    /// How many bytes the length takes at least: 0, 2 or 8.
    length_bytes_min: usize,
}

impl Frame {
    fn append(&self, out: &mut Vec<u8>) {
        out.push(self.first);
        let mask_bit = u8::from(self.masked) << 7;
        let len = self.payload.len();
        match self.length_bytes_min {
            0 if len < 126 => out.push(mask_bit | len as u8),
            0 | 2 if len < 0x1_0000 => {
                out.push(mask_bit | 126);
                out.extend((len as u16).to_be_bytes());
            }
            _ => {
                out.push(mask_bit | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        if self.masked {
            out.extend(self.mask);
        }
        let mask = if self.masked { self.mask } else { [0; 4] };
        out.extend(
            self.payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(b, m)| b ^ m),
        );
    }
}

/// The bytes of a peer, and where they are cut. `Debug` gives the bytes as the corpus has them.
#[derive(Clone)]
pub struct Stream {
    /// All of them.
    pub bytes: Vec<u8>,
    cuts: Vec<Index>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&corpus::format(&self.bytes))
    }
}

impl Stream {
    /// The bytes in pieces.
    pub fn pieces(&self) -> Vec<&[u8]> {
        let len = self.bytes.len();
        let mut cuts: Vec<_> = self.cuts.iter().map(|cut| cut.index(len + 1)).collect();
        cuts.extend([0, len]);
        cuts.sort_unstable();
        cuts.windows(2)
            .map(|ends| &self.bytes[ends[0]..ends[1]])
            .collect()
    }
}

/// Anything at all, which rarely gets past the first frame.
pub fn noise() -> impl Strategy<Value = Stream> {
    (vec(any::<u8>(), 0..64), vec(any::<Index>(), 0..4))
        .prop_map(|(bytes, cuts)| Stream { bytes, cuts })
}

/// Frames, of which most are valid and in an order that makes sense; and sometimes bytes that are changed afterwards.
pub fn frames(of: Sender) -> impl Strategy<Value = Stream> {
    let changes = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((any::<Index>(), any::<u8>()), 1..3),
    ];
    (
        vec(message(), 0..8),
        changes,
        vec(any::<Index>(), 0..8),
        any::<Index>(),
        0..4,
    )
        .prop_map(move |(messages, changes, cuts, end, whole)| {
            let mut bytes = Vec::new();
            for mut frame in messages.into_iter().flatten() {
                frame.masked ^= of == Sender::Server;
                frame.append(&mut bytes);
            }
            for (at, byte) in changes {
                let len = bytes.len();
                if len > 0 {
                    bytes[at.index(len)] = byte;
                }
            }
            if whole == 0 {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            Stream { bytes, cuts }
        })
}

/// The frames of one message, with control frames between; or one stray frame.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    prop_oneof![
        6 => (1..3_u8, payload(), vec(any::<Index>(), 0..4), vec(control(), 0..3), framing())
            .prop_map(|(opcode, payload, cuts, controls, framing)| fragments(opcode, &payload, cuts, controls, framing)),
        2 => control().prop_map(|frame| vec![frame]),
        1 => stray().prop_map(|frame| vec![frame]),
    ]
}

type Framing = ([u8; 4], usize);

fn framing() -> impl Strategy<Value = Framing> {
    let length_bytes_min = prop_oneof![60 => Just(0_usize), 1 => Just(2), 1 => Just(8)];
    (any::<[u8; 4]>(), length_bytes_min)
}

fn fragments(
    opcode: u8,
    payload: &[u8],
    cuts: Vec<Index>,
    mut controls: Vec<Frame>,
    (mask, length_bytes_min): Framing,
) -> Vec<Frame> {
    let whole = Stream {
        bytes: payload.to_vec(),
        cuts,
    };
    let pieces = whole.pieces();
    let last = pieces.len() - 1;
    let mut frames = Vec::new();
    for (i, piece) in pieces.into_iter().enumerate() {
        let opcode = if i == 0 { opcode } else { 0 };
        let fin = if i == last { 0x80 } else { 0 };
        frames.push(Frame {
            first: fin | opcode,
            masked: true,
            mask,
            payload: piece.to_vec(),
            length_bytes_min,
        });
        if i != last {
            frames.extend(controls.pop());
        }
    }
    frames
}

/// Text, broken text, or bytes; around the lengths at which the header changes, too.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![6 => 0..40_usize, 2 => 120..130_usize, 2 => 290..310_usize, 1 => 65_530..65_540_usize];
    prop_oneof![
        4 => "[ -~äß€中😀]{0,30}".prop_map(String::into_bytes),
        2 => (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        1 => ("[ -~€😀]{0,20}", any::<Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
            let mut bytes = text.into_bytes();
            bytes.insert(at.index(bytes.len() + 1), byte);
            bytes
        }),
        1 => vec(any::<u8>(), 0..40),
    ]
}

/// A ping, a pong, or seldom a close frame.
fn control() -> impl Strategy<Value = Frame> {
    let close = (0..5000_u16, "[a-z€]{0,10}").prop_map(|(code, reason)| {
        // Codes below 1000 are of one kind only: draw those that matter more often.
        let code = if code < 1000 { 1000 + code % 17 } else { code };
        (0x88, [&code.to_be_bytes(), reason.as_bytes()].concat())
    });
    let close_bytes = vec(any::<u8>(), 0..6).prop_map(|bytes| (0x88, bytes));
    let other = (0x89..0x8b_u8, vec(any::<u8>(), 0..20));
    let long = (0x89..0x8b_u8, (123..128_usize).prop_map(|len| vec![7; len]));
    let kind = prop_oneof![12 => other, 1 => long, 1 => close, 1 => close_bytes];
    (kind, framing()).prop_map(|((first, payload), (mask, length_bytes_min))| Frame {
        first,
        masked: true,
        mask,
        payload,
        length_bytes_min,
    })
}

/// A frame with any opcode and any flags, or one that may stand where it must not; perhaps without a mask.
fn stray() -> impl Strategy<Value = Frame> {
    let first = prop_oneof![
        1 => any::<u8>(),
        2 => prop::sample::select(vec![0x00_u8, 0x80, 0x01, 0x81, 0x02]),
    ];
    (first, prop::bool::weighted(0.9), payload(), framing()).prop_map(
        |(first, masked, payload, (mask, length_bytes_min))| Frame {
            first,
            masked,
            mask,
            payload,
            length_bytes_min,
        },
    )
}
