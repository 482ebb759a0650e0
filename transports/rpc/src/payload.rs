//! What a call sends, as gRPC lays it on a byte stream: each message behind its length.

use std::mem;

use bytes::{Buf, Bytes};
use headwater_core::call::{Frame, Trailers};
use headwater_proto::{
    Metadata,
    grpc::{Chunks, framing},
};

use crate::unsent::Piece;

/// Messages from this size on are a chunk of their own instead of being copied to their neighbours.
const OWN_CHUNK_BYTES: usize = 32 << 10;

/// What one pull took of a call, in the order of its fields, for a transport that carries gRPC's framing.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The metadata at the beginning of the responses, if they are in this pull.
    pub headers: Option<Metadata>,
    /// The messages.
    pub payload: Payload,
    /// What ends the direction: the status, or the half-close.
    pub end: Option<Box<Trailers>>,
}

impl Encoded {
    /// Appends these pieces, which hold messages of about so many bytes.
    pub(crate) fn extend(&mut self, pieces: impl Iterator<Item = Piece>, bytes: usize) {
        let mut small = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Run(run) => {
                    self.payload.push(mem::take(&mut small).into());
                    self.payload.push(run.into_bytes());
                }
                Piece::Frame(Frame::Headers(metadata)) => self.headers = Some(metadata),
                Piece::Frame(Frame::End(trailers)) => self.end = Some(trailers),
                Piece::Frame(Frame::Message(message)) => {
                    self.payload.push_message(message, false, &mut small, bytes);
                }
                Piece::Frame(Frame::Compressed(message)) => {
                    self.payload.push_message(message, true, &mut small, bytes);
                }
            }
        }
        self.payload.push(small.into());
    }
}

/// Messages, each with its prefix. Small ones lie together in one chunk; a large one is a chunk of its own, which is not
/// copied.
#[derive(Debug, Default)]
pub struct Payload {
    chunks: Chunks,
    bytes: usize,
}

impl Payload {
    /// Takes the next chunk.
    pub fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }

    /// Takes the first so many bytes, or all.
    #[must_use]
    pub fn split_to(&mut self, bytes: usize) -> Self {
        if bytes >= self.bytes {
            return mem::take(self);
        }
        let mut front = Self::default();
        while front.bytes < bytes {
            let step = (bytes - front.bytes).min(self.chunks.first().len());
            front.push(self.chunks.split_first(step));
            self.bytes -= step;
        }
        front
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn push_message(
        &mut self,
        message: Bytes,
        compressed: bool,
        small: &mut Vec<u8>,
        bytes: usize,
    ) {
        if message.len() < OWN_CHUNK_BYTES {
            if small.capacity() == 0 {
                small.reserve(bytes.max(message.len()) + framing::PREFIX_BYTES);
            }
            return framing::encode(&message, compressed, small);
        }
        framing::encode_prefix(message.len(), compressed, small);
        self.push(mem::take(small).into());
        self.push(message);
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
    }
}

/// Bytes as they are, which need not be messages.
impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let mut payload = Self::default();
        payload.push(bytes);
        payload
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.first()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(self.chunks.iter()) {
            *slice = std::io::IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "no more than there is");
        self.bytes -= count;
        while count > 0 {
            let step = count.min(self.chunks.first().len());
            self.chunks.advance_first(step);
            count -= step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However it is taken apart, a payload is the encoded messages one after the other.
    #[test]
    fn a_payload_is_its_messages_in_order() {
        let sizes = [3, OWN_CHUNK_BYTES, 0, OWN_CHUNK_BYTES + 1, 9];
        let messages: Vec<_> = sizes
            .iter()
            .map(|&size| Bytes::from(vec![7; size]))
            .collect();
        let mut expected = Vec::new();
        for message in &messages {
            framing::encode(message, false, &mut expected);
        }
        let encoded = || {
            let frames = messages.iter().cloned().map(Frame::Message);
            let end = std::iter::once(Frame::end(Trailers::ok()));
            let mut encoded = Encoded::default();
            encoded.extend(frames.chain(end).map(Piece::Frame), 0);
            assert_eq!(encoded.end, Some(Box::new(Trailers::ok())));
            encoded.payload
        };
        let mut copied = encoded();
        assert_eq!(copied.copy_to_bytes(expected.len()), expected);
        assert!(copied.is_empty());

        let mut popped = encoded();
        let chunks: Vec<_> = std::iter::from_fn(|| popped.pop()).collect();
        assert_eq!(chunks.concat(), expected);
        assert_eq!(chunks.len(), 5, "two messages lie in chunks of their own");

        let (mut split, mut parts) = (encoded(), Vec::new());
        while !split.is_empty() {
            let mut part = split.split_to(20_000);
            let size = part.remaining();
            assert!(
                size == 20_000 || split.is_empty(),
                "as much as was asked for"
            );
            parts.extend(part.copy_to_bytes(size));
        }
        assert_eq!(parts, expected);

        let mut stepped = encoded();
        let mut bytes: Vec<u8> = Vec::new();
        while stepped.has_remaining() {
            let mut slices = [std::io::IoSlice::new(&[]); 2];
            let count = stepped.chunks_vectored(&mut slices);
            let seen: Vec<_> = slices[..count]
                .iter()
                .flat_map(|slice| slice.iter())
                .collect();
            let step = seen.len().min(20_000);
            bytes.extend(seen[..step].iter().copied());
            stepped.advance(step);
        }
        assert_eq!(bytes, expected);
    }
}
