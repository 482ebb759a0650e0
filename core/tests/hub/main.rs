//! The hub, by its inputs and outputs, on virtual time.
//!
//! Each test drives one [`bench::Bench`] and compares what clients and upstreams were told, as exact lists.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test may"
)]

mod answers;
mod bench;
mod clients;
mod delivery;
mod lifecycle;
mod management;
mod queries;
mod random;
mod upstreams;
mod windows;
