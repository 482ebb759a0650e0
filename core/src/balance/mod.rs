//! Which connections a client holds to the addresses of a name, and which of them a call goes to.
//!
//! [`Balancer`] does no IO: a driver tells it what happened ([`Balancer::handle`]) and does what it says
//! ([`Balancer::poll_output`]). It knows nothing of the addresses but whether two are the same. Each attempt to connect has
//! a [`ConnectionId`] of its own, so that what is told late about an old one has no effect.
//!
//! Calls do not pass through the machine. It gives out a [`Picker`] whenever the choice changes, and each call is picked
//! from the newest, on any thread.
//!
//! The connectivity [`State`]s are those of gRPC's `connectivity-semantics-and-api.md`, the policies those of its
//! `load-balancing.md`, and the waits those of its `connection-backoff.md`. As gRFC A62 has it, transient failure lasts
//! until a connection is ready, also while new attempts are made: calls that do not wait for one fail at once meanwhile.
//!
//! Promises:
//!
//! - Each [`Output::Connect`] has a new id, and no address has two attempts or connections at a time.
//! - After [`Input::Shutdown`], the outputs say to abandon every attempt and to disconnect every connection, the last one
//!   is a picker that fails every call, and then there is no output and no deadline.
//! - An address is tried again after a failure no earlier than its back-off, which runs from the start of the attempt.
//!
//! ```
//! use headwater_core::Time;
//! use headwater_core::balance::{Balancer, BalancerConfig, Input, Output, Pick, State};
//!
//! let mut balancer = Balancer::new(BalancerConfig::default(), 0);
//! balancer.handle(Input::Resolved(vec!["here", "there"]), Time::ZERO);
//! balancer.handle(Input::Wanted, Time::ZERO);
//! let outputs: Vec<_> = std::iter::from_fn(|| balancer.poll_output()).collect();
//! let Some(&Output::Connect(id, "here")) = outputs.iter().find(|output| matches!(output, Output::Connect(..))) else {
//!     panic!("the first address is tried first: {outputs:?}");
//! };
//! balancer.handle(Input::Connected(id), Time::ZERO);
//! let Some(Output::Picker(picker)) = balancer.poll_output() else {
//!     panic!("calls can be picked now");
//! };
//! assert_eq!(picker.state(), State::Ready);
//! assert_eq!(picker.pick(0, false), Pick::Ready(&id));
//! ```

mod config;
mod endpoint;
mod machine;
mod parts;
mod picker;
#[cfg(test)]
mod tests;

pub use config::{BalancerConfig, Policy};
pub use machine::Balancer;
pub use parts::{Calls, ConnectionId, Input, Output};
pub use picker::{Pick, Picker, State};
