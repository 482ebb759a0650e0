//! Headwater's gRPC-Web transport: calls from browsers, over HTTP/1.1 and HTTP/2.
//!
//! A browser cannot speak gRPC, for it hides HTTP's trailers and the frames of HTTP/2. gRPC-Web (`PROTOCOL-WEB.md`) puts the
//! trailers into the body. This is a server for such clients: unary calls and server streaming, in binary
//! (`application/grpc-web`, `+proto`) and in base64 (`application/grpc-web-text`, `+proto`), with deadlines, and cancelled by
//! closing. On HTTP/2, the same port takes gRPC of any shape.
//!
//! hyper does the HTTP part, `tonic-web` the framing, `tower-http` the preflight of CORS. The calls are those of any other
//! transport: one router serves them all.
//!
//! This crate will never have a client: one of HTTP/2 can call the same port.

mod body;
mod config;
mod connection;
mod listen;
mod request;
mod service;
mod tls;
mod unread;

pub use config::GrpcWebServerConfig;
pub use listen::GrpcWebServer;
