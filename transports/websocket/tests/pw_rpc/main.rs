//! pw_rpc's packets over real sockets: peers that mean harm, peers without Headwater's extension, and ends of all kinds.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test fails where it panics"
)]

mod clients;
mod dialled;
mod floods;
mod frames;
mod plain_clients;
mod plain_servers;
mod roles;
mod secure;
mod support;
mod unrequested;
