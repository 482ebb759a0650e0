//! From a request to a session.

use std::sync::Arc;

use headwater_proto::websocket::DecoderConfig;
use headwater_rpc::{Acceptor, Peer, channel::Address};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{Accepted, WebSocketServerConfig, connection::OnConnection, serve};
use crate::{
    Handshake, Rejection, Socket,
    session::ServiceList,
    subprotocol::{self, Protocol},
    zrpc,
};

/// What every request is answered with.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) acceptor: Acceptor,
    pub(super) services: Arc<ServiceList>,
    pub(super) config: Arc<WebSocketServerConfig>,
    pub(super) on_connection: Option<OnConnection>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Whose sender is dropped when everything has to end at once.
    pub(super) cut: watch::Receiver<()>,
}

impl Context {
    /// Answers a request; a good handshake leads to a session in a task of its own.
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
        from: crate::Peer,
    ) -> Response<String> {
        let handshake = match Handshake::check(&request) {
            Ok(handshake) => handshake,
            Err(rejection) => return rejection.response(),
        };
        if !self.config.admits(request.headers()) {
            return Rejection::Origin.response();
        }
        let chosen = subprotocol::choose(handshake.subprotocols(), self.config.unnamed);
        let Some((protocol, name)) = chosen else {
            return Rejection::UnknownSubprotocol.response();
        };
        if *self.stopping.borrow() {
            return unavailable();
        }
        let request_bytes_max = self.acceptor.receive_message_bytes_max();
        let decoder = DecoderConfig {
            message_bytes_max: self.config.message_bytes_max(request_bytes_max),
        };
        let headers = std::mem::take(request.headers_mut());
        let context = self.clone();
        let connection = async move |socket: Result<Socket, _>| {
            let Ok(socket) = socket else { return };
            context.serve(socket, protocol, headers, from).await;
        };
        let answer = handshake.upgrade(&mut request, name, decoder, connection);
        // The name is one that the client offered, so this does not fail.
        answer.unwrap_or_else(|_| Rejection::UnknownSubprotocol.response())
    }

    async fn serve(
        self,
        socket: Socket,
        protocol: Protocol,
        headers: http::HeaderMap,
        from: crate::Peer,
    ) {
        let Self {
            acceptor,
            services,
            config,
            on_connection,
            stopping,
            mut cut,
        } = self;
        let peer = peer(&socket, from);
        tracing::debug!(%peer, ?protocol, "a socket is open");
        let accepted = Accepted {
            socket,
            acceptor,
            peer: peer.clone(),
            headers,
            config,
            stopping,
        };
        let session = async {
            match protocol {
                Protocol::PwRpc { extended } => {
                    serve::serve(accepted, services, on_connection, extended).await;
                }
                Protocol::Zrpc { name } => zrpc::serve(accepted, name).await,
            }
        };
        tokio::select! {
            () = session => {}
            // Nothing is ever sent.
            _ = cut.changed() => {}
        }
        tracing::debug!(%peer, "a socket is over");
    }
}

fn unavailable() -> Response<String> {
    let mut answer = Response::new("the server is stopping\n".to_owned());
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}

/// Both ends of the connection, as a peer is described.
fn peer(socket: &Socket, from: crate::Peer) -> Peer {
    let remote = Address::Socket(from.address).to_string();
    let local = socket.local_addr().map(Address::Socket);
    let local = local.map(|it| it.to_string()).unwrap_or_default();
    Peer::new(remote, local).with_certificates(socket.peer_certificates())
}
