//! What a server serves, on every transport.

mod context;
mod errors;
mod routing;
