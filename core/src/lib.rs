//! Who may say what, when: Headwater's state machines, without IO.

#![no_std]

extern crate alloc;

<<<<<<< HEAD
mod hash;
pub mod hub;
pub mod outbox;
pub mod session;
pub mod call;
=======
pub mod link;
>>>>>>> sdk
pub mod time;

pub use time::{Deadline, Time, Why};
