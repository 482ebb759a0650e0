//! The accepting side of WebSockets: a port that serves HTTP/1.1, the opening handshake, and the socket after it.
//!
//! - [`Listener`] accepts connections and hands every request to one service function; it bounds what a client may
//!   cost before it has said anything useful.
//! - [`Handshake`] checks a request without doing anything, and makes the answer 101; [`Rejection`] is the answer when
//!   it cannot.
//! - [`Handshake::upgrade`] gives the [`Socket`]: a [`Reader`] that brings all that one read found, and a [`Writer`] that any
//!   thread can use without waiting. The frames themselves are in [`headwater_proto::websocket`].
//!
//! It never queues what is to be written, never answers a ping or a close by itself, and never compresses: what a
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
mod tls;
mod wire;
mod writer;
pub mod zrpc;

pub use client::{Subprotocol, WebSocketClient, WebSocketClientConfig, WebSocketConnector};
pub use handshake::{Handshake, NotOffered};
pub use listener::{Listener, ListenerConfig};
pub use reader::{ReadError, Reader};
pub use rejection::Rejection;
pub use server::{WebSocketServer, WebSocketServerConfig};
pub use socket::{NotUpgraded, Peer, Socket};
pub use subprotocol::Unnamed;
pub use writer::Writer;
pub use zrpc::ZrpcConfig;

/// What TLS is asked to agree on for the handshake of a WebSocket (RFC 7301, section 6).
const ALPN: &[u8] = b"http/1.1";
