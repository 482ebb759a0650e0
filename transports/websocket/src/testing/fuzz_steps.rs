//! What a fuzzer does next, from its seed.

use bytes::Bytes;

use super::Fuzzer;

/// One thing that a client does. Calls are told apart by their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// A unary call, to its end.
    Unary { message: Bytes },
    /// Starts a bidirectional call; the one that had this place is dropped.
    Open { place: usize },
    /// Sends a request.
    Write { place: usize, message: Bytes },
    /// Takes a response, if one is owed.
    Read { place: usize },
    /// Sends no more, and takes all that is owed.
    Complete { place: usize },
    /// Cancels by word.
    Cancel { place: usize },
    /// Lets others run.
    Wait,
}

/// SplitMix64 (Steele, Lea, Flood 2014): any order of actions will do.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn message(&mut self, bytes_max: usize) -> Bytes {
        let length = self.below(bytes_max.saturating_add(1));
        let mut message = Vec::with_capacity(length);
        while message.len() < length {
            let eight = self.next().to_le_bytes();
            let wanted = eight.len().min(length - message.len());
            message.extend_from_slice(&eight[..wanted]);
        }
        message.into()
    }

    pub(super) fn action(&mut self, bounds: &Fuzzer) -> Action {
        let place = self.below(bounds.calls_max);
        match self.below(10) {
            0 => Action::Unary {
                message: self.message(bounds.message_bytes_max),
            },
            1 => Action::Open { place },
            2..=5 => Action::Write {
                place,
                message: self.message(bounds.message_bytes_max),
            },
            6 | 7 => Action::Read { place },
            8 => match self.below(2) {
                0 => Action::Complete { place },
                _ => Action::Cancel { place },
            },
            _ => Action::Wait,
        }
    }
}
