//! Calls that this side has ended, and whose answers wait in the machine for their clients' credit.

use std::{collections::BTreeMap, time::Duration};

use headwater_core::{
    call::Credit,
    packet::{CallKey, Endpoint},
};
use headwater_rpc::Code;
use tokio::time::Instant;

/// Sees to it that none of them waits for ever ([`headwater_rpc::ServerConfig::unread_timeout`]).
#[derive(Default)]
pub(super) struct Leaving {
    calls: BTreeMap<CallKey, Left>,
    /// When they are looked at.
    next: Option<Instant>,
}

struct Left {
    unsent: Credit,
    /// Since when it has been that much, as far as anybody has looked.
    since: Instant,
}

impl Leaving {
    /// The call has ended; all that it says is with the machine.
    pub(super) fn add(&mut self, key: CallKey, endpoint: &Endpoint, bound: Duration) {
        let Some(unsent) = endpoint.unsent(key) else {
            return;
        };
        if self.calls.len() > 2 * endpoint.calls() + 16 {
            // Most of them have left.
            self.calls.retain(|key, _| endpoint.unsent(*key).is_some());
        }
        let since = Instant::now();
        self.calls.insert(key, Left { unsent, since });
        if self.next.is_none() {
            self.next = since.checked_add(bound);
        }
    }

    /// When [`Leaving::look`] is due.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Gives up the calls of which nothing was taken for so long.
    pub(super) fn look(&mut self, endpoint: &mut Endpoint, bound: Duration) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = None;
        let next = &mut self.next;
        self.calls.retain(|key, left| {
            let Some(unsent) = endpoint.unsent(*key) else {
                return false;
            };
            if unsent != left.unsent {
                *left = Left { unsent, since: now };
            }
            let at = left.since.checked_add(bound);
            if at.is_some_and(|at| at <= now) {
                endpoint.reset(*key, Code::Cancelled);
                return false;
            }
            *next = [*next, at].into_iter().flatten().min();
            true
        });
    }
}
