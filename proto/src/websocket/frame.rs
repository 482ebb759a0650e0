//! One frame: its header, its mask, and what a close frame says.

use alloc::string::String;

use super::{Incoming, Opcode, Violation};

/// The longest payload of a control frame (RFC 6455, section 5.5).
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// Who sends frames, which says whether they are masked (RFC 6455, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) last: bool,
    pub(super) opcode: Opcode,
    /// Zeros where there is none.
    pub(super) mask: [u8; 4],
    pub(super) payload_len: u64,
    /// The length of the header itself, 2 to 14 bytes.
    pub(super) len: usize,
}

impl Header {
    /// The header at the start of `bytes`; `None` while bytes are missing. What can be refused by the first two bytes is.
    #[inline]
    pub(super) fn parse(bytes: &[u8], sender: Sender) -> Result<Option<Self>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        let last = first & 0x80 != 0;
        let opcode = opcode(first & 0x0f)?;
        let is_masked = second & 0x80 != 0;
        match (sender, is_masked) {
            (Sender::Client, true) | (Sender::Server, false) => {}
            (Sender::Client, false) => {
                return Err(Violation::protocol("a frame of a client must be masked"));
            }
            (Sender::Server, true) => {
                return Err(Violation::protocol(
                    "a frame of a server must not be masked",
                ));
            }
        }
        let short_len = second & 0x7f;
        if is_control(opcode) {
            if !last {
                return Err(Violation::protocol(
                    "a control frame must not be fragmented",
                ));
            }
            if usize::from(short_len) > CONTROL_BYTES_MAX {
                return Err(Violation::protocol("a control frame has at most 125 bytes"));
            }
        }
        let Some((payload_len, rest)) = payload_len(short_len, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = match (is_masked, rest.split_first_chunk()) {
            (false, _) => ([0; 4], rest),
            (true, Some((mask, rest))) => (*mask, rest),
            (true, None) => return Ok(None),
        };
        Ok(Some(Self {
            last,
            opcode,
            mask,
            payload_len,
            len: bytes.len() - rest.len(),
        }))
    }
}

pub(super) const fn is_control(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong)
}

#[inline]
fn opcode(number: u8) -> Result<Opcode, Violation> {
    match number {
        0x0 => Ok(Opcode::Continuation),
        0x1 => Ok(Opcode::Text),
        0x2 => Ok(Opcode::Binary),
        0x8 => Ok(Opcode::Close),
        0x9 => Ok(Opcode::Ping),
        0xA => Ok(Opcode::Pong),
        _ => Err(Violation::protocol("a reserved opcode")),
    }
}

/// The length and what follows it; `None` while bytes are missing.
#[inline]
fn payload_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (len, least, rest) = match short {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<2>() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(*bytes)), 126, rest)
        }
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*bytes), 0x1_0000, rest)
        }
        _ => (u64::from(short), 0, rest),
    };
    if len < least {
        return Err(Violation::protocol("a length takes the fewest bytes"));
    }
    if len >> 63 != 0 {
        return Err(Violation::protocol("a length has at most 63 bits"));
    }
    Ok(Some((len, rest)))
}

/// Takes the mask off (or puts it on) in place. The first byte is masked with the first byte of `mask`.
#[inline]
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    if word == 0 {
        return;
    }
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    let (half, rest) = rest.as_chunks_mut::<4>();
    for bytes in half {
        *bytes = (u32::from_ne_bytes(*bytes) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// Whether this close code may stand in a close frame: the codes of RFC 6455, section 7.4, and its registry (1012 to
/// 1014 came later), libraries' own (3000 to 3999) and applications' own (4000 to 4999).
pub const fn close_code_is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What a close frame with this unmasked payload says.
pub(super) fn close(payload: &[u8]) -> Result<Incoming, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        if payload.is_empty() {
            return Ok(Incoming::Close {
                code: None,
                reason: String::new(),
            });
        }
        return Err(Violation::protocol("half a close code"));
    };
    let code = u16::from_be_bytes(*code);
    if !close_code_is_valid(code) {
        return Err(Violation::protocol("a close code that must not be sent"));
    }
    let reason = core::str::from_utf8(reason).map_err(|_| Violation::NOT_UTF8)?;
    Ok(Incoming::Close {
        code: Some(code),
        reason: String::from(reason),
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn unmasking_is_the_same_word_by_word_as_byte_by_byte() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..40 {
            let bytes: Vec<u8> = (0..len).map(|i: u8| i.wrapping_mul(7)).collect();
            let slow: Vec<u8> = bytes
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ mask[i % 4])
                .collect();
            let mut fast = bytes;
            unmask(&mut fast, mask);
            assert_eq!(fast, slow, "{len} bytes");
        }
    }

    #[test]
    fn a_header_is_complete_only_with_its_last_byte() {
        let headers: [&[u8]; 3] = [
            &[0x81, 0x85, 1, 2, 3, 4],
            &[0x82, 0xfe, 0, 126, 1, 2, 3, 4],
            &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4],
        ];
        for header in headers {
            for cut in 0..header.len() {
                let parsed = Header::parse(&header[..cut], Sender::Client);
                assert_eq!(parsed, Ok(None), "{header:?} {cut}");
            }
            let parsed = Header::parse(header, Sender::Client).unwrap().unwrap();
            assert_eq!(parsed.len, header.len());
            assert_eq!(parsed.mask, [1, 2, 3, 4]);
        }
    }

    #[test]
    fn only_what_a_client_sends_is_masked() {
        let masked = [0x81, 0x80, 1, 2, 3, 4];
        let plain = [0x81, 0x00];
        for (bytes, sender, is_right) in [
            (&masked[..], Sender::Client, true),
            (&masked, Sender::Server, false),
            (&plain, Sender::Client, false),
            (&plain, Sender::Server, true),
        ] {
            let parsed = Header::parse(bytes, sender);
            let Ok(header) = parsed else {
                assert!(!is_right, "{bytes:?} of {sender:?}");
                continue;
            };
            assert!(is_right, "{bytes:?} of {sender:?}");
            assert_eq!(header.expect("whole").len, bytes.len());
        }
    }

    #[test]
    fn close_codes_follow_the_registry() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|c| close_code_is_valid(*c)).collect();
        let named = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
        ];
        assert_eq!(valid[..12], named);
        assert_eq!(valid[12..], (3000..5000).collect::<Vec<u16>>());
    }
}
