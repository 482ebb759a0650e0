//! What goes into a balancer and what comes out of it.

use alloc::vec::Vec;

use headwater_proto::Status;

use super::{Picker, Policy};
use crate::time::Time;

/// One attempt to connect, and the connection that comes of it. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input<A> {
    /// The name stands for these addresses, in order of preference. Ones that were there before keep their connections;
    /// connections to others are given up. One that is named twice counts once, and none at all is a failure.
    Resolved(Vec<A>),
    /// How calls are to be spread from now on. A change gives all connections up, which end with their last calls, and
    /// makes new ones. To be told before the addresses that came with it.
    Policy(Policy),
    /// The name could not be resolved. Addresses that are known stay in use. Unless it idles, the balancer asks again at
    /// once: how soon that is done is up to who resolves.
    ResolutionFailed(Status),
    /// The attempt succeeded.
    Connected(ConnectionId),
    /// The attempt failed, and why.
    ConnectFailed(ConnectionId, Status),
    /// The connection takes no new streams, and why.
    Closed(ConnectionId, Status),
    /// A call waits, or the application wants to be connected: an idle balancer wakes.
    Wanted,
    /// Whether there are calls. To be told when [`Why::Idle`](crate::Why::Idle) falls due, before [`Input::Timeout`]; at
    /// other times it does no harm.
    Calls(Calls),
    /// [`Balancer::poll_timeout`](super::Balancer::poll_timeout) may have come.
    Timeout,
    /// The end.
    Shutdown,
}

/// Whether there are calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Some are open, or wait.
    Open,
    /// There are none since then.
    NoneSince(Time),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output<A> {
    /// Resolve the name again, now or soon.
    Resolve,
    /// Connect to this address; the answer is [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect(ConnectionId, A),
    /// Give this attempt up; no answer is wanted.
    Abandon(ConnectionId),
    /// Open no new streams on this connection, and end it when the open ones have ended; no answer is wanted.
    Disconnect(ConnectionId),
    /// From now on calls are picked by this.
    Picker(Picker<ConnectionId>),
}
