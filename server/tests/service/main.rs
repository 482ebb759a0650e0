//! The running service: real sockets for clients, in-process and HTTP/2 links for upstreams.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "any other frame is a failure of the test"
)]

mod answers;
mod bad_clients;
mod bad_upstreams;
mod channels;
mod delivery;
mod drain;
mod fields;
mod golden;
mod health;
mod idle;
mod management;
mod paused;
mod secrets;
mod slow_upstreams;
mod stops;
mod support;
mod together;
mod upstreams;
mod wps_rpc;
