//! Sends a call as often as its policy says, on whatever transport.
//!
//! The decisions are [`headwater_core::policy`]'s. Here is what carries them out: what the application sends waits in a
//! [`replay::Replay`], from which every attempt's outbound reads; a [`driver::Driver`], one task a call, opens the attempts
//! and looks at how each is answered. When the call is committed to one attempt, that attempt gets the call's own outbound
//! and the application gets the attempt's own inbound, and the task ends: from then on the call costs what any other does.
//!
//! A call without a policy comes here only if it is sent again because no handler has seen it: [`again`].

mod again;
mod budget;
mod config;
mod driver;
mod policies;
mod replay;
mod response;
#[cfg(test)]
mod tests;

pub(crate) use again::{Kept, send_again};
pub use config::RetryConfig;
pub(crate) use policies::{Plan, Policies};
pub(crate) use replay::{Attempt, AttemptWatch, Next};
