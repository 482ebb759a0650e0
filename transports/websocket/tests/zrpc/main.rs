//! zrpc over real sockets: with a plain WebSocket client, as old clients are, and with ours.

mod bounds;
mod client;
mod endings;
mod errors;
mod methods;
mod numbered;
mod support;
mod workers;
