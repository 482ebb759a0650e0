//! What a call has sent and its transport has not taken yet.

use std::{collections::VecDeque, mem};

use headwater_core::call::{Credit, Frame};

use crate::{payload::Encoded, run::Run, shared::sum};

/// Bytes of messages that one pull may take: large ones share a system call. One piece more may go with them.
const PULL_BYTES: usize = 64 << 10;
/// Pieces that one pull may take: so many small messages are still in the processor's cache when they are encoded.
const PULL_PIECES: usize = 256;
/// A run is not made longer than this, for its buffer is copied when it grows.
const RUN_BYTES: usize = 64 << 10;
/// A run from this length on becomes a piece as it is, instead of being copied to the one before.
const MOVED_RUN_BYTES: usize = 32 << 10;

/// A part of what is sent.
pub(crate) enum Piece {
    Frame(Frame),
    /// Messages that were encoded when they were sent.
    Run(Run),
}

impl Piece {
    const fn credit(&self) -> Credit {
        match self {
            Self::Frame(frame) => frame.credit(),
            Self::Run(run) => run.credit(),
        }
    }
}

/// Frames and runs in order.
#[derive(Default)]
pub(crate) struct Unsent {
    pieces: VecDeque<Piece>,
    credit: Credit,
    /// How long the last run became, which the next one is likely to become as well.
    run_bytes: usize,
}

impl Unsent {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.credit = sum(self.credit, frame.credit());
        self.pieces.push_back(Piece::Frame(frame));
    }

    /// Appends the first `messages` of a run, which have so many bytes with their prefixes.
    pub(crate) fn push_run(&mut self, run: &mut Run, messages: usize, bytes: usize) {
        let before = run.credit();
        let last = match self.pieces.back_mut() {
            Some(Piece::Run(last)) if last.len() + bytes <= RUN_BYTES => Some(last),
            Some(Piece::Run(_) | Piece::Frame(_)) | None => None,
        };
        match last {
            Some(last) => run.move_to(last, messages, bytes, bytes),
            None if bytes >= MOVED_RUN_BYTES && bytes == run.len() => {
                self.pieces.push_back(Piece::Run(mem::take(run)));
            }
            None => {
                let mut next = Run::default();
                run.move_to(&mut next, messages, bytes, self.run_bytes);
                self.pieces.push_back(Piece::Run(next));
            }
        }
        let after = run.credit();
        self.credit.messages += before.messages - after.messages;
        self.credit.bytes += before.bytes - after.bytes;
    }

    /// Throws all away, and says how much that was.
    pub(crate) fn clear(&mut self) -> Credit {
        self.pieces.clear();
        mem::take(&mut self.credit)
    }

    /// Appends what one pull may take, and says how much that is. `None` if there is nothing.
    pub(crate) fn pull(&mut self, frames: &mut Vec<Frame>) -> Option<Credit> {
        let (pieces, taken) = self.take()?;
        frames.reserve(taken.messages);
        for piece in pieces {
            match piece {
                Piece::Frame(frame) => frames.push(frame),
                Piece::Run(run) => frames.extend(run.into_messages().map(Frame::Message)),
            }
        }
        Some(taken)
    }

    /// [`Unsent::pull`], in gRPC's framing.
    pub(crate) fn pull_encoded(&mut self, encoded: &mut Encoded) -> Option<Credit> {
        if let Some(Piece::Run(run)) = self.pieces.front() {
            self.run_bytes = run.len();
        }
        let (pieces, taken) = self.take()?;
        encoded.extend(pieces, taken.bytes);
        Some(taken)
    }

    fn take(&mut self) -> Option<(impl Iterator<Item = Piece>, Credit)> {
        if self.pieces.is_empty() {
            return None;
        }
        let (count, taken) = one_pull(self.pieces.iter().map(Piece::credit));
        self.credit.messages -= taken.messages;
        self.credit.bytes -= taken.bytes;
        Some((self.pieces.drain(..count), taken))
    }
}

/// How many of the pieces that use so much one pull may take, and how much that is.
pub(crate) fn one_pull(pieces: impl Iterator<Item = Credit>) -> (usize, Credit) {
    let (mut count, mut taken) = (0, Credit::default());
    for credit in pieces {
        if taken.bytes >= PULL_BYTES || count >= PULL_PIECES {
            break;
        }
        taken = sum(taken, credit);
        count += 1;
    }
    (count, taken)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_core::call::Trailers;

    use super::*;

    fn unsent(messages: usize, bytes: usize) -> Unsent {
        let mut unsent = Unsent::default();
        for _ in 0..messages {
            unsent.push(Frame::Message(vec![b'm'; bytes].into()));
        }
        unsent
    }

    #[test]
    fn pulls_keep_order_and_count_everything_once() {
        for (messages, bytes, pulls) in
            [(3, 10, 1), (600, 10, 3), (9, 64 << 10, 9), (2, 1 << 20, 2)]
        {
            let mut unsent = unsent(messages, bytes);
            unsent.push(Frame::end(Trailers::ok()));
            let (mut pulled, mut frames, mut total) = (0, Vec::new(), Credit::default());
            let mut count = 0;
            while let Some(credit) = unsent.pull(&mut frames) {
                (pulled, total) = (pulled + 1, sum(total, credit));
                let told = frames
                    .iter()
                    .map(Frame::credit)
                    .fold(Credit::default(), sum);
                assert_eq!(credit, told, "{messages} of {bytes}");
                count += frames.len();
                if unsent.is_empty() {
                    assert!(
                        matches!(frames.last(), Some(Frame::End(_))),
                        "the end is last"
                    );
                }
                frames.clear();
            }
            assert_eq!(count, messages + 1);
            let expected = Credit {
                messages,
                bytes: messages * bytes,
            };
            assert_eq!((total, unsent.clear()), (expected, Credit::default()));
            assert!(
                pulled == pulls || pulled == pulls + 1,
                "{pulled} pulls of {messages} of {bytes}"
            );
        }
    }

    #[test]
    fn what_is_pulled_goes_behind_what_is_there() {
        let mut unsent = unsent(1, 1);
        let mut frames = vec![Frame::Message(Bytes::new())];
        assert_eq!(unsent.pull(&mut frames), Some(Credit::message(1)));
        assert_eq!(frames.len(), 2);
        assert_eq!(unsent.pull(&mut frames), None);
    }
}
