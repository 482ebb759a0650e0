//! One consumer: what it holds, and how long it may.

use alloc::collections::VecDeque;
use core::{ops::RangeInclusive, time::Duration};

use super::{QueueConfig, Taking, group::GroupKey, log::Load};
use crate::Time;

/// A message in a consumer's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) offset: u64,
    pub(super) bytes: usize,
    /// Of the push; once in doubt, of the writing.
    pub(super) since: Time,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) group: GroupKey,
    pub(super) taking: Taking,
    window: Load,
    /// Pushed, and neither written nor answered: in the order of pushing for [`Taking::Written`], otherwise of offsets.
    pub(super) held: VecDeque<Held>,
    held_bytes: usize,
    /// Written, and taken if the connection lasts a while.
    pub(super) in_doubt: VecDeque<Held>,
    in_doubt_bytes: usize,
    /// When it last took something, or had nothing to take.
    pub(super) progress: Time,
    /// When it is to be looked at.
    pub(super) alarm: Option<Time>,
    /// It is in its group's `turn`.
    pub(super) has_turn: bool,
}

impl Consumer {
    pub(super) fn new(group: GroupKey, taking: Taking, config: &QueueConfig, now: Time) -> Self {
        let messages = match taking {
            Taking::Written | Taking::Acknowledged { window: 0 } => config.window_messages,
            Taking::Acknowledged { window } => window.min(config.window_messages_max),
        };
        Self {
            group,
            taking,
            window: Load {
                messages: usize::try_from(messages).unwrap_or(usize::MAX).max(1),
                bytes: config.window_bytes.max(1),
            },
            held: VecDeque::new(),
            held_bytes: 0,
            in_doubt: VecDeque::new(),
            in_doubt_bytes: 0,
            progress: now,
            alarm: None,
            has_turn: false,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.held.len() < self.window.messages && self.held_bytes < self.window.bytes
    }

    pub(super) fn push(&mut self, held: Held) {
        self.held_bytes += held.bytes;
        let is_in_order = self
            .held
            .back()
            .is_none_or(|last| last.offset < held.offset);
        if is_in_order || self.taking == Taking::Written {
            self.held.push_back(held);
            return;
        }
        let at = self
            .held
            .partition_point(|other| other.offset < held.offset);
        self.held.insert(at, held);
    }

    /// Lets go of the one that was pushed first.
    pub(super) fn pop(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.held_bytes -= held.bytes;
        Some(held)
    }

    /// What it let go of was written.
    pub(super) fn doubt(&mut self, held: Held, now: Time) {
        self.in_doubt_bytes += held.bytes;
        self.in_doubt.push_back(Held { since: now, ..held });
    }

    pub(super) fn doubts(&self) -> Load {
        Load {
            messages: self.in_doubt.len(),
            bytes: self.in_doubt_bytes,
        }
    }

    /// The oldest of what is in doubt is so no more.
    pub(super) fn pop_doubt(&mut self) -> Option<Held> {
        let held = self.in_doubt.pop_front()?;
        self.in_doubt_bytes -= held.bytes;
        Some(held)
    }

    /// Lets go of those of an acknowledging consumer in this range, and gives each to `each`.
    pub(super) fn remove(&mut self, range: &RangeInclusive<u64>, mut each: impl FnMut(Held)) {
        let begin = self
            .held
            .partition_point(|held| held.offset < *range.start());
        let end = self
            .held
            .partition_point(|held| held.offset <= *range.end());
        if begin >= end {
            return;
        }
        for held in self.held.drain(begin..end) {
            self.held_bytes -= held.bytes;
            each(held);
        }
    }

    /// Lets go of what it has held for this long, and gives each to `each`.
    pub(super) fn remove_held_for(
        &mut self,
        time: Duration,
        now: Time,
        mut each: impl FnMut(Held),
    ) {
        let bytes = &mut self.held_bytes;
        self.held.retain(|held| {
            let is_late = held.since + time <= now;
            if is_late {
                *bytes -= held.bytes;
                each(*held);
            }
            !is_late
        });
    }
}
