//! Messages that are encoded where they are sent, one behind the other.

use std::cell::Cell;

use bytes::{Buf as _, Bytes};
use headwater_core::call::Credit;
use headwater_proto::grpc::framing::PREFIX_BYTES;

/// Messages as gRPC lays them on a byte stream, none of them compressed.
///
/// It spares each message an allocation, and a transport that carries gRPC's framing takes it as it is.
#[derive(Debug, Default)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    messages: usize,
}

thread_local! {
    /// Where the next message of this thread is encoded.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A spare buffer that has grown beyond this is not kept.
const SPARE_BYTES_MAX: usize = 64 << 10;

impl Run {
    /// An empty run in the thread's spare buffer.
    pub(crate) fn spare() -> Self {
        Self {
            bytes: SPARE.take(),
            messages: 0,
        }
    }

    /// Gives its buffer back to the thread.
    pub(crate) fn keep_spare(mut self) {
        if self.bytes.capacity() <= SPARE_BYTES_MAX {
            self.bytes.clear();
            SPARE.set(self.bytes);
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Bytes of all messages and their prefixes.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What its messages use of a window.
    pub(crate) const fn credit(&self) -> Credit {
        Credit {
            messages: self.messages,
            bytes: self.bytes.len() - self.messages * PREFIX_BYTES,
        }
    }

    /// Appends what `encode` appends, as one message.
    ///
    /// # Errors
    ///
    /// Those of `encode`; then the run is as it was.
    pub(crate) fn push<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        if let Err(error) = encode(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let length = self.bytes.len().saturating_sub(start + PREFIX_BYTES);
        // No call takes a message that is larger.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if let Some(prefix) = self.bytes.get_mut(start + 1..start + PREFIX_BYTES) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        self.messages += 1;
        Ok(())
    }

    /// The bytes of each message, in order.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        lengths_of(&self.bytes)
    }

    /// Moves the first `messages`, which have so many bytes with their prefixes, to the end of `other`, whose buffer is
    /// made for about `room` bytes.
    pub(crate) fn move_to(&mut self, other: &mut Self, messages: usize, bytes: usize, room: usize) {
        if other.bytes.capacity() == 0 {
            other.bytes.reserve(room.max(bytes));
        }
        other.bytes.extend_from_slice(&self.bytes[..bytes]);
        other.messages += messages;
        self.messages -= messages;
        if self.messages == 0 {
            self.bytes.clear();
        } else {
            self.bytes.drain(..bytes);
        }
    }

    /// Takes out the first message.
    pub(crate) fn take_first(&mut self) -> Option<Bytes> {
        let (length, after) = first_length(&self.bytes)?;
        let message = Bytes::copy_from_slice(&after[..length]);
        self.messages -= 1;
        self.bytes.drain(..PREFIX_BYTES + length);
        Some(message)
    }

    /// All of it, as gRPC lays it on a byte stream.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    /// Each message by itself, in order. They share one buffer.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = Bytes> {
        messages_of(self.into_bytes())
    }
}

/// The bytes of each message of a run, in order.
pub(crate) fn lengths_of(run: &[u8]) -> impl Iterator<Item = usize> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let (length, after) = first_length(rest)?;
        rest = after.get(length..).unwrap_or_default();
        Some(length)
    })
}

/// Each message of a run by itself, in order. They share its buffer.
pub(crate) fn messages_of(run: Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let length = take_prefix(&mut rest)?;
        Some(rest.split_to(length))
    })
}

/// Takes the prefix of the first message out of a run, and gives the message's length, of which there are as many bytes.
pub(crate) fn take_prefix(run: &mut Bytes) -> Option<usize> {
    let (length, after) = first_length(run)?;
    let length = length.min(after.len());
    run.advance(PREFIX_BYTES);
    Some(length)
}

/// The length of the first message, and what stands behind its prefix.
fn first_length(run: &[u8]) -> Option<(usize, &[u8])> {
    let ([_, length @ ..], after) = run.split_first_chunk::<PREFIX_BYTES>()?;
    Some((u32::from_be_bytes(*length) as usize, after))
}

#[cfg(test)]
mod tests {
    use headwater_proto::grpc::Deframer;

    use super::*;

    fn run(messages: &[&str]) -> Run {
        let mut run = Run::spare();
        for message in messages {
            let pushed: Result<(), ()> = run.push(|bytes| {
                bytes.extend_from_slice(message.as_bytes());
                Ok(())
            });
            pushed.expect("it is not refused");
        }
        run
    }

    #[test]
    fn a_run_is_what_a_deframer_reads() {
        let mut deframer = Deframer::new(100);
        deframer.push(run(&["one", "", "three"]).into_bytes());
        for expected in ["one", "", "three"] {
            let message = deframer.next_message().expect("valid").expect("whole");
            assert!(!message.compressed);
            assert_eq!(message.bytes, expected);
        }
        assert_eq!(deframer.next_message(), Ok(None));
        assert_eq!(deframer.finish(), Ok(()));
    }

    #[test]
    fn a_message_that_is_refused_leaves_nothing_behind() {
        let mut run = run(&["one"]);
        let refused = run.push(|bytes| {
            bytes.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(refused, Err("no"));
        assert_eq!(run.credit(), Credit::message(3));
        assert_eq!(run.into_messages().collect::<Vec<_>>(), ["one"]);
    }

    #[test]
    fn a_run_can_be_taken_apart_anywhere() {
        let mut first = run(&["one", "", "three", "four"]);
        assert_eq!(first.lengths().collect::<Vec<_>>(), [3, 0, 5, 4]);
        let mut other = run(&["zero"]);
        first.move_to(&mut other, 2, 2 * PREFIX_BYTES + 3, 0);
        assert_eq!(first.take_first().as_deref(), Some(&b"three"[..]));
        assert_eq!(first.credit(), Credit::message(4));
        assert_eq!(first.into_messages().collect::<Vec<_>>(), ["four"]);
        assert_eq!(
            other.into_messages().collect::<Vec<_>>(),
            ["zero", "one", ""]
        );
    }
}
