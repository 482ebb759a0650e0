//! What may be sent, and what was received.

use headwater_proto::pw_rpc;

use super::config::INITIAL_WINDOW;
use crate::call::Credit;

/// What the peer lets this side send. Signed, because the last message may be larger than what is left, and because more
/// may have been sent before it was known that the peer counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendCredit {
    messages: i64,
    bytes: i64,
}

impl SendCredit {
    pub(super) fn initial() -> Self {
        Self {
            messages: signed(INITIAL_WINDOW.messages),
            bytes: signed(INITIAL_WINDOW.bytes),
        }
    }

    /// Some of both is left.
    pub(super) const fn is_left(self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    /// Some of both is left when this has been spent.
    pub(super) fn is_left_after(mut self, spent: Credit) -> bool {
        self.spend(spent);
        self.is_left()
    }

    pub(super) fn spend(&mut self, credit: Credit) {
        self.messages = self.messages.saturating_sub(signed(credit.messages));
        self.bytes = self.bytes.saturating_sub(signed(credit.bytes));
    }

    pub(super) fn granted(&mut self, credit: pw_rpc::Credit) {
        let bytes = i64::try_from(credit.bytes).unwrap_or(i64::MAX);
        self.messages = self.messages.saturating_add(i64::from(credit.messages));
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What the peer has sent and the application has not consumed; and what it has, and the peer does not know yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiveCredit {
    window: Credit,
    unread: Credit,
    owed: Credit,
}

impl ReceiveCredit {
    pub(super) fn new(window: Credit) -> Self {
        let window = Credit {
            messages: window.messages.max(INITIAL_WINDOW.messages),
            bytes: window.bytes.max(INITIAL_WINDOW.bytes),
        };
        Self {
            window,
            unread: Credit::default(),
            owed: window.less(INITIAL_WINDOW),
        }
    }

    /// Counts a message; `false` if the window was full before.
    pub(super) const fn receive(&mut self, message_bytes: usize) -> bool {
        let full =
            self.unread.messages >= self.window.messages || self.unread.bytes >= self.window.bytes;
        self.unread = self.unread.add(Credit::message(message_bytes));
        !full
    }

    /// Counts messages that came together, if the window has room for all of them; `false` if it has not.
    pub(super) const fn receive_all(&mut self, credit: Credit) -> bool {
        let unread = self.unread.add(credit);
        let fits = unread.messages <= self.window.messages && unread.bytes <= self.window.bytes;
        if fits {
            self.unread = unread;
        }
        fits
    }

    /// The application is done with this much, of what came. A peer that does not count is owed nothing for it.
    pub(super) fn consume(&mut self, credit: Credit, peer_counts: bool) {
        let credit = Credit {
            messages: credit.messages.min(self.unread.messages),
            bytes: credit.bytes.min(self.unread.bytes),
        };
        self.unread = self.unread.less(credit);
        if peer_counts {
            self.owed = self.owed.add(credit);
        }
    }

    /// What to grant the peer, once it is half of the window.
    pub(super) fn take_grant(&mut self) -> Option<pw_rpc::Credit> {
        let due = self.owed.messages.saturating_mul(2) >= self.window.messages
            || self.owed.bytes.saturating_mul(2) >= self.window.bytes;
        if !due {
            return None;
        }
        let messages = u32::try_from(self.owed.messages).unwrap_or(u32::MAX);
        let bytes = self.owed.bytes as u64;
        self.owed = Credit::default();
        Some(pw_rpc::Credit { messages, bytes })
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
