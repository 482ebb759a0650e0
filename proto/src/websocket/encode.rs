//! What is written, each message in one frame: by a server without a mask, and by a client with one (RFC 6455, section
//! 5.1).

use alloc::vec::Vec;

use super::{
    MessageKind, Opcode,
    frame::{CONTROL_BYTES_MAX, Header, Sender, unmask},
};

/// Room that [`begin_message`] leaves for the header: right for payloads of 126 to 65,535 bytes, which then never move.
const HEADER_ROOM: usize = 4;

/// Where a message begun with [`begin_message`] starts in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a message that is begun must be finished"]
pub struct Mark(usize);

/// Appends the header of a whole, unmasked frame whose payload has `payload_len` bytes. The payload follows it.
///
/// A control frame ([`Opcode::Close`], [`Opcode::Ping`], [`Opcode::Pong`]) has at most 125 bytes.
#[inline]
pub fn append_header(opcode: Opcode, payload_len: usize, out: &mut Vec<u8>) {
    let (header, len) = header(opcode, payload_len);
    let end = out.len() + len;
    // All of it is copied, which is cheaper than exactly what there is, and cut.
    out.extend_from_slice(&header);
    out.truncate(end);
}

/// [`append_header`] with the key of a mask, as a client writes it. The payload follows, masked ([`mask`]).
#[inline]
pub fn append_masked_header(opcode: Opcode, payload_len: usize, key: [u8; 4], out: &mut Vec<u8>) {
    let start = out.len();
    append_header(opcode, payload_len, out);
    if let Some(second) = out.get_mut(start + 1) {
        *second |= 0x80;
    }
    out.extend_from_slice(&key);
}

/// Masks a payload, or takes the mask off (RFC 6455, section 5.3). A client needs a new key for each frame, which nobody
/// can foresee.
#[inline]
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    unmask(payload, key);
}

/// Masks a whole frame that was written without: all of `out` from `start` on.
///
/// # Panics
///
/// If that is no frame.
pub fn mask_frame(start: usize, key: [u8; 4], out: &mut Vec<u8>) {
    let header = Header::parse(&out[start..], Sender::Server);
    let header = header.ok().flatten().expect("a frame stands there");
    let payload = start + header.len;
    out[start + 1] |= 0x80;
    unmask(&mut out[payload..], key);
    out.splice(payload..payload, key);
}

/// Appends one whole message.
pub fn encode_message(kind: MessageKind, payload: &[u8], out: &mut Vec<u8>) {
    append_header(kind.into(), payload.len(), out);
    out.extend_from_slice(payload);
}

/// Begins a message whose length is not known yet: append the payload to `out`, then call [`finish_message`] with the mark.
pub fn begin_message(out: &mut Vec<u8>) -> Mark {
    let mark = Mark(out.len());
    out.extend_from_slice(&[0; HEADER_ROOM]);
    mark
}

/// Ends the message begun at `mark`: everything appended to `out` since then is its payload.
///
/// The payload moves by a few bytes where its length does not need a header of exactly four bytes: below 126 bytes,
/// and from 64 KiB on.
///
/// # Panics
///
/// If `out` is not the buffer that the mark came from, or was cut below it.
pub fn finish_message(kind: MessageKind, mark: Mark, out: &mut Vec<u8>) {
    let start = mark.0;
    let payload_start = start + HEADER_ROOM;
    let payload_len = out.len() - payload_start;
    let (header, len) = header(kind.into(), payload_len);
    if len > HEADER_ROOM {
        let end = out.len();
        out.resize(end + len - HEADER_ROOM, 0);
        out.copy_within(payload_start..end, start + len);
    } else if len < HEADER_ROOM {
        out.copy_within(payload_start.., start + len);
        out.truncate(start + len + payload_len);
    }
    out[start..start + len].copy_from_slice(&header[..len]);
}

/// Appends a close frame. A code that must not stand in a frame (RFC 6455, section 7.4) becomes 1000, normal closure;
/// the reason is cut at a character boundary where it is longer than 123 bytes.
pub fn encode_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let code = if super::close_code_is_valid(code) {
        code
    } else {
        1000
    };
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    append_header(Opcode::Close, 2 + reason.len(), out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason);
}

/// Appends a ping. Only the first 125 bytes of the payload are sent, which is all that a ping can carry.
pub fn encode_ping(payload: &[u8], out: &mut Vec<u8>) {
    encode_control(Opcode::Ping, payload, out);
}

/// Appends a pong, the answer to a ping with the same payload. Only the first 125 bytes of the payload are sent.
pub fn encode_pong(payload: &[u8], out: &mut Vec<u8>) {
    encode_control(Opcode::Pong, payload, out);
}

fn encode_control(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    append_header(opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

/// The header, in the fewest bytes that hold the length, and how many of the ten it takes.
#[inline]
fn header(opcode: Opcode, payload_len: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = 0x80 | opcode as u8;
    if payload_len < 126 {
        header[1] = payload_len as u8;
        return (header, 2);
    }
    if let Ok(short) = u16::try_from(payload_len) {
        header[1] = 126;
        header[2..4].copy_from_slice(&short.to_be_bytes());
        return (header, 4);
    }
    header[1] = 127;
    header[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
    (header, 10)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{
        super::{Decoder, DecoderConfig, Incoming},
        *,
    };

    #[test]
    fn the_length_takes_the_fewest_bytes() {
        for (len, header) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            append_header(Opcode::Binary, len, &mut out);
            assert_eq!(out, header, "payload of {len} bytes");
        }
    }

    #[test]
    fn a_message_finished_later_is_the_same_as_one_encoded_at_once() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut whole = vec![1, 2, 3];
            encode_message(MessageKind::Binary, &payload, &mut whole);
            let mut out = vec![1, 2, 3];
            let mark = begin_message(&mut out);
            out.extend_from_slice(&payload);
            finish_message(MessageKind::Binary, mark, &mut out);
            assert!(out == whole, "payload of {len} bytes");
        }
    }

    #[test]
    fn what_is_masked_is_what_a_server_reads() {
        let key = [1, 2, 3, 4];
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut later = vec![9];
            encode_message(MessageKind::Binary, &payload, &mut later);
            mask_frame(1, key, &mut later);
            let mut at_once = vec![9];
            append_masked_header(Opcode::Binary, len, key, &mut at_once);
            let start = at_once.len();
            at_once.extend_from_slice(&payload);
            mask(&mut at_once[start..], key);
            assert!(later == at_once, "payload of {len} bytes");
            let mut decoder = Decoder::new(DecoderConfig::default());
            decoder.push(&later[1..]);
            let expected = Incoming::Message {
                kind: MessageKind::Binary,
                data: payload.into(),
            };
            assert_eq!(decoder.poll(), Ok(Some(expected)), "payload of {len} bytes");
        }
    }

    #[test]
    fn a_long_close_reason_is_cut_at_a_character() {
        let mut out = Vec::new();
        // 122 bytes, then a character of two bytes that would end at 124.
        let reason = alloc::format!("{}é", "a".repeat(122));
        encode_close(1002, &reason, &mut out);
        assert_eq!(out[..4], [0x88, 124, 0x03, 0xea]);
        assert_eq!(out[4..], [b'a'; 122]);
    }

    #[test]
    fn a_close_code_that_is_for_reports_only_is_not_sent() {
        for code in [0, 1005, 1006, 1015, 5000] {
            let mut out = Vec::new();
            encode_close(code, "", &mut out);
            assert_eq!(out, [0x88, 2, 0x03, 0xe8], "close code {code}");
        }
    }

    #[test]
    fn a_ping_carries_at_most_125_bytes() {
        let mut out = Vec::new();
        encode_ping(&[7; 200], &mut out);
        encode_pong(b"x", &mut out);
        assert_eq!(out[..2], [0x89, 125]);
        assert_eq!(out[127..], [0x8a, 1, b'x']);
    }
}
