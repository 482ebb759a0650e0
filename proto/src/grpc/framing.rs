//! Messages on the wire: one byte that says whether it is compressed, four bytes of length, the message
//! (`PROTOCOL-HTTP2.md`, "Length-Prefixed-Message").

use alloc::vec::Vec;
use core::mem;

use bytes::{Buf as _, Bytes, BytesMut};

use super::chunks::Chunks;

/// Bytes before each message.
pub const PREFIX_BYTES: usize = 5;

/// Chunks shorter than this are gathered while a message is incomplete: each kept chunk costs a record of its own and
/// may hold the larger buffer that it was cut from, which would let a peer that sends a byte at a time hold many times
/// the limit.
const GATHERED_BYTES_BELOW: usize = 4096;

/// The least that the buffer of gathered chunks grows by.
const GROWTH_BYTES_MIN: usize = 64;

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
/// A message that lies within one chunk is a slice of it and costs no copy. A message that spans chunks is copied once,
/// and what of it comes in chunks below 4 KiB at most twice.
///
/// If [`next_message`](Self::next_message) is called until it returns `None` after each [`push`](Self::push), then at
/// most one incomplete message is held, never more of it than the limit, in at most about twice its bytes of memory,
/// however short the chunks are. (A chunk of 4 KiB or more is held as it came, with the buffer that it is cut from.)
#[derive(Debug)]
pub struct Deframer {
    message_bytes_max: usize,
    chunks: Chunks,
    /// What short chunks brought of an incomplete message, after all of `chunks`.
    gathered: Vec<u8>,
    /// The bytes in both.
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
            chunks: Chunks::new(),
            gathered: Vec::new(),
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
        let missing = self
            .pending
            .map_or(0, |(_, length)| length.saturating_sub(self.buffered));
        self.buffered += chunk.len();
        if chunk.len() < missing.min(GATHERED_BYTES_BELOW) {
            self.gather(&chunk, missing);
            return;
        }
        self.end_gathering();
        self.chunks.push(chunk);
    }

    /// Adds a short chunk of a message that misses more than its bytes. The buffer at most doubles and never grows
    /// beyond the message, so that memory is held for what was received, not for what was announced.
    fn gather(&mut self, chunk: &[u8], missing: usize) {
        if self.gathered.capacity() - self.gathered.len() < chunk.len() {
            let growth = self.gathered.len().max(GROWTH_BYTES_MIN).min(missing);
            self.gathered.reserve_exact(growth.max(chunk.len()));
        }
        self.gathered.extend_from_slice(chunk);
    }

    /// Makes one chunk of those that were gathered.
    fn end_gathering(&mut self) {
        if !self.gathered.is_empty() {
            self.chunks.push(mem::take(&mut self.gathered).into());
        }
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
        if let Some(message) = self.take_from_one_chunk() {
            return Ok(Some(message));
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

    /// The next message, if it and its prefix lie in one chunk and nothing is wrong with it: nearly all are so.
    fn take_from_one_chunk(&mut self) -> Option<Message> {
        if self.pending.is_some() {
            return None;
        }
        let ([flag, length @ ..], rest) =
            self.chunks.first().split_first_chunk::<PREFIX_BYTES>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if *flag > 1 || length > self.message_bytes_max || length > rest.len() {
            return None;
        }
        let compressed = *flag == 1;
        let mut bytes = self.chunks.split_first(PREFIX_BYTES + length);
        self.buffered -= bytes.len();
        bytes.advance(PREFIX_BYTES);
        Some(Message { compressed, bytes })
    }

    /// The next messages together, each still behind its prefix, if they are uncompressed and lie in one chunk, which
    /// costs them nothing. `None` says only that there are none of this kind: [`next_message`](Self::next_message) goes
    /// on from there.
    pub fn next_run(&mut self) -> Option<Bytes> {
        if self.pending.is_some() || self.failed.is_some() {
            return None;
        }
        let front = self.chunks.first();
        let mut bytes = 0;
        while let Some(length) = front.get(bytes..).and_then(first_length) {
            let there = front.len() - bytes - PREFIX_BYTES;
            if length > self.message_bytes_max.min(there) {
                break;
            }
            bytes += PREFIX_BYTES + length;
        }
        if bytes == 0 {
            return None;
        }
        self.buffered -= bytes;
        Some(self.chunks.split_first(bytes))
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
        if self.chunks.first().len() >= length {
            self.buffered -= length;
            return self.chunks.split_first(length);
        }
        let mut whole = BytesMut::zeroed(length);
        self.copy_to(&mut whole);
        whole.freeze()
    }

    /// Copies as many of the buffered bytes, of which there are enough.
    fn copy_to(&mut self, mut rest: &mut [u8]) {
        self.buffered -= rest.len();
        while !rest.is_empty() && !self.chunks.is_empty() {
            let bytes = self.chunks.first().len().min(rest.len());
            let (now, later) = mem::take(&mut rest).split_at_mut(bytes);
            now.copy_from_slice(&self.chunks.split_first(bytes));
            rest = later;
        }
    }
}

/// The length of the first message of these bytes, if they begin with the prefix of an uncompressed one.
fn first_length(bytes: &[u8]) -> Option<usize> {
    let ([flag, length @ ..], _) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
    if *flag != 0 {
        return None;
    }
    usize::try_from(u32::from_be_bytes(*length)).ok()
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

    /// Whichever way messages are taken out, and however the chunks are cut, they are the same, and what is wrong is
    /// found at the same message.
    #[test]
    fn runs_are_the_messages_as_they_lie() {
        let mut wire = Vec::new();
        for (message, compressed) in [(&b"one"[..], false), (b"", false), (b"packed", true)] {
            encode(message, compressed, &mut wire);
        }
        encode(b"three and more", false, &mut wire);
        encode(b"more than is allowed", false, &mut wire);
        for step in 1..=wire.len() {
            let mut deframer = Deframer::new(14);
            let (mut got, mut failed) = (Vec::new(), None);
            for chunk in wire.chunks(step) {
                deframer.push(Bytes::copy_from_slice(chunk));
                loop {
                    if let Some(run) = deframer.next_run() {
                        got.extend_from_slice(&run);
                        continue;
                    }
                    match deframer.next_message() {
                        Ok(Some(message)) => encode(&message.bytes, message.compressed, &mut got),
                        Ok(None) => break,
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
            }
            let taken = wire.len() - PREFIX_BYTES - 20;
            assert_eq!(got, wire[..taken], "chunks of {step}");
            let bytes = 20;
            let bytes_max = 14;
            assert_eq!(failed, Some(FramingError::TooLarge { bytes, bytes_max }));
            assert_eq!(deframer.next_run(), None, "nothing after it");
        }
    }

    #[test]
    fn a_run_is_what_is_whole_of_a_chunk() {
        let wire = wire(&[b"one", b"two", b"three"]);
        let mut deframer = Deframer::new(9);
        deframer.push(wire.slice(..wire.len() - 1));
        let run = deframer.next_run().expect("two are whole");
        assert_eq!(run, wire[..16]);
        assert_eq!(run.as_ptr(), wire.as_ptr(), "nothing is copied");
        assert_eq!(
            (deframer.next_run(), deframer.next_message()),
            (None, Ok(None))
        );
        assert_eq!(deframer.finish(), Err(FramingError::Truncated));
        deframer.push(wire.slice(wire.len() - 1..));
        assert_eq!(read_all(&mut deframer), ["three"]);
        assert_eq!(deframer.finish(), Ok(()));
    }

    /// The memory that is held: the buffers, and the record of each chunk.
    fn held_bytes(deframer: &Deframer) -> usize {
        let records = deframer.chunks.record_bytes();
        let chunks: usize = deframer.chunks.iter().map(Bytes::len).sum();
        records + chunks + deframer.gathered.capacity()
    }

    #[test]
    fn a_byte_at_a_time_holds_no_more_than_twice_what_came() {
        const MESSAGE_BYTES: usize = 256 << 10;
        let sent: Vec<u8> = (0..MESSAGE_BYTES).map(|at| at.to_le_bytes()[0]).collect();
        let mut rest = wire(&[&sent]);
        let mut deframer = Deframer::new(MESSAGE_BYTES);
        let mut received = 0;
        while rest.len() > 1 {
            deframer.push(rest.split_to(1));
            assert_eq!(deframer.next_message(), Ok(None), "incomplete");
            received += 1;
            let held = held_bytes(&deframer);
            assert!(held <= 2 * received + 512, "{held} held of {received}");
        }
        assert!(
            held_bytes(&deframer) <= MESSAGE_BYTES + 512,
            "no room beyond the message"
        );
        deframer.push(rest);
        assert_eq!(read_all(&mut deframer), [sent], "in order");
        assert!(held_bytes(&deframer) <= 512, "nothing is kept");
    }

    #[test]
    fn short_and_long_chunks_of_a_message_stay_in_order() {
        let sent: Vec<u8> = (0..40_000_usize).map(|at| at.to_le_bytes()[0]).collect();
        let wire = wire(&[&sent, b"next"]);
        for short in [1, 100, GATHERED_BYTES_BELOW - 1] {
            let mut deframer = Deframer::new(sent.len());
            let mut got = Vec::new();
            let mut rest = wire.clone();
            for step in [short, short, GATHERED_BYTES_BELOW].into_iter().cycle() {
                deframer.push(rest.split_to(step.min(rest.len())));
                got.extend(read_all(&mut deframer));
                if rest.is_empty() {
                    break;
                }
            }
            assert_eq!(got, [&sent[..], b"next"], "chunks of {short}");
        }
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
