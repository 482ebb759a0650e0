//! One RPC on one stream, from either side.
//!
//! [`Call`] decides what may be said, counts messages, bounds sizes and what waits, and owns the deadline. It does no IO:
//! a driver tells it what happened ([`Call::handle`]) and does what it says ([`Call::poll_output`]). Client and server
//! are one machine with one legality [`table`]; they differ in what an end means, so each has a constructor and one verb
//! of its own.
//!
//! Promises:
//!
//! - [`Event::Ended`] comes exactly once, and it is the last output. After it there is no output and no deadline, and
//!   every verb returns [`SendError::Ended`].
//! - [`Call::handle`] never fails. What a peer may not do becomes [`Output::Reset`] (or, from a server, a status) and
//!   `Ended`.
//! - A stream that ends without a status is never a success.
//! - What comes at or after the deadline comes too late, whichever of the two the driver reports first.
//!
//! ```
//! use core::time::Duration;
//! use headwater_core::Time;
//! use headwater_core::call::{Call, CallConfig, Event, Frame, Input, Output, Trailers};
//!
//! let mut call = Call::client(&CallConfig::default(), Time::ZERO);
//! call.send("question".into()).unwrap();
//! call.half_close().unwrap();
//! assert!(matches!(call.poll_output(), Some(Output::Transmit(Frame::Message(_)))));
//! assert!(matches!(call.poll_output(), Some(Output::Transmit(Frame::End(_)))));
//!
//! let now = Time::after_start(Duration::from_millis(1));
//! call.handle(Input::Frame(Frame::end(Trailers::ok())), now);
//! assert!(matches!(call.poll_output(), Some(Output::Event(Event::Ended(_)))));
//! assert_eq!(call.poll_output(), None);
//! ```

mod compression;
mod config;
mod machine;
mod parts;
pub mod table;
#[cfg(test)]
mod tests;

pub use compression::{Encoding, Encodings};
pub use config::{CallConfig, Credit, Shape};
pub use machine::Call;
pub use parts::{
    Closed, Ended, EndedBy, Event, Frame, Input, Output, Reached, SendError, Trailers, Violation,
};
