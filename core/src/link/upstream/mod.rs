//! The application's end of a link.
//!
//! A [`Link`] registers, gives out events in lanes (one handler a connection at a time, connections independently),
//! numbers what goes back, and tells each command how it ended. It follows the machine contract: everything that happens
//! goes into [`Link::handle`], what the application wants is a verb, and after either the driver drains
//! [`Link::poll_output`].
//!
//! ```
//! use headwater_core::{Time, link::upstream::{Config, Input, Link, Output}};
//!
//! let mut link = Link::new(Config { hub: "chat".into(), app: "demo".into(), ..Config::default() });
//! link.handle(Input::Opened, Time::ZERO);
//! while let Some(output) = link.poll_output() {
//!     match output {
//!         Output::Transmit(frame) => drop(frame),     // encode and send; flush when drained
//!         Output::Start { delivery, event } => drop((delivery, event)), // run the handler, then answer and `done`
//!         Output::Cancelled(_)                        // tell that handler, if it still runs
//!         | Output::Refused { .. }                    // an answer that had no effect
//!         | Output::Result { .. }                     // how a command ended
//!         | Output::Registered { .. }
//!         | Output::Gap { .. }
//!         | Output::Draining { .. }                   // the service leaves: `drain`, then dial again
//!         | Output::Drained                           // nothing is under way any more
//!         | Output::Close(_) => {}                    // end the call with the violation's status
//!     }
//! }
//! ```
//!
//! Order: acks and commands are numbered and transmitted in the order of the calls, so an answer given before a command
//! takes effect before it. Settled events and seen results are collected and told once a drain, not once an event.

mod commands;
mod events;
mod lanes;
mod machine;
mod ranges;
mod states;
mod words;

#[cfg(test)]
mod lane_properties;
#[cfg(test)]
mod tests;

pub use commands::CommandId;
pub use lanes::Delivery;
pub use machine::Link;
pub use words::{
    AnswerError, CommandError, CommandFailure, Config, Input, Output, Violation, window,
};
