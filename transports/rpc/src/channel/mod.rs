//! A client transport over any number of connections: names are resolved, connections are held and chosen between, and
//! a transport has only to say how one connection is made ([`Connector`]).

mod address;
mod connector;

pub use address::Address;
pub use connector::{Connection, Connector, Unopened};
