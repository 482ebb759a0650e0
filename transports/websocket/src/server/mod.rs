//! The server's end: this crate's own listener, and a session for each socket by the subprotocol that was agreed on.

mod config;
mod connection;
mod line;
mod serve;
mod upgrade;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use headwater_rpc::{Acceptor, Code, Peer, ServerTransport, Status, tls::ServerTlsConfig};
use tokio::{net::ToSocketAddrs, sync::watch};

pub use self::{
    config::WebSocketServerConfig,
    connection::{AcceptedConnection, SocketClient},
};
use self::{connection::OnConnection, upgrade::Context};
use crate::{Listener, Socket, session::ServiceList};

/// Serves RPC over WebSockets on one address. For several addresses, make several, and give each of their
/// [`Server`](headwater_rpc::Server)s the same router.
///
/// A socket speaks what its subprotocol says; the path of its URL does not matter:
///
/// | name | what |
/// |---|---|
/// | `headwater.v1.pw_rpc` | pw_rpc's packets with Headwater's extension fields: metadata, deadlines, credit |
/// | `pw_rpc` | pw_rpc's packets; whether the client knows the extension fields, its packets say |
/// | `zrpc`, `zrpc.v2` | zrpc's frames, without and with call ids ([`zrpc`](crate::zrpc)) |
/// | none | by [`WebSocketServerConfig::unnamed`] |
///
/// A client that names only others is answered with 400.
pub struct WebSocketServer {
    config: Arc<WebSocketServerConfig>,
    address: SocketAddr,
    listener: Mutex<Option<Listener>>,
    on_connection: Option<OnConnection>,
    stopping: watch::Sender<bool>,
}

/// A socket whose handshake is done, and what a session on it needs. The session's future is dropped when the server
/// stops at once.
pub(crate) struct Accepted {
    /// The socket.
    pub(crate) socket: Socket,
    /// Takes its calls.
    pub(crate) acceptor: Acceptor,
    /// Who is at the other end.
    pub(crate) peer: Peer,
    /// The headers of the handshake.
    pub(crate) headers: http::HeaderMap,
    /// The server's bounds.
    pub(crate) config: Arc<WebSocketServerConfig>,
    /// `true` once the server refuses new calls; the session ends when the open ones have ended.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl WebSocketServer {
    /// Binds the address; with port 0, the system chooses one. Connections wait until the server serves.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(addr: impl ToSocketAddrs, config: WebSocketServerConfig) -> io::Result<Self> {
        let listener = Listener::bind_any(addr, config.listener.clone()).await?;
        Ok(Self {
            address: listener.local_addr()?,
            config: Arc::new(config),
            listener: Mutex::new(Some(listener)),
            on_connection: None,
            stopping: watch::Sender::new(false),
        })
    }

    /// Takes connections with TLS only (`wss://`).
    ///
    /// # Errors
    ///
    /// A file cannot be read or used; the message names it.
    pub fn with_tls(mut self, config: ServerTlsConfig) -> io::Result<Self> {
        if let Some(listener) = self.take_listener() {
            self.listener = Mutex::new(Some(listener.with_tls(config)?));
        }
        Ok(self)
    }

    /// Has `on_connection` told of each socket that speaks pw_rpc's packets, before anything is read of it, so that the
    /// application can call on it as well, and answer what nobody on this socket has requested. It runs in the socket's
    /// task, which it must not hold up: hand the connection on, and return.
    #[must_use]
    pub fn with_connections(
        mut self,
        on_connection: impl Fn(AcceptedConnection) + Send + Sync + 'static,
    ) -> Self {
        self.on_connection = Some(Arc::new(on_connection));
        self
    }

    /// The address that was bound.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn take_listener(&self) -> Option<Listener> {
        let mut slot = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }
}

#[async_trait]
impl ServerTransport for WebSocketServer {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let Some(listener) = self.take_listener() else {
            return Err(Status::new(Code::FailedPrecondition, "it listened before"));
        };
        let address = self.address;
        tracing::debug!(%address, "listening");
        // However this ends, no session outlives it: each has a receiver, which sees this go.
        let (alive, cut) = watch::channel(());
        let context = Context {
            services: Arc::new(ServiceList::new(acceptor.clone())),
            acceptor: acceptor.clone(),
            config: Arc::clone(&self.config),
            on_connection: self.on_connection.clone(),
            stopping: self.stopping.subscribe(),
            cut,
        };
        let service = move |request, peer| std::future::ready(context.answer(request, peer));
        let mut stopping = self.stopping.subscribe();
        let stop = async {
            // The sender is part of the server, so it cannot be gone.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        listener.serve(service, stop).await;
        tracing::debug!(%address, "no longer listening");
        let bound = self.config.shutdown_timeout;
        acceptor.drain(bound, alive.closed()).await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }
}
