//! The frames of HTTP/3 (RFC 9114, 7), as far as they are not `h3`'s.

/// The types of frames (RFC 9114, 7.2), and those that HTTP/2 had and nobody may send (11.2.1).
pub(crate) const DATA: u64 = 0x0;
pub(crate) const HEADERS: u64 = 0x1;
const PUSH_PROMISE: u64 = 0x5;
const NOT_ON_REQUESTS: [u64; 9] = [0x2, 0x3, 0x4, PUSH_PROMISE, 0x6, 0x7, 0x8, 0x9, 0xd];

/// The most that a type and a length take.
pub(crate) const HEAD_BYTES_MAX: usize = 16;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u64,
    /// The bytes that follow.
    pub(crate) length: u64,
}

impl Head {
    /// Whether the frame has no place on a stream of a request. Types that nobody knows have a place everywhere.
    pub(crate) fn is_misplaced_on_request(self) -> bool {
        NOT_ON_REQUESTS.contains(&self.kind)
    }
}

/// Puts heads together from bytes that come in any pieces.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    bytes: [u8; HEAD_BYTES_MAX],
    filled: usize,
}

impl HeadReader {
    /// Takes from the front of `bytes` what belongs to the head. `None` if it is not whole yet.
    pub(crate) fn read(&mut self, bytes: &mut impl bytes::Buf) -> Option<Head> {
        while bytes.has_remaining() {
            self.bytes[self.filled] = bytes.get_u8();
            self.filled += 1;
            if let Some(head) = parse(&self.bytes[..self.filled]) {
                self.filled = 0;
                return Some(head);
            }
        }
        None
    }

    /// Whether a head has begun.
    pub(crate) const fn is_within(&self) -> bool {
        self.filled > 0
    }
}

fn parse(bytes: &[u8]) -> Option<Head> {
    let (kind, rest) = read_varint(bytes)?;
    let (length, _) = read_varint(rest)?;
    Some(Head { kind, length })
}

/// Reads a variable-length integer (RFC 9000, 16). `None` if it is not whole.
pub(crate) fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let &first = bytes.first()?;
    let length = 1_usize << (first >> 6);
    let (own, rest) = bytes.split_at_checked(length)?;
    let value = own[1..]
        .iter()
        .fold(u64::from(first & 0x3F), |value, &byte| {
            (value << 8) | u64::from(byte)
        });
    Some((value, rest))
}

/// Writes the head of a frame whose type is one byte long.
pub(crate) fn write_head(kind: u64, length: usize, into: &mut Vec<u8>) {
    debug_assert!(kind <= 0x3F, "one byte");
    into.push(kind as u8);
    let length = length as u64;
    match length {
        0..=0x3F => into.push(length as u8),
        0x40..=0x3FFF => into.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes()),
        0x4000..=0x3FFF_FFFF => {
            into.extend_from_slice(&(length as u32 | 0x8000_0000).to_be_bytes());
        }
        _ => into.extend_from_slice(&(length | 0xC000_0000_0000_0000).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_however_it_is_cut_and_takes_no_more_than_its_own() {
        for length in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30] {
            let mut wire = Vec::new();
            write_head(DATA, length, &mut wire);
            let expected = Head {
                kind: DATA,
                length: length as u64,
            };
            let mut reader = HeadReader::default();
            let (last, first) = wire.split_last().expect("it is not empty");
            for byte in first {
                assert_eq!(
                    reader.read(&mut &[*byte][..]),
                    None,
                    "{length} is not whole"
                );
                assert!(reader.is_within());
            }
            let mut rest = &[*last, 7, 8][..];
            assert_eq!(reader.read(&mut rest), Some(expected));
            assert_eq!(rest, [7, 8], "what follows is left");
            assert!(!reader.is_within());
        }
    }

    /// The examples of RFC 9000, A.1.
    #[test]
    fn integers_are_read_as_the_rfc_shows() {
        let cases: [(&[u8], u64); 5] = [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(read_varint(bytes), Some((value, &[][..])));
            assert_eq!(read_varint(&bytes[..bytes.len() - 1]), None);
        }
    }
}
