//! The server's end: an endpoint of QUIC, and a task for each connection.

mod answer;
mod config;
mod connection;
mod handshake;
mod inbound;
mod request;
mod retirement;
mod serve;
mod stream;
mod tls;

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use headwater_rpc::{
    Acceptor, Code, ServerCounters, ServerTransport, Status, channel::Address, tls::ServerTlsConfig,
};
use quinn::{Endpoint, Incoming};
use tokio::{
    net::ToSocketAddrs,
    select,
    sync::{Semaphore, watch},
    task::JoinSet,
};

pub use self::config::Http3ServerConfig;
use self::{
    serve::Context,
    tls::{BaseConfig, QuicTls},
};
use crate::{
    quic::{self, Transports},
    socket,
};

pub(crate) use self::config::idle_timeout;

/// Serves gRPC over HTTP/3 on one address. For several addresses, make several, and give each of their
/// [`Server`](headwater_rpc::Server)s the same router.
///
/// What happens to connections and streams can be followed with `tracing`: events of the level `DEBUG` and the target
/// `headwater_http3`, with the connection's number and no metadata.
pub struct Http3Server {
    config: Http3ServerConfig,
    tls: Arc<QuicTls>,
    addr: SocketAddr,
    endpoint: Mutex<Option<Endpoint>>,
    counters: ServerCounters,
    stopping: watch::Sender<bool>,
}

impl Http3Server {
    /// Binds the address, of UDP; with port 0, the system chooses one. Connections wait until the server serves.
    ///
    /// TLS 1.3 is part of QUIC, so there is no server without certificates.
    ///
    /// # Errors
    ///
    /// The address cannot be bound; or a file of TLS cannot be read or used, and the message names it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn bind(
        addr: impl ToSocketAddrs,
        tls: ServerTlsConfig,
        config: Http3ServerConfig,
    ) -> io::Result<Self> {
        let base = base(&config);
        let tls = QuicTls::load(tls, &base).await?;
        let socket = socket::bind(addr, config.socket_buffer_bytes).await?;
        let addr = socket.local_addr()?;
        // Each connection gets its own.
        let quic = tls.current(&base, addr).await;
        let endpoint = Endpoint::new(
            quic::endpoint_config(),
            Some(quic),
            socket,
            socket::runtime(),
        )?;
        Ok(Self {
            config,
            tls: Arc::new(tls),
            addr,
            endpoint: Mutex::new(Some(endpoint)),
            counters: ServerCounters::default(),
            stopping: watch::Sender::new(false),
        })
    }

    /// The address that was bound.
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// What the server holds, to be asked while it serves.
    pub fn counters(&self) -> ServerCounters {
        self.counters.clone()
    }

    fn context(&self, acceptor: Acceptor) -> Context {
        Context {
            config: self.config.clone(),
            base: base(&self.config),
            tls: Arc::clone(&self.tls),
            local: Address::Socket(self.addr),
            acceptor,
            counters: self.counters.clone(),
            handshakes: AtomicUsize::new(0),
            stopping: self.stopping.subscribe(),
        }
    }

    fn take_endpoint(&self) -> Option<Endpoint> {
        let mut slot = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }
}

fn base(config: &Http3ServerConfig) -> BaseConfig {
    BaseConfig {
        transports: Transports::new(|| config.transport()),
        incoming_max: config.incoming_max,
        incoming_bytes_max: config.incoming_bytes_max,
    }
}

#[async_trait]
impl ServerTransport for Http3Server {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let Some(endpoint) = self.take_endpoint() else {
            return Err(Status::new(Code::FailedPrecondition, "it listened before"));
        };
        let address = self.addr;
        tracing::debug!(target: "headwater_http3", %address, "listening");
        let context = Arc::new(self.context(acceptor));
        // However this ends, no connection outlives it.
        let mut connections = JoinSet::new();
        accept(&endpoint, &context, &mut connections).await;
        tracing::debug!(target: "headwater_http3", %address, "no longer listening");
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let bound = context.config.shutdown_timeout;
        select! {
            () = context.acceptor.drain(bound, all_ended) => {}
            () = refuse(&endpoint) => {}
        }
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }
}

/// Accepts connections until the server begins to stop.
async fn accept(endpoint: &Endpoint, context: &Arc<Context>, connections: &mut JoinSet<()>) {
    let places = context.config.connections_max;
    let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    let mut stopping = context.stopping.clone();
    let seeds = RandomState::new();
    let mut id: u64 = 0;
    loop {
        let incoming = select! {
            biased;
            // The sender is part of the server, so it cannot be gone.
            _ = stopping.wait_for(|stopping| *stopping) => return,
            Some(_) = connections.join_next() => continue,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            // The socket is gone.
            return;
        };
        let Some(incoming) = validated(incoming, context) else {
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(target: "headwater_http3", peer = %incoming.remote_address(), "no place for a connection");
            incoming.refuse();
            continue;
        };
        id += 1;
        let context = Arc::clone(context);
        let seed = seeds.hash_one(id);
        connections.spawn(serve::serve(incoming, context, id, seed, place));
    }
}

/// While many connections are in their handshake, a client has to prove its address before anything is done for it.
fn validated(incoming: Incoming, context: &Context) -> Option<Incoming> {
    let busy = context.handshakes.load(Ordering::Acquire);
    let is_calm = busy < context.config.unvalidated_handshakes_max;
    if is_calm || incoming.remote_address_validated() || !incoming.may_retry() {
        return Some(incoming);
    }
    // It fails only for a client that may not be asked again.
    let _ = incoming.retry();
    None
}

/// Tells clients that come now that nobody serves them. Runs for ever.
async fn refuse(endpoint: &Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        incoming.refuse();
    }
    std::future::pending().await
}
