//! The server's end, on the `h2` crate: an accept loop, and for each connection a task that drives it and answers its
//! calls.
//!
//! Each connection has an age, a grace and an end of its own, so it is not tonic's `Server`, whose connections share one
//! signal, cannot be cut, and answer a deadline with `CANCELLED`. Services made for tonic can be mounted beside ours all
//! the same.

mod config;
pub(crate) mod connection;
mod driver;
pub(crate) mod enforcement;
pub(crate) mod frames;
mod listener;
mod mount;
mod responder;
mod service;
mod tls;

use std::{
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use headwater_rpc::{
    Acceptor, Code, ServerCounters, ServerTransport, Status,
    channel::Address,
    tls::{ServerTlsConfig, TlsServer},
};
use http::{Request, Response};
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    select,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tonic::{body::Body, server::NamedService};
use tower::{Service, util::BoxCloneSyncService};

pub use self::config::Http2ServerConfig;
use self::{connection::Context, listener::Listener, service::Mounts};
use crate::ALPN;

/// Serves gRPC over HTTP/2 on one address, with or without TLS. For several addresses, make several, and give each of
/// their [`Server`](headwater_rpc::Server)s the same router.
///
/// What happens to listeners, connections and streams can be followed with `tracing`: events of the level `DEBUG` and
/// the target `headwater_http2`, with the connection's number and no metadata.
pub struct Http2Server {
    config: Http2ServerConfig,
    address: Address,
    listener: Mutex<Option<Listener>>,
    tls: Option<Arc<TlsServer>>,
    mounts: Mounts,
    counters: ServerCounters,
    stopping: watch::Sender<bool>,
}

impl Http2Server {
    /// Binds the address; with port 0, the system chooses one. Connections wait until the server serves.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn bind(addr: impl ToSocketAddrs, config: Http2ServerConfig) -> io::Result<Self> {
        Self::new(Listener::Tcp(TcpListener::bind(addr).await?), config)
    }

    /// Binds a Unix socket. A socket at this path that nobody listens on any more is removed before, and this one when it
    /// is no longer listened on.
    ///
    /// # Errors
    ///
    /// Somebody listens there, or the path cannot be a socket.
    pub async fn bind_unix(path: impl AsRef<Path>, config: Http2ServerConfig) -> io::Result<Self> {
        Self::new(Listener::unix(path.as_ref()).await?, config)
    }

    fn new(listener: Listener, config: Http2ServerConfig) -> io::Result<Self> {
        Ok(Self {
            config,
            address: listener.address()?,
            listener: Mutex::new(Some(listener)),
            tls: None,
            mounts: Mounts::new(),
            counters: ServerCounters::default(),
            stopping: watch::Sender::new(false),
        })
    }

    /// Takes connections with TLS only.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used; the message names it.
    pub fn with_tls(mut self, config: ServerTlsConfig) -> io::Result<Self> {
        self.tls = Some(Arc::new(TlsServer::new(config, &[ALPN])?));
        Ok(self)
    }

    /// Mounts a service beside the router, such as one that tonic generated: it gets all requests whose path names it,
    /// with the caller as [`Peer`](headwater_rpc::Peer) in their extensions. Its calls are its own affair: they have no
    /// deadline but what it gives them, count as streams but not as calls of the server, and end with their connection.
    #[must_use]
    pub fn with_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.mounts
            .insert(S::NAME, BoxCloneSyncService::new(service));
        self
    }

    /// The address that was bound; of a Unix socket, which has no such address, `0.0.0.0:0`.
    pub const fn local_addr(&self) -> SocketAddr {
        if let Address::Socket(addr) = self.address {
            return addr;
        }
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)
    }

    /// The address that was bound, of whatever kind.
    pub const fn local_address(&self) -> &Address {
        &self.address
    }

    /// What the server holds, to be asked while it serves.
    pub fn counters(&self) -> ServerCounters {
        self.counters.clone()
    }

    fn context(&self, acceptor: Acceptor) -> Context {
        Context {
            config: self.config.clone(),
            acceptor,
            mounts: Arc::new(self.mounts.clone()),
            tls: self.tls.clone(),
            counters: self.counters.clone(),
            stopping: self.stopping.subscribe(),
        }
    }

    fn take_listener(&self) -> Option<Listener> {
        let mut slot = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }
}

#[async_trait]
impl ServerTransport for Http2Server {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let Some(listener) = self.take_listener() else {
            return Err(Status::new(Code::FailedPrecondition, "it listened before"));
        };
        let address = &self.address;
        tracing::debug!(target: "headwater_http2", %address, "listening");
        let context = Arc::new(self.context(acceptor));
        // However this ends, no connection outlives it.
        let mut connections = JoinSet::new();
        accept(&listener, &context, &mut connections).await;
        drop(listener);
        tracing::debug!(target: "headwater_http2", %address, "no longer listening");
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let bound = context.config.shutdown_timeout;
        context.acceptor.drain(bound, all_ended).await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }
}

/// Accepts connections until the server begins to stop.
async fn accept(listener: &Listener, context: &Arc<Context>, connections: &mut JoinSet<()>) {
    let places = context.config.connections_max;
    let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    let mut stopping = context.stopping.clone();
    let seeds = RandomState::new();
    let mut id: u64 = 0;
    loop {
        let accepted = select! {
            biased;
            // The sender is part of the server, so it cannot be gone.
            _ = stopping.wait_for(|stopping| *stopping) => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(target: "headwater_http2", peer = %accepted.peer, "no place for a connection");
            continue;
        };
        id += 1;
        let context = Arc::clone(context);
        let seed = seeds.hash_one(id);
        connections.spawn(connection::serve(accepted, context, id, seed, place));
    }
}
