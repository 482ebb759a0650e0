//! Who may say what, when: Headwater's state machines, without IO.
//!
//! The crate is `no_std` with `alloc`. It has no clock, no socket, no lock, no randomness and no `async`; what it needs of
//! those comes in as values. All machines look alike:
//!
//! - `handle(input, now)` takes what happened. It never fails: what a peer does wrong becomes an output.
//! - Verbs are commands of the local application; they return a `Result`.
//! - `poll_output()` gives what to do, in one total order; `None` is drained.
//! - `poll_timeout()` says when to call again, and why.
//!
//! The same inputs give the same outputs, byte for byte.
//!
//! [`outbox`] is not one of them but a plain bounded queue: no peer and no time is behind it, so there is nothing to
//! decide. Publishers push and the writer takes under a lock of its own, so that a write needs no turn of the hub.
//!
//! | machine | one for each | what it decides |
//! |---|---|---|
//! | [`balance`] | client of a name | which addresses are connected to, which connection a call takes |
//! | [`call`] | RPC | which part may come when; deadlines, limits, credit |
//! | [`packet`] | channel of messages | which call a packet belongs to, which packet a frame goes in |
//! | [`policy`] | call under a policy | when it is sent again; retries, hedging, throttling |
//! | [`link`] | Link, at either end | frames, numbering, lanes of the application |
//! | [`session`] | client connection | WebSocket manners: keep-alive, closing, bad input |
//! | [`hub`] | hub | who is connected, who hears what, which upstream gets which event |
//! | [`queue`] | push channel | who is pushed which message, what is taken, what is pushed again |
//! | [`outbox`] | client connection | what waits to be written, and how much may |

#![no_std]

extern crate alloc;

mod back_off;
pub mod balance;
pub mod call;
mod hash;
pub mod hub;
pub mod link;
pub mod outbox;
pub mod packet;
pub mod policy;
pub mod queue;
mod random;
pub mod session;
pub mod time;

pub use back_off::{BackOff, Waits};
pub use time::{Deadline, Time, Why};
