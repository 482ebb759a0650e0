//! Messages on the wire: one byte that says whether it is compressed, four bytes of length, the message
//! (`PROTOCOL-HTTP2.md`, "Length-Prefixed-Message").

use alloc::{collections::VecDeque, vec::Vec};
use core::mem;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before each message.
pub const PREFIX_BYTES: usize = 5;

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether the bytes are compressed, with the call's `grpc-encoding`.
    pub compressed: bool,
    /// The message.
    pub bytes: Bytes,
}

/// Why the bytes are no messages. Nothing can be read after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// The first byte is neither 0 nor 1.
    #[error("the flag of a message is {0}, not 0 or 1")]
    Flag(u8),
    /// A message is larger than the limit. It is refused at its prefix, before its bytes are held.
    #[error("a message of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// What the prefix says.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The stream ended inside a message.
    #[error("the stream ended inside a message")]
    Truncated,
}

/// Appends a message with its prefix.
///
/// # Panics
///
/// The message is 4 GiB or more, which its caller has to rule out by a limit.
pub fn encode(message: &[u8], compressed: bool, into: &mut Vec<u8>) {
    encode_prefix(message.len(), compressed, into);
    into.extend_from_slice(message);
}

/// Appends only the prefix of a message of this length, for a message that goes out without being copied.
///
/// # Panics
///
/// The message is 4 GiB or more.
pub fn encode_prefix(message_bytes: usize, compressed: bool, into: &mut Vec<u8>) {
    let length = u32::try_from(message_bytes).expect("the caller bounds a message below 4 GiB");
    let [a, b, c, d] = length.to_be_bytes();
    into.extend_from_slice(&[u8::from(compressed), a, b, c, d]);
}

/// Takes messages out of chunks, wherever the chunks are cut.
///
/// A message that lies within one chunk is a slice of it and costs no copy; a message that spans chunks is copied once.
/// At most one incomplete message is held, and never more than the limit.
#[derive(Debug)]
pub struct Deframer {
    message_bytes_max: usize,
    chunks: VecDeque<Bytes>,
    buffered: usize,
    /// The prefix that was read, when its message is still incomplete.
    pending: Option<(bool, usize)>,
    failed: Option<FramingError>,
}

impl Deframer {
    /// Refuses messages over this many bytes. A compressed one may have a little more, because the limit is on what it
    /// is decompressed to, and compressing what cannot be compressed adds to it.
    pub const fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            chunks: VecDeque::new(),
            buffered: 0,
            pending: None,
            failed: None,
        }
    }

    /// Adds a chunk as it came.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() || self.failed.is_some() {
            return;
        }
        self.buffered += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// The next whole message, or `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// The bytes are no messages, or one is too large; the same error comes from then on.
    pub fn next_message(&mut self) -> Result<Option<Message>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Some((compressed, length)) = self.prefix()? else {
            return Ok(None);
        };
        if self.buffered < length {
            self.pending = Some((compressed, length));
            return Ok(None);
        }
        self.pending = None;
        let bytes = self.take(length);
        Ok(Some(Message { compressed, bytes }))
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    ///
    /// Bytes are left that are no whole message.
    pub const fn finish(&self) -> Result<(), FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.buffered > 0 || self.pending.is_some() {
            return Err(FramingError::Truncated);
        }
        Ok(())
    }

    fn prefix(&mut self) -> Result<Option<(bool, usize)>, FramingError> {
        if let Some(pending) = self.pending {
            return Ok(Some(pending));
        }
        if self.buffered < PREFIX_BYTES {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX_BYTES];
        self.copy_to(&mut prefix);
        let [flag, length @ ..] = prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if flag > 1 {
            return Err(self.fail(FramingError::Flag(flag)));
        }
        let bytes_max = if flag == 1 {
            compressed_bytes_max(self.message_bytes_max)
        } else {
            self.message_bytes_max
        };
        if length > bytes_max {
            return Err(self.fail(FramingError::TooLarge {
                bytes: length,
                bytes_max,
            }));
        }
        Ok(Some((flag == 1, length)))
    }

    fn fail(&mut self, error: FramingError) -> FramingError {
        self.chunks.clear();
        self.buffered = 0;
        self.failed = Some(error);
        error
    }

    /// Takes this many of the buffered bytes, of which there are enough.
    fn take(&mut self, length: usize) -> Bytes {
        if length == 0 {
            return Bytes::new();
        }
        if let Some(front) = self.chunks.front_mut() {
            if front.len() > length {
                self.buffered -= length;
                return front.split_to(length);
            }
            if front.len() == length {
                self.buffered -= length;
                return self.chunks.pop_front().unwrap_or_default();
            }
        }
        let mut whole = BytesMut::zeroed(length);
        self.copy_to(&mut whole);
        whole.freeze()
    }

    /// Copies as many of the buffered bytes, of which there are enough.
    fn copy_to(&mut self, mut rest: &mut [u8]) {
        self.buffered -= rest.len();
        while let Some(front) = self.chunks.front_mut() {
            let bytes = front.len().min(rest.len());
            let (now, later) = mem::take(&mut rest).split_at_mut(bytes);
            front.copy_to_slice(now);
            if !front.is_empty() {
                return;
            }
            self.chunks.pop_front();
            rest = later;
        }
    }
}

/// What a message of this many bytes can grow to: more than zlib, gzip or zstd add to blocks that they only store.
const fn compressed_bytes_max(message_bytes: usize) -> usize {
    message_bytes.saturating_add(message_bytes / 1000 + 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(messages: &[&[u8]]) -> Bytes {
        let mut buffer = Vec::new();
        for message in messages {
            encode(message, false, &mut buffer);
        }
        buffer.into()
    }

    fn read_all(deframer: &mut Deframer) -> Vec<Bytes> {
        let mut messages = Vec::new();
        while let Some(message) = deframer.next_message().expect("valid") {
            messages.push(message.bytes);
        }
        messages
    }

    #[test]
    fn messages_are_the_same_wherever_the_chunks_are_cut() {
        let sent: [&[u8]; 4] = [b"one", b"", b"three and more", b"4"];
        let wire = wire(&sent);
        for step in 1..=wire.len() {
            let mut deframer = Deframer::new(64);
            let mut got = Vec::new();
            let mut rest = wire.clone();
            while !rest.is_empty() {
                deframer.push(rest.split_to(step.min(rest.len())));
                got.extend(read_all(&mut deframer));
            }
            assert_eq!(got, sent, "chunks of {step}");
            assert_eq!(deframer.finish(), Ok(()));
        }
    }

    #[test]
    fn a_message_in_one_chunk_is_not_copied() {
        let wire = wire(&[b"first", b"second"]);
        let mut deframer = Deframer::new(64);
        deframer.push(wire.clone());
        let messages = read_all(&mut deframer);
        assert_eq!(messages[1].as_ptr(), wire[5 + 5 + 5..].as_ptr());
    }

    #[test]
    fn a_message_over_the_limit_is_refused_at_its_prefix() {
        let mut deframer = Deframer::new(9);
        deframer.push(Bytes::from_static(&[0, 0, 0, 0, 10]));
        let error = FramingError::TooLarge {
            bytes: 10,
            bytes_max: 9,
        };
        assert_eq!(deframer.next_message(), Err(error));
        deframer.push(Bytes::from_static(&[0; 5]));
        assert_eq!(deframer.next_message(), Err(error), "nothing after it");
    }

    /// S4-43: the limit is on the uncompressed size.
    #[test]
    fn s4_43_a_compressed_message_may_be_a_little_longer() {
        let mut deframer = Deframer::new(0);
        deframer.push(Bytes::from_static(&[1, 0, 0, 0, 64]));
        assert_eq!(deframer.next_message(), Ok(None), "empty, in gzip");
        let mut deframer = Deframer::new(0);
        deframer.push(Bytes::from_static(&[1, 0, 0, 0, 65]));
        let error = deframer.next_message();
        assert!(matches!(error, Err(FramingError::TooLarge { .. })));
    }

    #[test]
    fn the_flag_is_reported_and_a_third_value_refused() {
        let mut deframer = Deframer::new(9);
        deframer.push(Bytes::from_static(&[1, 0, 0, 0, 1, 7, 2, 0, 0, 0, 0]));
        let message = deframer.next_message().expect("valid").expect("whole");
        assert!(message.compressed);
        assert_eq!(deframer.next_message(), Err(FramingError::Flag(2)));
    }

    #[test]
    fn an_end_inside_a_message_is_an_error() {
        for cut in [&[0][..], &[0, 0, 0, 0, 2], &[0, 0, 0, 0, 2, 9]] {
            let mut deframer = Deframer::new(9);
            deframer.push(Bytes::copy_from_slice(cut));
            assert_eq!(deframer.next_message(), Ok(None));
            assert_eq!(deframer.finish(), Err(FramingError::Truncated), "{cut:?}");
        }
    }
}
