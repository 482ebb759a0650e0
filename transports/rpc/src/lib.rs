//! The async driver of Headwater's calls: [`Client`], [`Server`], [`Router`], and the traits that a transport implements.
//!
//! The rules of a call are in [`headwater_core::call`]; this crate runs that machine under tokio, over any
//! [`ClientTransport`] and [`ServerTransport`]. Messages are [`bytes::Bytes`]; what they mean is the layers' above.
//!
//! A message passes without a boxed future and without a task of its own: [`Sender::try_send`] puts it into the call's
//! window from any thread, the transport's task takes everything that waits in one pull, and
//! [`Receiver::next_batch`] hands out everything that came in one poll.
//!
//! Dropping is cancelling: both halves of a client's call, [`Client::connect`], [`Server::serve`]. No handler is stopped
//! from outside; it is told.
//!
//! [`stub`] is the layer above: typed messages, and what `headwater-codegen` generates code for.
//!
//! This crate will never know a socket or a particular transport.

mod after;
mod attempts;
mod cancellation;
pub mod channel;
mod client;
mod clock;
mod compression;
mod counters;
mod handler;
mod handler_error;
mod handlers;
#[cfg(feature = "http")]
pub mod http;
pub mod interceptor;
mod payload;
mod peer;
mod receiver;
mod registry;
mod router;
mod run;
mod sender;
mod server;
mod service;
mod service_config;
mod shared;
pub mod stub;
#[cfg(feature = "tls")]
pub mod tls;
mod transport;
mod unsent;

pub use attempts::RetryConfig;
pub use cancellation::{CancelReason, Cancellation};
pub use client::{CallOptions, Client, ClientBuilder};
pub use compression::{Compress, SUPPORTED_ENCODINGS};
pub use counters::ServerCounters;
pub use handler::{CallHandler, Request};
pub use handler_error::HandlerError;
pub use handlers::{HandlerLimit, HandlerPermit};
pub use headwater_core::call::{
    Closed, Credit, Encoding, Encodings, Ended, EndedBy, Frame, Reached, SendError, Shape,
    Trailers, Violation,
};
pub use headwater_proto::{Code, Detail, Metadata, Status};
pub use payload::{Encoded, Payload};
pub use peer::Peer;
pub use receiver::{CallError, Receiver};
pub use router::{AddError, Router, RunningCalls};
pub use sender::Sender;
pub use server::{AcceptedStream, Acceptor, IncomingCall, Server, ServerBuilder, ServerConfig};
pub use service::{Method, RegisteredMethod, Service};
pub use service_config::{
    Codes, ConfigError, ExecutionPolicy, HedgingPolicy, MethodConfig, RetryCounters, RetryPolicy,
    RetryThrottling, ServiceConfig,
};
pub use transport::{
    ClientTransport, Inbound, Outbound, Pulled, Received, RequestHeaders, ResetWatch,
    ServerTransport,
};
