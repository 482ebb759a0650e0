//! Headwater's transports by URL.
//!
//! A program is built with the transports that its features name, and a URL chooses one of them when it starts:
//! [`UrlServer::bind`] for a server, [`client`] for a client.
//!
//! | URL | transport | feature |
//! |---|---|---|
//! | `http://HOST:PORT` | HTTP/2 without TLS: the gRPC wire format | `http2` |
//! | `https://HOST:PORT` | HTTP/2 with TLS | `http2` |
//! | `unix:PATH`, `unix:///PATH` | HTTP/2 over a Unix socket | `http2` |
//! | `h3://HOST:PORT` | HTTP/3, always with TLS 1.3 | `http3` |
//! | `https+h3://HOST:PORT` | HTTP/3, and HTTP/2 with TLS where UDP is blocked | `http2` and `http3` |
//! | `grpc-web+http://HOST:PORT` | gRPC-Web, for browsers, over HTTP/1.1 and HTTP/2; and gRPC over HTTP/2 | `grpc-web` |
//! | `grpc-web+https://HOST:PORT` | the same with TLS | `grpc-web` |
//! | `ws://HOST:PORT` | pw_rpc's packets over WebSocket | `websocket` |
//! | `wss://HOST:PORT` | the same with TLS | `websocket` |
//! | `inproc://NAME` | the same process, by the names that both sides were given | `in-process` |
//!
//! A client of `https+h3://` tries HTTP/3 first, at the same port, and after a second HTTP/2. Where HTTP/3 failed it is left
//! alone for 5 minutes, and after each further failure for twice as long, up to a day. Over HTTP/2, it moves to HTTP/3 once
//! an answer announces that (`alt-svc: h3=":PORT"`, RFC 7838) and it works: new calls go there, open ones end where they
//! are. A server of `https+h3://` listens on one port of TCP and of UDP, and announces that. It is a scheme of its own, so
//! that `https://` stays what it says: one connection of TCP, and no datagram that a network might drop or log.
//!
//! A server of `grpc-web+http://` is a listener of its own, since what stands on HTTP/1.1, CORS and another framing is not for
//! upstreams, and should be reachable by other people. A client of it speaks gRPC over HTTP/2, for what browsers have to make
//! do with is of no use elsewhere.
//!
//! Features only add. A URL whose transport is not built is an error that names the feature; with `in-process` alone, no
//! network is built in.
//!
//! ```
//! use headwater_rpc::{CallOptions, Metadata, Router, Server, ServerConfig};
//! use headwater_in_process::Names;
//! use headwater_transports::{ClientOptions, ServerOptions, UrlServer, client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let names = Names::new();
//! let options = ServerOptions { in_process: names.clone(), ..ServerOptions::default() };
//! let transport = UrlServer::bind("inproc://greeter", &options).await?;   // or http://127.0.0.1:50051
//! let router = Router::new();
//! router.unary("/example.Greeter/Hello", |_| async { Ok("hello".into()) });
//! let server = Server::new(transport, router, ServerConfig::default());
//! tokio::spawn(async move { server.serve().await });
//!
//! let options = ClientOptions { in_process: names, ..ClientOptions::default() };
//! let client = client("inproc://greeter", &options)?.build();
//! let connecting = client.clone();
//! tokio::spawn(async move { connecting.connect().await });
//! let (metadata, call) = (Metadata::new(), CallOptions::default());
//! let said = client.unary("/example.Greeter/Hello", metadata, "".into(), call).await?;
//! assert_eq!(said, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! This crate will never know what goes over a transport.

#![cfg_attr(
    not(feature = "tls"),
    allow(
        dead_code,
        unused_variables,
        clippy::unused_async,
        reason = "without a network there is no port to bind, and without any transport nothing at all"
    )
)]

#[cfg(all(feature = "http2", feature = "http3"))]
mod both;
mod client;
mod error;
#[cfg(feature = "grpc-web")]
mod grpc_web;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "http3")]
mod http3;
#[cfg(feature = "in-process")]
mod in_process;
mod server;
mod url;
#[cfg(feature = "websocket")]
mod websocket;

pub use self::{
    client::{ClientOptions, client},
    error::UrlError,
    server::{ServerOptions, UrlServer},
    url::{Scheme, Url},
};
