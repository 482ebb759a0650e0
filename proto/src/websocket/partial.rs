//! A message of which only a part is here.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{MessageKind, Violation, decode::SHARED_BYTES_MIN, frame::unmask};

/// The message under way: fragments, or one frame that came in several pieces.
#[derive(Debug)]
pub(super) struct Partial {
    kind: MessageKind,
    /// The unmasked payload so far.
    data: Vec<u8>,
    /// How much of `data` is known to be whole characters.
    checked: usize,
    /// The frame under way.
    frame: Frame,
}

/// The frame under way of a [`Partial`]; between two fragments none of it is missing.
#[derive(Debug, Clone, Copy)]
struct Frame {
    last: bool,
    /// Turned so that it begins with the byte for the next byte to come.
    mask: [u8; 4],
    missing: usize,
}

impl Partial {
    /// A message whose first frame has this header.
    pub(super) const fn new(
        kind: MessageKind,
        last: bool,
        mask: [u8; 4],
        payload_len: usize,
    ) -> Self {
        Self {
            kind,
            data: Vec::new(),
            checked: 0,
            frame: Frame {
                last,
                mask,
                missing: payload_len,
            },
        }
    }

    /// How many bytes the frame under way still lacks.
    pub(super) const fn missing(&self) -> usize {
        self.frame.missing
    }

    /// How many bytes of the message are here.
    pub(super) const fn len(&self) -> usize {
        self.data.len()
    }

    /// How much memory the message takes.
    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Whether all of it is here.
    pub(super) const fn is_complete(&self) -> bool {
        self.frame.last && self.frame.missing == 0
    }

    /// Whether it is a binary message that a copy costs less than a buffer of its own.
    pub(super) const fn is_short(&self) -> bool {
        matches!(self.kind, MessageKind::Binary) && self.data.len() < SHARED_BYTES_MIN
    }

    /// A further fragment begins.
    pub(super) const fn next_frame(&mut self, last: bool, mask: [u8; 4], payload_len: usize) {
        self.frame = Frame {
            last,
            mask,
            missing: payload_len,
        };
    }

    /// Takes what belongs to the frame under way from the start of `bytes`; returns how much that was.
    ///
    /// `bytes_max` is the bound of the whole message, which the caller has checked against the header.
    pub(super) fn take(&mut self, bytes: &[u8], bytes_max: usize) -> Result<usize, Violation> {
        let taken = bytes.len().min(self.frame.missing);
        let start = self.data.len();
        self.reserve(taken, bytes_max);
        self.data.extend_from_slice(&bytes[..taken]);
        unmask(&mut self.data[start..], self.frame.mask);
        self.frame.mask.rotate_left(taken % 4);
        self.frame.missing -= taken;
        self.check()?;
        Ok(taken)
    }

    /// Doubles, but never past what the message can still need: what is held is at most twice what the peer has sent.
    fn reserve(&mut self, taken: usize, bytes_max: usize) {
        if self.data.capacity() - self.data.len() >= taken {
            return;
        }
        let ahead = if self.frame.last {
            self.frame.missing
        } else {
            bytes_max.saturating_sub(self.data.len())
        };
        self.data
            .reserve_exact(taken.max(ahead.min(self.data.len())));
    }

    /// Refuses what cannot become UTF-8 any more, as soon as it is here.
    fn check(&mut self) -> Result<(), Violation> {
        if self.kind == MessageKind::Binary {
            return Ok(());
        }
        match core::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_some() || self.is_complete() => {
                return Err(Violation::NOT_UTF8);
            }
            // A character is cut; its bytes, at most three, are looked at again with the rest of it.
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }

    /// The complete message.
    pub(super) fn finish(mut self) -> (MessageKind, Bytes) {
        self.data.shrink_to_fit();
        (self.kind, self.data.into())
    }
}
