//! What a call has sent and its transport has not taken yet.

use std::mem;

use headwater_core::call::{Credit, Frame};

use crate::shared::sum;

/// Bytes of messages that one pull may take: large ones share a system call. One message more may go with them.
const PULL_BYTES: usize = 256 << 10;
/// Messages that one pull may take: so many small ones are still in the processor's cache when they are encoded.
const PULL_MESSAGES: usize = 256;

/// Frames in order.
#[derive(Default)]
pub(crate) struct Unsent {
    frames: Vec<Frame>,
    credit: Credit,
}

impl Unsent {
    pub(crate) const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.credit = sum(self.credit, frame.credit());
        self.frames.push(frame);
    }

    /// Throws all away, and says how much that was.
    pub(crate) fn clear(&mut self) -> Credit {
        self.frames.clear();
        mem::take(&mut self.credit)
    }

    /// Appends what one pull may take, and says how much that is. `None` if there is nothing.
    pub(crate) fn pull(&mut self, frames: &mut Vec<Frame>) -> Option<Credit> {
        if self.frames.is_empty() {
            return None;
        }
        let whole = self.credit.bytes <= PULL_BYTES && self.credit.messages <= PULL_MESSAGES;
        if whole && frames.is_empty() {
            mem::swap(&mut self.frames, frames);
            return Some(mem::take(&mut self.credit));
        }
        let (count, taken) = one_pull(self.frames.iter());
        frames.extend(self.frames.drain(..count));
        self.credit.messages -= taken.messages;
        self.credit.bytes -= taken.bytes;
        Some(taken)
    }
}

/// How many of these frames one pull may take, and how much that is.
pub(crate) fn one_pull<'a>(frames: impl Iterator<Item = &'a Frame>) -> (usize, Credit) {
    let (mut count, mut taken) = (0, Credit::default());
    for frame in frames {
        if taken.bytes >= PULL_BYTES || taken.messages >= PULL_MESSAGES {
            break;
        }
        taken = sum(taken, frame.credit());
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
            [(3, 10, 1), (600, 10, 3), (9, 64 << 10, 3), (2, 1 << 20, 2)]
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
