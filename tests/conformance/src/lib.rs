//! One suite of call cases for every transport.
//!
//! Each case is a function of a [`Fixture`]: a client and a server that are connected, over some transport, with the
//! [`control`] service behind. [`TRANSPORTS`] lists the transports, and what differs between them; a further one is a row
//! there and a function that makes its ends. A failure names the transport.
//!
//! [`SCENARIOS`] are calls that are recorded at both ends ([`trace`]) and have to look alike on every transport. On those of
//! [`faulty`], which get one thing wrong each, they do not.

pub mod control;
pub mod faulty;
mod fixture;
pub mod flaky;
pub mod scenario;
mod scenarios;
pub mod time;
pub mod trace;
mod transport;

pub use fixture::{Fixture, Stopped, for_each_transport, for_each_transport_on_virtual_time};
pub use scenarios::SCENARIOS;
pub use transport::{TRANSPORTS, Transport};
