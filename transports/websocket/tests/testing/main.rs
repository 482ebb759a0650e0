//! The kit for tests: what a user's test does with each part of it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test fails where it panics"
)]

mod contexts;
mod fuzz;
mod processors;
