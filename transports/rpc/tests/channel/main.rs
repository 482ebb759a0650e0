//! A channel over a network of servers in this process, on a paused clock: what a client sees while endpoints, names and
//! connections come and go.

mod balancing;
mod connections;
mod fixture;
mod network;
mod resolving;
mod stopping;
mod waiting;
