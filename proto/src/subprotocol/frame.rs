//! Frames whose payload is written in place, since its length is known only afterwards.

use alloc::vec::Vec;

use crate::websocket::MessageKind;

/// The header of a frame with 126 to 65535 bytes of payload, which is what most are.
const HEADER_BYTES: usize = 4;

/// Appends one final, unmasked frame (RFC 6455 section 5.2) whose payload is what `write` appends.
pub(super) fn append(kind: MessageKind, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let payload_start = start + HEADER_BYTES;
    let payload_bytes = out.len() - payload_start;

    let first = match kind {
        MessageKind::Text => 0x81,
        MessageKind::Binary => 0x82,
    };
    if let Ok(length) = u8::try_from(payload_bytes)
        && length < 126
    {
        out.copy_within(payload_start.., start + 2);
        out.truncate(start + 2 + payload_bytes);
        out[start] = first;
        out[start + 1] = length;
    } else if let Ok(length) = u16::try_from(payload_bytes) {
        out[start] = first;
        out[start + 1] = 126;
        out[start + 2..payload_start].copy_from_slice(&length.to_be_bytes());
    } else {
        let end = out.len();
        out.extend_from_slice(&[0; 6]);
        out.copy_within(payload_start..end, start + 10);
        out[start] = first;
        out[start + 1] = 127;
        out[start + 2..start + 10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Takes apart exactly one frame.
    pub(crate) fn open(frame: &[u8]) -> (MessageKind, &[u8]) {
        let kind = match frame[0] {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            other => panic!("first byte {other:#x}"),
        };
        let (length, payload) = match frame[1] {
            126 => (
                usize::from(u16::from_be_bytes([frame[2], frame[3]])),
                &frame[4..],
            ),
            127 => {
                let length = u64::from_be_bytes(frame[2..10].try_into().unwrap());
                (usize::try_from(length).unwrap(), &frame[10..])
            }
            length => (usize::from(length), &frame[2..]),
        };
        assert_eq!(payload.len(), length, "the header tells the length");
        (kind, payload)
    }

    #[test]
    fn every_length_has_its_shortest_header_and_what_stood_before_stays() {
        for (payload_bytes, header_bytes) in [
            (0, 2),
            (1, 2),
            (125, 2),
            (126, 4),
            (65_535, 4),
            (65_536, 10),
            (70_000, 10),
        ] {
            let payload: Vec<u8> = (0..payload_bytes).map(|i| (i % 251) as u8).collect();
            let mut out = alloc::vec![7, 7, 7];
            append(MessageKind::Binary, &mut out, |out| {
                out.extend_from_slice(&payload);
            });
            assert_eq!(out[..3], [7, 7, 7]);
            assert_eq!(out.len(), 3 + header_bytes + payload_bytes);
            assert_eq!(open(&out[3..]), (MessageKind::Binary, &payload[..]));
        }
    }
}
