//! Clients that mean harm, beside a good one that is served all the same.

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod floods;
mod frames;
mod requests;
