//! zrpc: calls over WebSocket messages, for clients of davebshow/zrpc and for any language with a WebSocket.
//!
//! What is said is in [`headwater_proto::zrpc`]. A method is an ordinary one of the server's router, under the path that
//! [`headwater_proto::zrpc::path_of`] makes of its name; interceptors, deadlines and limits of the server are as on every
//! transport. The headers of the handshake are metadata of every call of the socket: that is where a client's token is.
//!
//! Many calls run at once on a socket. They are cancelled when it goes, and what waits for a client that does not read is
//! bounded: handlers are held back.
//!
//! A [`WebSocketServer`](crate::WebSocketServer) serves it; [`ZrpcConfig`] says how. [`WorkQueue`] hands calls to workers.
//! [`ZrpcClient`] is a transport for [`headwater_rpc::Client`], and [`Proxy`] calls methods by name alone.

mod calls;
mod client;
mod config;
mod inbox;
mod metadata;
mod numbered;
mod out;
mod outbox;
mod plain;
mod session;
mod woken;
mod work;

pub use client::{BlobCodec, Framing, Method, Proxy, Replies, ZrpcClient, ZrpcClientConfig};
pub use config::{TextFrames, ZrpcConfig};
pub use headwater_proto::zrpc::Ending;
use headwater_proto::zrpc::{SUBPROTOCOL, SUBPROTOCOL_V2};
pub use work::{WorkQueue, Worker};

use self::{calls::Calls, numbered::Numbered, plain::Plain, session::Session};
use crate::server::Accepted;

/// The names by which a client asks for it, the preferred one first.
pub(crate) const SUBPROTOCOLS: &[&str] = &[SUBPROTOCOL_V2, SUBPROTOCOL];

/// Serves one socket until it is over. `name` is the subprotocol that was agreed on, if the client named one.
pub(crate) async fn serve(accepted: Accepted, name: Option<&'static str>) {
    let Accepted {
        socket,
        acceptor,
        peer,
        headers,
        config,
        stopping,
    } = accepted;
    let calls = Calls::new(acceptor, peer, &headers, config.zrpc.clone());
    drop(headers);
    if name == Some(SUBPROTOCOL_V2) {
        let session = Session::new(socket, calls, Numbered::default(), config, stopping);
        return session.run().await;
    }
    let plain = Plain::new(config.zrpc.ending);
    let session = Session::new(socket, calls, plain, config, stopping);
    session.run().await;
}
