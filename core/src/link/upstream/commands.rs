//! The commands that wait for their result.

use alloc::collections::VecDeque;

/// Names a command. Counted from 1 over the life of a [`Link`](super::Link), across its registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u64);

impl CommandId {
    /// The number, for logs.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The commands of one registration, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Commands {
    minted: u64,
    /// Sent, and not at the head of the results seen.
    waiting: VecDeque<Waiting>,
    /// Sent, and not covered by a `results_through` that was sent.
    unconfirmed: u32,
    /// Seen without a hole, and not told yet: the last number, and how many commands.
    seen: Option<(u64, u32)>,
}

#[derive(Debug)]
struct Waiting {
    seq: u64,
    id: CommandId,
    ended: bool,
}

impl Commands {
    pub(super) const fn unconfirmed(&self) -> u32 {
        self.unconfirmed
    }

    /// Whether [`Commands::take_seen`] makes room.
    pub(super) const fn has_seen(&self) -> bool {
        self.seen.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Notes a command that is sent under `seq`, which is larger than any before it.
    pub(super) fn sent(&mut self, seq: u64) -> CommandId {
        self.minted += 1;
        let id = CommandId(self.minted);
        self.waiting.push_back(Waiting {
            seq,
            id,
            ended: false,
        });
        self.unconfirmed = self.unconfirmed.saturating_add(1);
        id
    }

    /// The command that this result is for; `None` if there is none or it has its result.
    pub(super) fn ended(&mut self, seq: u64) -> Option<CommandId> {
        let at = self
            .waiting
            .binary_search_by_key(&seq, |waiting| waiting.seq)
            .ok()?;
        let waiting = &mut self.waiting[at];
        if waiting.ended {
            return None;
        }
        waiting.ended = true;
        let id = waiting.id;
        while let Some(first) = self.waiting.pop_front_if(|first| first.ended) {
            let (_, count) = self.seen.unwrap_or_default();
            self.seen = Some((first.seq, count + 1));
        }
        Some(id)
    }

    /// Up to where results were seen without a hole, if that is news; the news is told by this.
    pub(super) fn take_seen(&mut self) -> Option<u64> {
        let (seq, count) = self.seen.take()?;
        self.unconfirmed = self.unconfirmed.saturating_sub(count);
        Some(seq)
    }

    /// Starts a new registration: the commands that have no result, in their order.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = CommandId> + use<> {
        self.unconfirmed = 0;
        self.seen = None;
        let waiting = core::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .filter(|waiting| !waiting.ended)
            .map(|waiting| waiting.id)
    }
}
