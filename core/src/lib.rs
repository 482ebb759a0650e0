//! Who may say what, when: Headwater's state machines, without IO.

#![no_std]

extern crate alloc;

pub mod link;
pub mod time;

pub use time::{Deadline, Time, Why};
