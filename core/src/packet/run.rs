//! Messages of one direction of one call that lie together.

use alloc::vec::Vec;
use core::mem;

use bytes::{Buf as _, Bytes};
use headwater_proto::grpc::framing::PREFIX_BYTES;

use crate::call::Credit;

/// Uncompressed messages that come or go together, as gRPC lays them on a byte stream: each behind five bytes, which are
/// 0 and its length. An endpoint looks them up, and counts their credit, at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    bytes: Bytes,
    messages: usize,
}

impl Run {
    /// Takes all messages from the front of `bytes` that are whole and not compressed. What is left begins with one that is
    /// not.
    pub fn take(bytes: &mut Bytes) -> Self {
        let (mut messages, mut end) = (0, 0);
        for length in lengths(bytes) {
            messages += 1;
            end += PREFIX_BYTES + length;
        }
        Self {
            bytes: bytes.split_to(end),
            messages,
        }
    }

    /// Whether there is no message in it.
    pub const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// What its messages use of a window.
    pub const fn credit(&self) -> Credit {
        Credit {
            messages: self.messages,
            bytes: self.bytes.len() - self.messages * PREFIX_BYTES,
        }
    }

    /// Each message, in order.
    #[inline]
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        core::iter::from_fn(move || {
            let message;
            (message, rest) = first(rest)?;
            Some(message)
        })
    }

    /// Each message by itself, in order. They share its memory.
    pub fn into_messages(mut self) -> impl Iterator<Item = Bytes> {
        core::iter::from_fn(move || self.pop())
    }

    /// All of it, as gRPC lays it on a byte stream.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Takes the first message out, which shares the memory.
    pub fn pop(&mut self) -> Option<Bytes> {
        let length = first(&self.bytes)?.0.len();
        self.bytes.advance(PREFIX_BYTES);
        self.messages -= 1;
        Some(self.bytes.split_to(length))
    }

    /// Takes messages from the front, up to the first before which `has_room` refuses what was taken so far.
    pub fn split_while(&mut self, has_room: impl Fn(Credit) -> bool) -> Self {
        let mut taken = Credit::default();
        let mut end = 0;
        for length in lengths(&self.bytes) {
            if !has_room(taken) {
                break;
            }
            taken = taken.add(Credit::message(length));
            end += PREFIX_BYTES + length;
        }
        self.messages -= taken.messages;
        Self {
            bytes: self.bytes.split_to(end),
            messages: taken.messages,
        }
    }
}

/// The first message, and what follows it; `None` if it is not whole, or compressed.
#[inline]
fn first(run: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[0, a, b, c, d], after) = run.split_first_chunk::<PREFIX_BYTES>()? else {
        return None;
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    after.split_at_checked(length)
}

fn lengths(run: &[u8]) -> impl Iterator<Item = usize> {
    let mut rest = run;
    core::iter::from_fn(move || {
        let message;
        (message, rest) = first(rest)?;
        Some(message.len())
    })
}

/// Makes runs, message by message, in a buffer that it keeps.
#[derive(Debug, Default)]
pub(super) struct RunBuilder {
    bytes: Vec<u8>,
    messages: usize,
}

impl RunBuilder {
    /// How many messages are in it.
    pub(super) const fn messages(&self) -> usize {
        self.messages
    }

    /// Appends a message. It has less than 4 GiB.
    #[inline]
    pub(super) fn push(&mut self, message: &[u8]) {
        let [a, b, c, d] = (message.len() as u32).to_be_bytes();
        self.bytes.extend_from_slice(&[0, a, b, c, d]);
        self.bytes.extend_from_slice(message);
        self.messages += 1;
    }

    /// What was pushed, in memory of just its size.
    pub(super) fn finish(&mut self) -> Run {
        let run = Run {
            bytes: Bytes::copy_from_slice(&self.bytes),
            messages: mem::take(&mut self.messages),
        };
        self.bytes.clear();
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(messages: &[&str]) -> Run {
        let mut builder = RunBuilder::default();
        for message in messages {
            builder.push(message.as_bytes());
        }
        builder.finish()
    }

    fn texts(run: Run) -> Vec<Bytes> {
        run.into_messages().collect()
    }

    #[test]
    fn a_run_gives_its_messages_in_order() {
        let run = run(&["one", "", "three"]);
        assert_eq!(
            run.credit(),
            Credit {
                messages: 3,
                bytes: 8
            }
        );
        assert_eq!(
            run.messages().collect::<Vec<_>>(),
            [&b"one"[..], b"", b"three"]
        );
        let again = Run::take(&mut run.clone().into_bytes());
        assert_eq!(again, run);
        assert_eq!(texts(run), ["one", "", "three"]);
    }

    #[test]
    fn what_is_compressed_or_cut_off_is_left() {
        for rest in [&b"\x01\0\0\0\x01x"[..], b"\0\0\0\0\x02x", b"\0\0", b""] {
            let mut bytes = [&run(&["one", "two"]).into_bytes(), rest].concat().into();
            assert_eq!(texts(Run::take(&mut bytes)), ["one", "two"], "{rest:?}");
            assert_eq!(bytes, rest);
        }
    }

    #[test]
    fn a_run_can_be_cut_anywhere() {
        let mut rest = run(&["one", "", "three", "four"]);
        let front = rest.split_while(|taken| taken.bytes < 4);
        assert_eq!(
            front.credit(),
            Credit {
                messages: 3,
                bytes: 8
            }
        );
        assert_eq!(rest.credit(), Credit::message(4));
        assert_eq!(texts(front), ["one", "", "three"], "the last may exceed it");
        assert!(rest.split_while(|_| false).is_empty());
        assert_eq!(rest.pop().as_deref(), Some(&b"four"[..]));
        assert!(rest.is_empty() && rest.pop().is_none());
    }
}
