//! What goes into a call's attempts and what comes out.

use core::time::Duration;

use headwater_proto::{Code, Metadata};

use crate::call::{Closed, Reached, Trailers};

/// One attempt of a call: a number that no other attempt of it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u32);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The attempt was answered with headers.
    Headers(AttemptId),
    /// The attempt ended, without headers before.
    Ended(AttemptId, AttemptEnd),
    /// The transport has taken so many messages of this attempt, all in all.
    Sent {
        /// Which.
        attempt: AttemptId,
        /// How many.
        messages: usize,
    },
    /// What the application sends no longer fits the buffer that attempts are replayed from.
    BufferFull,
    /// Nobody waits for the call any more.
    Cancelled,
    /// The time that [`super::Attempts::poll_timeout`] named has come.
    Timeout,
}

/// How an attempt ended that was not answered with headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The server said its status.
    Status(Trailers),
    /// The stream is gone.
    Closed(Closed),
}

impl AttemptEnd {
    /// Why it failed, if it did.
    pub(super) fn failure(&self) -> Option<Code> {
        match self {
            Self::Status(trailers) => trailers.outcome.as_ref().err().map(|status| status.code),
            Self::Closed(closed) => Some(closed.status.code),
        }
    }

    pub(super) const fn trailing(&self) -> &Metadata {
        const NONE: &Metadata = &Metadata::new();
        match self {
            Self::Status(trailers) => &trailers.metadata,
            Self::Closed(_) => NONE,
        }
    }

    pub(super) const fn reached(&self) -> Reached {
        match self {
            Self::Status(_) => Reached::Handler,
            Self::Closed(closed) => closed.reached,
        }
    }
}

/// What to do. The order of all outputs of a call is the order in which they are to be done.
///
/// Exhaustive: a driver has to handle all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a stream and send it all that the application has sent so far, and what follows.
    Start(Start),
    /// Give this attempt up, and tell the server.
    Cancel(AttemptId),
    /// The call goes on with this attempt alone: what it is answered is the application's, and nothing is replayed any more.
    Commit(AttemptId),
    /// Nothing is under way any more, and the call ends with this.
    End(AttemptEnd),
}

/// An attempt that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Start {
    /// Its name from now on.
    pub id: AttemptId,
    /// How many attempts of the policy went before it: `grpc-previous-rpc-attempts`, where it is not 0.
    pub previous: u32,
}

impl Start {
    /// The key under which a server is told of [`Start::previous`] (gRFC A6, "Exposed Retry Metadata").
    pub const PREVIOUS_KEY: &str = "grpc-previous-rpc-attempts";
}

/// What became of calls that may be sent more than once, for statistics (gRFC A45 and A96).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct RetryCounters {
    /// Calls that had a policy, or were sent again without one because no handler had seen them.
    pub calls: u64,
    /// Attempts after a failed one.
    pub retries: u64,
    /// Attempts beside others.
    pub hedges: u64,
    /// Attempts in place of one that no handler has seen. They count as neither of the two above.
    pub transparent_retries: u64,
    /// Attempts that failed, those in whose place another went transparently left out.
    pub failures: u64,
    /// Attempts that were not made, because too many calls failed.
    pub throttled: u64,
    /// Calls that could not be repeated any more, because what they sent was too much to keep.
    pub buffer_full: u64,
    /// How long calls waited, in all, for a time to try again.
    pub retry_delay: Duration,
}

impl RetryCounters {
    /// Adds what became of other calls.
    pub fn add(&mut self, other: &Self) {
        // Every field, so that a new one is not forgotten.
        let Self {
            calls,
            retries,
            hedges,
            transparent_retries,
            failures,
            throttled,
            buffer_full,
            retry_delay,
        } = other;
        self.calls += calls;
        self.retries += retries;
        self.hedges += hedges;
        self.transparent_retries += transparent_retries;
        self.failures += failures;
        self.throttled += throttled;
        self.buffer_full += buffer_full;
        self.retry_delay = self.retry_delay.saturating_add(*retry_delay);
    }
}
