//! What stands between the application and every call, on either side: authentication, metrics, tracing, limits.
//!
//! Both sides have one shape. An interceptor takes a call and hands it on to `next`; the first that was added is the
//! outermost, so it sees requests first and responses last. What passes after the call was handed on, it sees through a
//! [`Transform`] on a half. Which methods it is for, a [`Filter`] says. Interceptors are added while a client or server is
//! built ([`crate::Client::builder`], [`crate::Server::builder`]); one without any pays nothing.
//!
//! A server's interceptors see the calls of registered methods, and those that a router's fallback takes; a call of a
//! method that nobody serves they do not see. [`trace`] has interceptors that open a span for each call. With the `tower` feature any `tower::Layer` is an interceptor too (`interceptor::layer`).
//!
//! ```
//! use async_trait::async_trait;
//! use headwater_rpc::{
//!     Code, IncomingCall, Metadata, Status,
//!     interceptor::{ServerInterceptor, ServerNext},
//! };
//!
//! struct OnlyWithKey;
//!
//! #[async_trait]
//! impl ServerInterceptor for OnlyWithKey {
//!     async fn intercept(&self, call: IncomingCall, next: ServerNext) {
//!         if call.metadata.text("key") == Some("open sesame") {
//!             return next.run(call).await;
//!         }
//!         let status = Status::new(Code::Unauthenticated, "the key is missing or wrong");
//!         // A call that has ended needs no answer.
//!         let _ = call.sender.finish(Err(status), Metadata::new());
//!     }
//! }
//! ```

pub(crate) mod chains;
mod client;
mod filter;
#[cfg(feature = "tower")]
pub mod layer;
mod server;
pub mod trace;
mod transform;

pub use client::{ClientInterceptor, ClientNext, OutgoingCall};
pub use filter::Filter;
pub use server::{ServerInterceptor, ServerNext};
pub use transform::Transform;
pub(crate) use transform::{Stage, Stages};
