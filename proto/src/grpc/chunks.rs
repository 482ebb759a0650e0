//! Chunks of bytes, one after the other.

use alloc::collections::VecDeque;
use core::mem;

use bytes::{Buf as _, Bytes};

/// Chunks in order, none of them empty. The first lies in the struct itself: most have no other, and need no memory for it.
#[derive(Debug, Default)]
pub struct Chunks {
    /// Empty only if there is nothing.
    first: Bytes,
    rest: VecDeque<Bytes>,
}

impl Chunks {
    /// No chunks.
    pub const fn new() -> Self {
        Self {
            first: Bytes::new(),
            rest: VecDeque::new(),
        }
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The first chunk; empty if there is none.
    pub const fn first(&self) -> &Bytes {
        &self.first
    }

    /// All chunks, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        let first = (!self.is_empty()).then_some(&self.first);
        first.into_iter().chain(&self.rest)
    }

    /// Appends a chunk; an empty one is left out.
    pub fn push(&mut self, chunk: Bytes) {
        if self.first.is_empty() {
            self.first = chunk;
        } else if !chunk.is_empty() {
            self.rest.push_back(chunk);
        }
    }

    /// Takes the first chunk.
    pub fn pop(&mut self) -> Option<Bytes> {
        let next = self.rest.pop_front().unwrap_or_default();
        let chunk = mem::replace(&mut self.first, next);
        (!chunk.is_empty()).then_some(chunk)
    }

    /// Takes this many bytes of the first chunk.
    ///
    /// # Panics
    ///
    /// It has not so many.
    pub fn split_first(&mut self, bytes: usize) -> Bytes {
        if bytes == self.first.len() {
            return self.pop().unwrap_or_default();
        }
        self.first.split_to(bytes)
    }

    /// Throws this many bytes of the first chunk away.
    ///
    /// # Panics
    ///
    /// It has not so many.
    pub fn advance_first(&mut self, bytes: usize) {
        if bytes == self.first.len() {
            self.pop();
        } else {
            self.first.advance(bytes);
        }
    }

    /// Throws all away.
    pub fn clear(&mut self) {
        // What is only made empty would hold on to its memory.
        self.first = Bytes::new();
        self.rest.clear();
    }

    /// The memory that this takes beside the chunks' own, in bytes.
    #[cfg(test)]
    pub(super) fn record_bytes(&self) -> usize {
        self.rest.capacity() * size_of::<Bytes>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn chunks_come_in_order_however_they_are_taken() {
        let mut chunks = Chunks::new();
        for chunk in ["one", "", "two", "three"] {
            chunks.push(Bytes::from_static(chunk.as_bytes()));
        }
        assert_eq!(chunks.iter().collect::<Vec<_>>(), ["one", "two", "three"]);
        assert_eq!(chunks.split_first(2), "on");
        assert_eq!(chunks.split_first(1), "e");
        assert_eq!(chunks.first(), "two");
        assert_eq!(chunks.pop().as_deref(), Some(&b"two"[..]));
        assert_eq!(chunks.split_first(5), "three");
        assert!(chunks.is_empty() && chunks.pop().is_none());
        chunks.push(Bytes::from_static(b"again"));
        assert_eq!(chunks.first(), "again");
        chunks.clear();
        assert!(chunks.is_empty() && chunks.iter().next().is_none());
    }
}
