//! Peers that mean harm: what one connection does ends that connection at most, and everyone else is served on.

mod clients;
mod floods;
mod frames;
mod requests;
mod retries;
mod servers;
mod target;
mod unread;
