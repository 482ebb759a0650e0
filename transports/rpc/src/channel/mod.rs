//! A client transport over any number of connections: names are resolved, connections are held and chosen between, and
//! a transport has only to say how one connection is made ([`Connector`]).
//!
//! [`Channel`] is the client transport. Its rules are in [`headwater_core::balance`]; a [`Resolver`] says which
//! addresses there are. What happens is told at the debug level of `tracing`, under the target `headwater_rpc::channel`:
//! addresses, states and the messages of failures, and nothing of calls.

mod address;
mod config;
mod connector;
mod dns;
mod driver;
mod link;
mod resolver;
mod resolvers;
mod target;
mod transport;
mod usage;

pub use address::Address;
pub use config::ChannelConfig;
pub use connector::{Connection, Connector, Unopened};
pub use headwater_core::{
    BackOff,
    balance::{BalancerConfig, Policy, State},
};
pub use resolver::{FixedResolver, Resolution, Resolver, Updates};
pub use resolvers::Resolvers;
pub use target::{Target, target_of_host};
pub use transport::{Channel, OverChannel};
