//! What stands before the calls of a client and a server, on every transport.

mod changes;
mod ends;
mod order;
mod panics;
mod support;
mod tower_layers;
