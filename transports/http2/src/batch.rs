//! Messages of a call, encoded as the payload of one DATA frame.

use std::{collections::VecDeque, mem};

use bytes::{Buf, Bytes};
use headwater_proto::grpc::framing;
use headwater_rpc::{Frame, Trailers};

/// Messages from this size on are handed to HTTP/2 as they are instead of being copied into the batch.
const OWN_CHUNK_BYTES: usize = 32 << 10;

/// Encoded messages. Small ones lie together in one chunk; a large one is a chunk of its own, which is not copied.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Empty only if there is nothing.
    first: Bytes,
    rest: VecDeque<Bytes>,
    bytes: usize,
}

impl Batch {
    /// Encodes all messages, and gives what ends them. Headers went ahead of them, and are left out.
    pub(crate) fn encode(frames: &mut Vec<Frame>) -> (Self, Option<Box<Trailers>>) {
        let mut batch = Self::default();
        let mut small = Vec::with_capacity(frames.iter().map(copied_bytes).sum());
        let mut end = None;
        for frame in frames.drain(..) {
            match frame {
                Frame::Message(message) => batch.push_message(message, false, &mut small),
                Frame::Compressed(message) => batch.push_message(message, true, &mut small),
                Frame::Headers(_) => {}
                Frame::End(trailers) => end = Some(trailers),
            }
        }
        batch.push(small.into());
        (batch, end)
    }

    /// Takes the next chunk.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let next = self.rest.pop_front().unwrap_or_default();
        let chunk = mem::replace(&mut self.first, next);
        self.bytes -= chunk.len();
        (!chunk.is_empty()).then_some(chunk)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn push_message(&mut self, message: Bytes, compressed: bool, small: &mut Vec<u8>) {
        if message.len() < OWN_CHUNK_BYTES {
            return framing::encode(&message, compressed, small);
        }
        framing::encode_prefix(message.len(), compressed, small);
        self.push(mem::take(small).into());
        self.push(message);
    }

    fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.bytes += chunk.len();
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.push_back(chunk);
        }
    }
}

fn copied_bytes(frame: &Frame) -> usize {
    match frame {
        Frame::Message(message) | Frame::Compressed(message) => {
            let own_chunk = message.len() >= OWN_CHUNK_BYTES;
            framing::PREFIX_BYTES + if own_chunk { 0 } else { message.len() }
        }
        Frame::Headers(_) | Frame::End(_) => 0,
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        &self.first
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let chunks = std::iter::once(&self.first).chain(&self.rest);
        let mut count = 0;
        for (slice, chunk) in slices
            .iter_mut()
            .zip(chunks.filter(|chunk| !chunk.is_empty()))
        {
            *slice = std::io::IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "no more than there is");
        self.bytes -= count;
        while count > 0 {
            let step = count.min(self.first.len());
            self.first.advance(step);
            count -= step;
            if self.first.is_empty() {
                self.first = self.rest.pop_front().unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However it is taken apart, a batch is the encoded messages one after the other.
    #[test]
    fn a_batch_is_its_messages_in_order() {
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
            let mut frames: Vec<_> = messages.iter().cloned().map(Frame::Message).collect();
            frames.push(Frame::end(Trailers::ok()));
            let (batch, end) = Batch::encode(&mut frames);
            assert_eq!(end, Some(Box::new(Trailers::ok())));
            batch
        };
        let mut copied = encoded();
        assert_eq!(copied.copy_to_bytes(expected.len()), expected);
        assert!(copied.is_empty());

        let mut popped = encoded();
        let chunks: Vec<_> = std::iter::from_fn(|| popped.pop()).collect();
        assert_eq!(chunks.concat(), expected);
        assert_eq!(chunks.len(), 5, "two messages lie in chunks of their own");

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
