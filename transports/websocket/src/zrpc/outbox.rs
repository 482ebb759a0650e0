//! What was pulled from a call and waits for the peer's credit.

use std::collections::VecDeque;

use headwater_proto::zrpc::v2::WINDOW_BYTES;
use headwater_rpc::Frame;

use super::inbox::cost_of;

/// Frames of one call, in order. No more are pulled while any wait, so that it holds one pull at most.
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    /// What the peer takes.
    credit: i64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            credit: i64::from(WINDOW_BYTES),
        }
    }
}

impl Outbox {
    pub(super) fn add_credit(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(i64::from(bytes));
    }

    pub(super) fn extend(&mut self, frames: Vec<Frame>) {
        self.frames.extend(frames);
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The next frame, if the credit allows it. What is no message needs none.
    pub(super) fn next(&mut self) -> Option<Frame> {
        if let Some(cost) = cost_of(self.frames.front()?) {
            if self.credit <= 0 {
                return None;
            }
            self.credit -= cost;
        }
        let next = self.frames.pop_front();
        if self.frames.is_empty() {
            // A call that waits holds no buffer.
            self.frames = VecDeque::new();
        }
        next
    }
}
