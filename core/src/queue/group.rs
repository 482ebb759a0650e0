//! One group: its place in the channel, and whose turn it is.

use alloc::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::{
    ConsumerKey, Name,
    log::{Holder, Log},
};
/// Names a group inside of a queue. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct GroupKey(pub(super) u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// It lasts as long as the channel.
    Lasting(Name),
    /// It is this consumer, and ends with it.
    Fanout(ConsumerKey),
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    /// The first that was never pushed in this group.
    pub(super) next: u64,
    /// To be pushed again, before all others.
    pub(super) again: BTreeSet<u64>,
    /// Its consumers that have room, in the order in which they are served.
    pub(super) turn: VecDeque<ConsumerKey>,
    /// How many of them are still to be served in this round, and what each is given at most.
    round: (usize, usize),
    /// It is among those to be looked at.
    pub(super) is_dirty: bool,
}

impl Group {
    pub(super) const fn new(kind: Kind, next: u64) -> Self {
        Self {
            kind,
            next,
            again: BTreeSet::new(),
            turn: VecDeque::new(),
            round: (0, 0),
            is_dirty: false,
        }
    }

    pub(super) const fn holder(&self) -> Holder {
        match self.kind {
            Kind::Lasting(_) => Holder::Lasting,
            Kind::Fanout(_) => Holder::Fanout,
        }
    }

    /// Whether this message is not in the hands of a consumer, nor was taken.
    pub(super) fn awaits(&self, offset: u64) -> bool {
        offset >= self.next || self.again.contains(&offset)
    }

    /// Whose turn it is, and how many messages it is given at most. All that have room share alike in what there is.
    pub(super) fn next_turn(&mut self, stored: u64) -> Option<(ConsumerKey, usize)> {
        let fresh = (stored + 1).saturating_sub(self.next);
        let available = self.again.len() + usize::try_from(fresh).unwrap_or(usize::MAX);
        if available == 0 || self.turn.is_empty() {
            self.round = (0, 0);
            return None;
        }
        if self.round.0 == 0 {
            let consumers = self.turn.len();
            self.round = (consumers, available.div_ceil(consumers));
        }
        self.round.0 -= 1;
        Some((self.turn.pop_front()?, self.round.1))
    }

    /// What is to be pushed next, and whether it was before.
    pub(super) fn next_message(&mut self, log: &Log, stored: u64) -> Option<(u64, Bytes, bool)> {
        let get = |offset| {
            let entry = log.get(offset).filter(|entry| !entry.expired);
            entry.map(|entry| entry.message.clone())
        };
        while let Some(offset) = self.again.pop_first() {
            if let Some(message) = get(offset) {
                return Some((offset, message, true));
            }
        }
        if self.next > stored {
            return None;
        }
        // There may be any number of them that are gone.
        let next = log.first_from(self.next);
        let next = next.filter(|(offset, _)| *offset <= stored);
        self.next = next.as_ref().map_or(stored, |(offset, _)| *offset) + 1;
        next.map(|(offset, message)| (offset, message, false))
    }
}
