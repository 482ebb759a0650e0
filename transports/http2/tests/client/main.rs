//! One connection of the client's, against servers on the `h2` crate: how many streams it opens, how they end, and what
//! it says about it.

mod cancels;
mod connects;
mod ends;
mod keepalive;
mod support;
