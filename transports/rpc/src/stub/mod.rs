//! What generated code stands on: typed messages, and the tiers in which a service is written.
//!
//! `headwater-codegen` generates from a `.proto`, and everything that it generates is a thin layer over this module,
//! which can be used without it as well. None of it is needed for a call: [`Client::call`](crate::Client::call) and
//! [`Router::stream`](crate::Router::stream) carry bytes.
//!
//! # Clients, at three depths
//!
//! | depth | for a method `GetFeature` | gives |
//! |---|---|---|
//! | messages | `client.get_feature(point)` | the response, or the status |
//! | objects | `client.get_feature_with(Request::new(point))` | a [`Response`] with headers and trailers, or a [`Failure`] |
//! | streaming | `client.get_feature_streaming(Request::new(()))` | a [`Sink`] and [`Messages`], whatever the shape |
//!
//! A thread without `async` waits with [`block_on`] for what any of them gives.
//!
//! # Services, in three tiers
//!
//! | tier | for a method `GetFeature` | by default |
//! |---|---|---|
//! | simple | `get_feature(point)`: messages only | there is none, and what is needed and forgotten does not build |
//! | regular | `get_feature_with(ServerRequest<Point>)`: metadata, peer, deadline, headers, trailers | calls the simple one |
//! | streaming | `get_feature_streaming(ServerRequest<Messages<Point>>, Sink<Feature>)`, whatever the shape | calls the regular one |
//!
//! A service writes one of the three for each method, each time the one that it wants.
//!
//! # Structured
//!
//! What a client's method returns holds the call: dropping the future, or both halves, cancels it on both sides and
//! frees what it held. No task is left behind.

mod blocking;
pub mod client;
mod codec;
mod context;
mod descriptor;
mod messages;
mod objects;
pub mod server;
mod sink;

pub use blocking::block_on;
#[cfg(feature = "prost")]
pub use codec::ProstCodec;
pub use codec::{CodecError, Deserializer, Serializer};
pub use context::{ServerContext, ServerRequest};
pub use descriptor::{MethodDescriptor, ServiceDescriptor};
pub use futures_core::Stream;
pub use messages::Messages;
pub use objects::{Failure, Request, Response};
pub use sink::Sink;

/// Takes in the code that `headwater-codegen` has generated for a package; `"_"` is the one without a name. With the
/// default directory only, which is cargo's `OUT_DIR`.
#[macro_export]
macro_rules! include_proto {
    ($package:tt) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}
