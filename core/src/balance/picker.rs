//! The choice of a connection for a call.

use alloc::vec::Vec;

use headwater_proto::{Code, Status};

/// Whether calls can go (gRPC's `connectivity-semantics-and-api.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not connected, and nothing is tried until a call wants it.
    Idle,
    /// Calls wait: the name is being resolved, or a connection is being made.
    Connecting,
    /// Calls go.
    Ready,
    /// Nothing could be reached; new attempts are made after a back-off.
    TransientFailure,
    /// The end: no call will ever go.
    Shutdown,
}

/// Picks a connection for each call, until a newer picker comes. `C` is what stands for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picker<C> {
    state: State,
    ready: Vec<C>,
    error: Option<Status>,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick<'a, C> {
    /// Over this connection.
    Ready(&'a C),
    /// Nowhere yet: it waits for the next picker. If the state is [`State::Idle`], somebody has to wake the balancer.
    Wait,
    /// Nowhere: it fails with this.
    Fail(Status),
}

impl<C> Picker<C> {
    /// Before anything was tried.
    pub const fn idle() -> Self {
        Self::new(State::Idle, Vec::new(), None)
    }

    /// After the end.
    pub const fn shut_down() -> Self {
        Self::new(State::Shutdown, Vec::new(), None)
    }

    pub(super) const fn new(state: State, ready: Vec<C>, error: Option<Status>) -> Self {
        Self {
            state,
            ready,
            error,
        }
    }

    /// The state of the whole.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The connections that calls are spread over, in a fixed order. Empty unless the state is [`State::Ready`].
    pub fn ready(&self) -> &[C] {
        &self.ready
    }

    /// Why nothing can be reached. Only in [`State::TransientFailure`].
    pub const fn error(&self) -> Option<&Status> {
        self.error.as_ref()
    }

    /// The same choice with something else for each connection; those for which there is nothing are left out.
    pub fn filter_map<D>(self, change: impl FnMut(C) -> Option<D>) -> Picker<D> {
        let ready = self.ready.into_iter().filter_map(change).collect();
        Picker::new(self.state, ready, self.error)
    }

    /// Picks for one call. `turn` counts the calls; consecutive ones go to each ready connection in turn.
    ///
    /// In transient failure a call that does not wait for a ready connection fails with `UNAVAILABLE` and the last error
    /// (`wait-for-ready.md`). After the end every call fails with `FAILED_PRECONDITION`.
    pub fn pick(&self, turn: usize, wait_for_ready: bool) -> Pick<'_, C> {
        match self.state {
            State::Shutdown => Pick::Fail(Status::new(
                Code::FailedPrecondition,
                "the client is stopping or stopped",
            )),
            State::TransientFailure if !wait_for_ready => {
                let error = self.error.clone();
                Pick::Fail(error.unwrap_or_else(|| Status::new(Code::Unavailable, "no connection")))
            }
            State::Idle | State::Connecting | State::TransientFailure => Pick::Wait,
            State::Ready => match self.ready.len() {
                0 => Pick::Wait,
                ready => Pick::Ready(&self.ready[turn % ready]),
            },
        }
    }
}
