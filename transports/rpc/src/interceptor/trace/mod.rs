//! One span for each call, on either side, for whatever collects [`tracing`]'s spans.
//!
//! The fields have the names of OpenTelemetry's semantic conventions for gRPC (version 1.37), so that a layer which
//! exports to OpenTelemetry needs to translate nothing:
//!
//! | Field | Value |
//! |---|---|
//! | `otel.kind`, `otel.name` | `client` or `server`; `package.Service/Method` |
//! | `rpc.system`, `rpc.service`, `rpc.method` | `grpc`, `package.Service`, `Method` |
//! | `server.address` | client: [`TracingConfig::server_address`] |
//! | `network.peer.address`, `network.peer.port` | server: who calls |
//! | `rpc.grpc.status_code` | how the call ended, as a number; 0 is OK |
//! | `otel.status_code` | `ERROR`, if that is a failure: on the client all but OK, on the server those that tell of a fault in it |
//! | `rpc.duration_ms` | from the call's beginning to its end, on the client as its receiver sees it; in milliseconds with a fraction |
//! | `trace_id`, `span_id`, `parent_span_id` | the place in the trace ([`TraceContext`]), in hexadecimal |
//! | `rpc.grpc.request.metadata`, `rpc.grpc.response.metadata` | what [`TracingConfig`] chose of them, as a map |
//!
//! The status and the duration are recorded exactly once, however the call ends. The span has the level `INFO`; where
//! nobody records it, the caller's context is passed on, and nothing else is done. The handler runs inside the
//! span. A status's message is never recorded, for it may quote the request.
//!
//! The client sends its [`TraceContext`] as the metadata `traceparent` and `tracestate`, and the server's span is a child
//! of it. The ids are random; a layer that has ids of its own is asked for them with [`TracingClient::with_context`], and
//! told the caller's with [`TracingServer::on_context`].
//!
//! ```
//! # use headwater_rpc::{Client, Router, Server, ClientTransport, ServerTransport};
//! use headwater_rpc::interceptor::{Filter, trace::{TracingClient, TracingConfig, TracingServer}};
//!
//! # fn build(client_transport: impl ClientTransport, server_transport: impl ServerTransport) {
//! let config = TracingConfig {
//!     messages: true,
//!     ..TracingConfig::default()
//! };
//! let client = Client::builder(client_transport)
//!     .intercept(Filter::all(), TracingClient::new(config))
//!     .build();
//! let server = Server::builder(server_transport, Router::new())
//!     .intercept(Filter::all(), TracingServer::new(TracingConfig::default()))
//!     .build();
//! # }
//! ```

mod client;
mod config;
mod context;
mod server;
mod span;

pub use client::TracingClient;
pub use config::TracingConfig;
pub use context::{TraceContext, TraceParentError};
pub use server::TracingServer;
