//! One address, and what became of it.

use super::ConnectionId;
use crate::{
    back_off::Waits,
    time::{Deadline, Time, Why},
};

#[derive(Debug)]
pub(super) struct Endpoint<A> {
    pub(super) address: A,
    pub(super) link: Link,
    pub(super) waits: Waits,
    /// It has failed, and nothing has succeeded since. What is tried anew stays failed until it is ready (gRFC A62).
    pub(super) failed: bool,
    /// `pick_first`: it had its turn in this pass over the list.
    pub(super) tried: bool,
    /// Its last connection was lost right after it came up.
    short_lived: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Link {
    /// May be tried.
    Idle,
    /// Is being tried, until it takes too long.
    Connecting {
        id: ConnectionId,
        until: Time,
        /// The end of the back-off, should it fail.
        retry_at: Time,
    },
    /// Takes calls.
    Ready { id: ConnectionId, since: Time },
    /// Is left alone for a while.
    Waiting { until: Time },
}

impl<A> Endpoint<A> {
    pub(super) const fn new(address: A, waits: Waits) -> Self {
        Self {
            address,
            link: Link::Idle,
            waits,
            failed: false,
            tried: false,
            short_lived: false,
        }
    }

    pub(super) const fn ready(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Ready { id, .. } => Some(id),
            Link::Idle | Link::Connecting { .. } | Link::Waiting { .. } => None,
        }
    }

    pub(super) const fn connecting(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Connecting { id, .. } => Some(id),
            Link::Idle | Link::Ready { .. } | Link::Waiting { .. } => None,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.link, Link::Idle)
    }

    pub(super) const fn connected(&mut self, id: ConnectionId, now: Time) {
        self.link = Link::Ready { id, since: now };
        self.waits.reset();
        self.failed = false;
    }

    pub(super) fn failed(&mut self, now: Time) {
        let Link::Connecting { retry_at, .. } = self.link else {
            return;
        };
        self.failed = true;
        self.wait(retry_at, now);
    }

    /// The connection is lost. One that went right after it came is replaced at once, but not the next one too, so that
    /// a server that only takes connections to close them is not stormed.
    pub(super) fn lost(&mut self, long: core::time::Duration, now: Time) {
        let Link::Ready { since, .. } = self.link else {
            return;
        };
        let again = self.short_lived;
        self.short_lived = now - since < long;
        if again && self.short_lived {
            self.wait(since + long, now);
        } else {
            self.link = Link::Idle;
        }
    }

    fn wait(&mut self, until: Time, now: Time) {
        self.link = if until > now {
            Link::Waiting { until }
        } else {
            Link::Idle
        };
    }

    /// The wait may be over.
    pub(super) fn expire(&mut self, now: Time) {
        if let Link::Waiting { until } = self.link {
            self.wait(until, now);
        }
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        match self.link {
            Link::Idle | Link::Ready { .. } => None,
            Link::Connecting { until, .. } => Some(Deadline {
                at: until,
                why: Why::Connect,
            }),
            Link::Waiting { until } => Some(Deadline {
                at: until,
                why: Why::BackOff,
            }),
        }
    }
}
