//! The port that clients connect to.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_rpc::tls::{ServerTlsConfig, TlsServer};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::{Semaphore, watch},
};

use crate::{
    ALPN, Peer, connection,
    tls::secure,
    wire::{Wire, WireStream},
};

/// What a client gets that connects when there are too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long the listener waits after an error that is about this process, such as too many open files.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// The bounds of a [`Listener`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// How long a client may take for the head of a request: from the accept for the first one, and from the answer
    /// before it for the next. Later, or silent all the time: disconnected. Default: 10 s.
    pub handshake_timeout: Duration,
    /// The longest head of a request, in bytes. Longer: 431. Default: 16 KiB; less than 8 KiB still reads 8 KiB.
    pub header_bytes_max: usize,
    /// The most headers of a request. More: 431. Default: 64.
    pub headers_max: usize,
    /// The most connections at once, WebSockets included. One more gets 503 and is disconnected. Default: 100,000;
    /// each one takes about 10 KiB in the kernel, and needs a file descriptor.
    pub connections_max: usize,
    /// `SO_SNDBUF` of each connection, in bytes: what the kernel holds for a client that does not read, before the
    /// bounds of the caller begin to count. Default: 64 KiB (Linux doubles it for its own use); `None` leaves it to
    /// the kernel, which takes up to 4 MB. A small buffer bounds how fast one client far away can be served.
    pub send_buffer_bytes: Option<usize>,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            connections_max: 100_000,
            send_buffer_bytes: Some(64 * 1024),
        }
    }
}

/// Accepts connections and serves HTTP/1.1 on them, which can become WebSockets.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    config: ListenerConfig,
    tls: Option<TlsServer>,
}

impl Listener {
    /// Listens at this address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr, config: ListenerConfig) -> io::Result<Self> {
        Self::bind_any(address, config).await
    }

    /// As [`Listener::bind`], at the first address that can be bound.
    pub(crate) async fn bind_any(
        address: impl ToSocketAddrs,
        config: ListenerConfig,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self {
            tcp,
            config,
            tls: None,
        })
    }

    /// Takes connections with TLS only (`https://`, `wss://`).
    ///
    /// # Errors
    ///
    /// A file cannot be read or used; the message names it.
    pub fn with_tls(mut self, config: ServerTlsConfig) -> io::Result<Self> {
        self.tls = Some(TlsServer::new(config, &[ALPN])?);
        Ok(self)
    }

    /// The address it really listens at.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves requests by `service` until `stop` is ready; then accepts nothing more and returns when the requests
    /// being served have been answered. WebSockets belong to their tasks and are not waited for.
    ///
    /// `service` answers every request: a WebSocket by
    /// [`Handshake::upgrade`](crate::Handshake::upgrade), anything else as it likes. It may take its time; what it awaits, it must
    /// bound.
    ///
    /// An error of one connection ends that connection, and an error of accepting ends nothing: out of file
    /// descriptors, it tries again ten times a second.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are being served end with their next answer.
    pub async fn serve<S, F, B>(self, service: S, stop: impl Future<Output = ()>)
    where
        S: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { tcp, config, tls } = self;
        let places = Arc::new(Semaphore::new(
            config.connections_max.min(Semaphore::MAX_PERMITS),
        ));
        let send_buffer_bytes = config.send_buffer_bytes;
        let is_plain = tls.is_none();
        let builder = connection::builder(&config);
        let accept = async move || {
            let (stream, address) = tcp.accept().await?;
            let wire = admit(stream, &places, send_buffer_bytes, is_plain);
            Ok((wire, Peer { address }))
        };
        let tls = tls.map(Arc::new);
        let begin = |wire: Wire, peer: Peer, stopping| {
            let (builder, service) = (builder.clone(), service.clone());
            let tls = tls.clone();
            tokio::spawn(async move {
                let wire = match tls {
                    None => wire,
                    Some(tls) => match secure(&tls, wire).await {
                        Ok(wire) => wire,
                        Err(error) => {
                            tracing::debug!(%peer.address, %error, "no tls");
                            return;
                        }
                    },
                };
                connection::serve(builder, wire, peer, service, stopping).await;
            });
        };
        run(accept, begin, stop).await;
    }
}

/// The accept loop, whatever accepts, and whatever begins to serve what was accepted. An accepted `None` is a connection
/// that was refused already.
async fn run<A, I>(
    mut accept: A,
    begin: impl Fn(I, Peer, watch::Receiver<()>),
    stop: impl Future<Output = ()>,
) where
    A: AsyncFnMut() -> io::Result<(Option<I>, Peer)>,
{
    let (stopped, stopping) = watch::channel(());
    let accepting = async {
        loop {
            match accept().await {
                Ok((Some(io), peer)) => begin(io, peer, stopping.clone()),
                Ok((None, peer)) => {
                    tracing::debug!(peer = %peer.address, "refused: too many connections");
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_BACK_OFF).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(accept);
    drop(stopping);
    stopped.send_replace(());
    stopped.closed().await;
}

/// Prepares an accepted stream; `None` if there is no place left for it.
fn admit(
    stream: TcpStream,
    places: &Arc<Semaphore>,
    send_buffer_bytes: Option<usize>,
    is_plain: bool,
) -> Option<Wire> {
    let socket = SockRef::from(&stream);
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        if is_plain {
            // Tells the client if it can; nobody waits for it.
            let _ = socket.send(FULL);
        }
        return None;
    };
    // A socket that is broken already shows it with the first read.
    let _ = socket.set_tcp_nodelay(true);
    if let Some(bytes) = send_buffer_bytes {
        let _ = socket.set_send_buffer_size(bytes);
    }
    let stream = WireStream::Tcp(stream);
    Some(Wire { stream, place })
}

/// Whether accepting failed because of the connection that was to be accepted, which has gone again, and not because
/// of this process or machine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
