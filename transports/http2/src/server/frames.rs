//! Where HTTP/2 frames begin in a stream of bytes, and which they are (RFC 9113, 4.1).

/// What a client says before its first frame (RFC 9113, 3.4).
pub(crate) const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
/// The flag that makes a SETTINGS or PING frame an answer.
pub(crate) const ACK: u8 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

/// Finds the heads of frames in bytes that come in pieces of any size.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// Bytes until the next head.
    skip: usize,
    head: [u8; HEAD_BYTES],
    filled: usize,
}

impl Scanner {
    /// Of bytes that begin with this many that are no frame.
    pub(crate) const fn after(skip: usize) -> Self {
        Self {
            skip,
            head: [0; HEAD_BYTES],
            filled: 0,
        }
    }

    /// Takes in the next bytes, and says each head that they complete.
    pub(crate) fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(Head)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let taken = bytes.len().min(HEAD_BYTES - self.filled);
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEAD_BYTES {
                return;
            }
            self.filled = 0;
            let [a, b, c, kind, flags, stream @ ..] = self.head;
            self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
            found(Head {
                kind,
                flags,
                stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
            });
        }
    }

    /// How many bytes at least are missing of what has begun; 0 between two frames.
    pub(crate) const fn missing(&self) -> usize {
        if self.skip > 0 {
            return self.skip;
        }
        if self.filled > 0 {
            return HEAD_BYTES - self.filled;
        }
        0
    }
}

/// The frame that ends a connection whose client does too much, and says of what.
pub(crate) fn calm_down(last_stream: u32, debug: &str) -> Vec<u8> {
    let length = u32::try_from(8 + debug.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([GOAWAY, 0, 0, 0, 0, 0]);
    frame.extend(last_stream.to_be_bytes());
    frame.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend(debug.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let mut bytes = vec![b'P'; PREFACE_BYTES];
        let frames = [
            (SETTINGS, 0, 0, 0),
            (HEADERS, 5, 1, 300),
            (PING, 0, 0, 8),
            (DATA, 1, 0x8000_0003, 0),
        ];
        for (kind, flags, stream, length) in frames {
            let length: u32 = length;
            let stream: u32 = stream;
            bytes.extend(&length.to_be_bytes()[1..]);
            bytes.extend([kind, flags]);
            bytes.extend(stream.to_be_bytes());
            bytes.resize(bytes.len() + length as usize, 0xFF);
        }
        let expected = frames.map(|(kind, flags, stream, _)| Head {
            kind,
            flags,
            stream: stream & 0x7FFF_FFFF,
        });
        for size in 1..=bytes.len() {
            let mut scanner = Scanner::after(PREFACE_BYTES);
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                scanner.scan(piece, |head| found.push(head));
            }
            assert_eq!(found, expected, "in pieces of {size}");
            assert_eq!(scanner.missing(), 0, "all of it came");
        }
    }

    #[test]
    fn what_is_missing_leads_to_the_end_of_the_frame() {
        let frame = calm_down(7, "too_many_pings");
        let mut scanner = Scanner::after(0);
        let mut sent = 1;
        scanner.scan(&frame[..1], |_| ());
        while scanner.missing() > 0 {
            let next = sent + scanner.missing();
            scanner.scan(&frame[sent..next], |_| ());
            sent = next;
        }
        assert_eq!(sent, frame.len());
    }
}
