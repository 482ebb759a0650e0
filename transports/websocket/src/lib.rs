//! Headwater's WebSocket transport: RPC over WebSockets (`ws://`, `wss://`), and the accepting side alone.
//!
//! # Calls
//!
//! [`WebSocketServer`] and [`WebSocketClient`] carry the calls of [`headwater_rpc`], many on one socket, with the packets of
//! pw_rpc ([`headwater_proto::pw_rpc`]), one packet a binary message. Any pw_rpc client or server is a peer. Metadata, the
//! messages of statuses, time limits, compression and credit travel in an extension that plain peers skip; whether a peer
//! knows it is agreed on by the subprotocol's name, or seen from its packets. [`zrpc`] is spoken under its own name.
//!
//! - **Back-pressure.** A peer with the extension sends in each call what it was granted, and the call's reader grants more;
//!   one call that is not read holds nobody else up. Of a plain peer, a call that brings more than its window ends with
//!   `RESOURCE_EXHAUSTED`. A peer that does not read its socket holds back the handlers that send to it: about 400 KiB wait
//!   for it, and what each call's own window holds.
//! - **A peer that vanishes** is noticed after an interval and a timeout without any byte of it
//!   ([`WebSocketServerConfig::ping_interval`]), and its calls end.
//! - **Ends.** A server that stops announces it, refuses new calls with `UNAVAILABLE`, lets open ones finish, and closes
//!   with 1001; calls that a client still had on its way then never came to a handler, and may be sent again. A socket that
//!   ends in any other way ends its calls with `UNAVAILABLE`, and the server's handlers are told.
//! - **Cost.** One task drives a socket. What it finds in one read and what its calls have ready goes out in one write.
//!
//! ```
//! use headwater_rpc::{CallOptions, Client, Metadata, Router, Server, ServerConfig, Status};
//! use headwater_websocket::{
//!     WebSocketClient, WebSocketClientConfig, WebSocketServer, WebSocketServerConfig,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::new();
//! router.unary("/greeter.Greeter/Hello", |request| async { Ok(request.message) });
//! let transport = WebSocketServer::bind("127.0.0.1:0", WebSocketServerConfig::default()).await?;
//! let url = format!("ws://{}", transport.local_addr());
//! let server = Server::new(transport, router, ServerConfig::default());
//! tokio::spawn(async move { server.serve().await });
//!
//! let transport = WebSocketClient::new(&url, &WebSocketClientConfig::default()).map_err(text)?;
//! let client = Client::new(transport);
//! let running = client.clone();
//! tokio::spawn(async move { running.connect().await });
//! let (metadata, options) = (Metadata::new(), CallOptions::default());
//! let call = client.unary("/greeter.Greeter/Hello", metadata, "you".into(), options);
//! assert_eq!(call.await.map_err(text)?, "you");
//! # Ok(())
//! # }
//! # fn text(status: Status) -> String { status.message.to_string() }
//! ```
//!
//! # Both roles
//!
//! Both ends of a socket may call and serve, on the same channels (pw_rpc's `ClientServer`): who has dialled serves with
//! [`WebSocketClient::server`], which reaches services behind a NAT, and who has accepted calls with
//! [`WebSocketServer::with_connections`]. There a server also begins responses that nobody has requested
//! ([`AcceptedConnection::respond_unrequested`]), such as the answer to a call from before its restart; a client takes one
//! for the answer to its call, or waits for it without a request ([`WebSocketClientConfig::awaits_unrequested`]). The end of
//! the socket ends the calls of both.
//!
//! ```
//! use headwater_rpc::{CallOptions, Client, Metadata, Router, Server, ServerConfig, Status};
//! use headwater_websocket::{
//!     WebSocketClient, WebSocketClientConfig, WebSocketServer, WebSocketServerConfig,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (hand_on, mut connections) = tokio::sync::mpsc::unbounded_channel();
//! let transport = WebSocketServer::bind("127.0.0.1:0", WebSocketServerConfig::default()).await?;
//! let transport = transport.with_connections(move |connection| drop(hand_on.send(connection)));
//! let url = format!("ws://{}", transport.local_addr());
//! let server = Server::new(transport, Router::new(), ServerConfig::default());
//! tokio::spawn(async move { server.serve().await });
//!
//! // Who dials serves as well.
//! let dialled = WebSocketClient::new(&url, &WebSocketClientConfig::default()).map_err(text)?;
//! let router = Router::new();
//! router.unary("/device.Device/Name", |_| async { Ok("lamp".into()) });
//! let server = Server::new(dialled.server(), router, ServerConfig::default());
//! tokio::spawn(async move { server.serve().await });
//! let (channel, client) = (dialled.channel().clone(), Client::new(dialled));
//! tokio::spawn(async move { client.connect().await });
//! channel.wake();
//!
//! // And who accepted calls.
//! let connection = connections.recv().await.ok_or("the server is gone")?;
//! let back = Client::new(connection.client());
//! let running = back.clone();
//! tokio::spawn(async move { running.connect().await });
//! let (metadata, options) = (Metadata::new(), CallOptions::default());
//! let call = back.unary("/device.Device/Name", metadata, "".into(), options);
//! assert_eq!(call.await.map_err(text)?, "lamp");
//! # Ok(())
//! # }
//! # fn text(status: Status) -> String { status.message.to_string() }
//! ```
//!
//! # Tests
//!
//! Tests of services and clients need no socket: the feature `testing` has what pw_rpc's own kit has.
//!
//! # The accepting side
//!
//! A port that serves HTTP/1.1, the opening handshake, and the socket after it, with TLS or without:
//!
//! - [`Listener`] accepts connections and hands every request to one service function; it bounds what a client may
//!   cost before it has said anything useful.
//! - [`Handshake`] checks a request without doing anything, and makes the answer 101; [`Rejection`] is the answer when
//!   it cannot.
//! - [`Handshake::upgrade`] gives the [`Socket`]: a [`Reader`] that brings all that one read found, and a [`Writer`] that any
//!   thread can use without waiting. The frames themselves are in [`headwater_proto::websocket`].
//!
//! The accepting side never queues what is to be written, never answers a ping or a close by itself, and never compresses: what a
//! connection holds and says is for the caller to decide. An idle connection costs its socket and its task.
//!
//! ```no_run
//! use headwater_proto::websocket::{DecoderConfig, Incoming, encode_message};
//! use headwater_websocket::{Handshake, Listener, ListenerConfig, Socket};
//! use http_body_util::Full;
//!
//! type Body = Full<bytes::Bytes>;
//!
//! async fn answer(mut request: http::Request<hyper::body::Incoming>) -> http::Response<Body> {
//!     let handshake = match Handshake::check(&request) {
//!         Ok(handshake) => handshake,
//!         Err(rejection) => return rejection.response(),
//!     };
//!     let answer = handshake.upgrade(&mut request, None, DecoderConfig::default(), async |socket| {
//!         let Ok(Socket { mut reader, writer }) = socket else { return };
//!         let (mut turn, mut out) = (Vec::new(), Vec::new());
//!         while reader.read_turn(&mut turn).await.is_ok() {
//!             for incoming in turn.drain(..) {
//!                 if let Incoming::Message { kind, data } = incoming {
//!                     encode_message(kind, &data, &mut out);
//!                 }
//!             }
//!             if writer.write_all(&out).await.is_err() { return }
//!             out.clear();
//!         }
//!     });
//!     answer.expect("no subprotocol is always possible")
//! }
//!
//! # async fn main_() -> std::io::Result<()> {
//! let listener = Listener::bind(([127, 0, 0, 1], 0).into(), ListenerConfig::default()).await?;
//! println!("ws://{}", listener.local_addr()?);
//! listener.serve(|request, _peer| answer(request), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod client;
mod connection;
mod handshake;
mod listener;
mod reader;
mod rejection;
mod server;
mod session;
mod socket;
mod subprotocol;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod wire;
mod writer;
pub mod zrpc;

pub use client::{
    DialledServer, Subprotocol, WebSocketClient, WebSocketClientConfig, WebSocketConnector,
};
pub use handshake::{Handshake, NotOffered};
pub use listener::{Listener, ListenerConfig};
pub use reader::{ReadError, Reader};
pub use rejection::Rejection;
pub use server::{AcceptedConnection, SocketClient, WebSocketServer, WebSocketServerConfig};
pub use socket::{NotUpgraded, Peer, Socket};
pub use subprotocol::Unnamed;
pub use writer::Writer;
pub use zrpc::ZrpcConfig;

/// What TLS is asked to agree on for the handshake of a WebSocket (RFC 7301, section 6).
const ALPN: &[u8] = b"http/1.1";
