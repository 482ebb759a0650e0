//! The running service: real sockets for clients, in-process and HTTP/2 links for upstreams.

mod bad_clients;
mod bad_upstreams;
mod delivery;
mod drain;
mod golden;
mod idle;
mod secrets;
mod support;
mod upstreams;
