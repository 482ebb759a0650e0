//! The server: an accept loop.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use headwater_rpc::{
    Acceptor, Code, ServerTransport, Status,
    tls::{ServerTlsConfig, TlsServer},
};
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    select,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::sleep,
};
use tower_http::cors::CorsLayer;

use crate::{
    GrpcWebServerConfig,
    connection::{self, Context},
    tls::ALPN,
};

/// How long to wait before the next accept when the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves gRPC-Web on one address, over HTTP/1.1 and HTTP/2, with or without TLS; and gRPC, over HTTP/2.
///
/// Methods of the shapes `Unary` and `ServerStreaming` can be called by gRPC-Web; others end with `UNIMPLEMENTED`. A stream
/// that is put on the router without its shape counts as bidirectional.
pub struct GrpcWebServer {
    config: GrpcWebServerConfig,
    cors: CorsLayer,
    addr: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
    tls: Option<Arc<TlsServer>>,
    stopping: watch::Sender<bool>,
}

impl GrpcWebServer {
    /// Binds the address; with port 0, the system chooses one. Connections wait until the server serves.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or what is configured as an origin is none.
    pub async fn bind(addr: impl ToSocketAddrs, config: GrpcWebServerConfig) -> io::Result<Self> {
        let cors = config.cors()?;
        let listener = TcpListener::bind(addr).await?;
        Ok(Self {
            config,
            cors,
            addr: listener.local_addr()?,
            listener: Mutex::new(Some(listener)),
            tls: None,
            stopping: watch::Sender::new(false),
        })
    }

    /// Takes connections with TLS only.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used; the message names it.
    pub fn with_tls(mut self, config: ServerTlsConfig) -> io::Result<Self> {
        self.tls = Some(Arc::new(TlsServer::new(config, &ALPN)?));
        Ok(self)
    }

    /// The address that was bound.
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn context(&self, acceptor: Acceptor) -> Context {
        Context {
            config: self.config.clone(),
            acceptor,
            cors: self.cors.clone(),
            tls: self.tls.clone(),
            stopping: self.stopping.subscribe(),
        }
    }
}

#[async_trait]
impl ServerTransport for GrpcWebServer {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let listener = self.listener.lock();
        let listener = listener.unwrap_or_else(PoisonError::into_inner).take();
        let listener =
            listener.ok_or_else(|| Status::new(Code::FailedPrecondition, "it listened before"))?;
        let address = self.addr;
        tracing::debug!(target: "headwater_grpc_web", %address, "listening");
        let context = Arc::new(self.context(acceptor));
        // However this ends, no connection outlives it.
        let mut connections = JoinSet::new();
        accept(&listener, &context, &mut connections).await;
        drop(listener);
        tracing::debug!(target: "headwater_grpc_web", %address, "no longer listening");
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
async fn accept(listener: &TcpListener, context: &Arc<Context>, connections: &mut JoinSet<()>) {
    let places = context.config.connections_max;
    let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    let mut stopping = context.stopping.clone();
    loop {
        let accepted = select! {
            biased;
            // The sender is part of the server, so it cannot be gone.
            _ = stopping.wait_for(|stopping| *stopping) => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (io, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(target: "headwater_grpc_web", %error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(target: "headwater_grpc_web", peer = %from, "no place for a connection");
            continue;
        };
        let context = Arc::clone(context);
        connections.spawn(connection::serve(io, from, context, place));
    }
}
