//! How clients, servers and calls begin and end, on every transport.

mod cancels;
mod signals;
mod states;
mod stops;
mod support;
