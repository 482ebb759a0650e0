//! What several examples share.

pub mod chat_app;

/// The code in the README compiles and does what is said there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
