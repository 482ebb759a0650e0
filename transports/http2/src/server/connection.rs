//! One accepted connection, from its handshake to its end.

use std::{
    future::pending,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use h2::PingPong;
use headwater_rpc::{
    Acceptor, HandlerLimit, Peer, ServerCounters,
    http::{AltSvc, jittered},
    tls::TlsServer,
};
use http::{HeaderMap, HeaderValue, header};
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};
use tonic::transport::server::TcpConnectInfo;

use super::{
    config::Http2ServerConfig,
    driver::{Driver, Order, Watch},
    enforcement::Enforcement,
    listener::Accepted,
    service::{Mounts, Service},
    tls,
};
use crate::{
    io::WatchedIo,
    keepalive::{Heard, is_alive, silence},
};

/// What one stream may have waiting in `h2` beyond the client's window: some pulls of the driver's.
pub(super) const SEND_BUFFER_BYTES: usize = 400 << 10;

/// What all connections of a server have in common.
pub(super) struct Context {
    pub(super) config: Http2ServerConfig,
    pub(super) acceptor: Acceptor,
    pub(super) mounts: Arc<Mounts>,
    pub(super) tls: Option<Arc<TlsServer>>,
    pub(super) counters: ServerCounters,
    pub(super) stopping: watch::Receiver<bool>,
}

/// What is known of a connection.
pub(crate) struct Connection {
    id: u64,
    peer: Peer,
    tcp: Option<TcpConnectInfo>,
    streams: AtomicUsize,
    /// When the last stream ended.
    idle_since: Mutex<Instant>,
    spoken: AtomicBool,
    lost: AtomicBool,
    heard: Heard,
    /// What every answer announces.
    alt_svc: Option<HeaderValue>,
    counters: ServerCounters,
    /// As many as streams may be open. (Handlers of mounted services are dropped with their streams.)
    pub(super) handlers: HandlerLimit,
}

impl Connection {
    fn new(
        id: u64,
        peer: Peer,
        tcp: Option<TcpConnectInfo>,
        config: &Http2ServerConfig,
        counters: &ServerCounters,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            peer,
            tcp,
            streams: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            spoken: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            heard: Heard::new(),
            alt_svc: config.alt_svc.map(AltSvc::to_header),
            counters: counters.clone(),
            handlers: HandlerLimit::new(config.concurrent_streams_max as usize),
        })
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// The client has begun to speak HTTP/2.
    pub(crate) fn set_spoken(&self) {
        self.spoken.store(true, Ordering::Release);
    }

    /// Nothing more can come from the client, nor go to it.
    pub(crate) fn set_lost(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Something came of the client.
    pub(crate) fn note_heard(&self) {
        self.heard.note();
    }

    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Says in an answer where else this server is.
    pub(super) fn announce(&self, headers: &mut HeaderMap) {
        if let Some(alt_svc) = &self.alt_svc {
            headers.insert(header::ALT_SVC, alt_svc.clone());
        }
    }

    /// Says who calls, to a service that is not ours.
    pub(super) fn describe(&self, extensions: &mut http::Extensions) {
        extensions.insert(self.peer.clone());
        if let Some(tcp) = &self.tcp {
            extensions.insert(tcp.clone());
        }
    }

    pub(super) fn open_stream(self: &Arc<Self>, path: &str) -> OpenStream {
        self.streams.fetch_add(1, Ordering::AcqRel);
        self.counters.stream_opened();
        tracing::debug!(target: "headwater_http2", connection = self.id, path, "stream opened");
        OpenStream(Arc::clone(self))
    }

    /// Since when no stream is open; `None` if one is.
    fn idle_since(&self) -> Option<Instant> {
        let since = self
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (self.streams() == 0).then_some(*since)
    }
}

/// A stream that is open until this is dropped.
pub(super) struct OpenStream(Arc<Connection>);

impl OpenStream {
    /// Whether it is gone because its connection is.
    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Acquire)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let connection = &*self.0;
        let mut idle_since = connection
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Streams end under this lock alone. One that begins meanwhile will say when it was the last.
        if connection.streams() == 1 {
            *idle_since = Instant::now();
        }
        connection.streams.fetch_sub(1, Ordering::AcqRel);
        drop(idle_since);
        connection.counters.stream_ended();
        tracing::debug!(target: "headwater_http2", connection = connection.id, "stream ended");
    }
}

/// One more connection until this is dropped.
struct Counted<'a> {
    counters: &'a ServerCounters,
    id: u64,
}

impl<'a> Counted<'a> {
    fn new(counters: &'a ServerCounters, id: u64, peer: &Peer) -> Self {
        counters.connection_opened();
        tracing::debug!(target: "headwater_http2", connection = id, %peer, "connection opened");
        Self { counters, id }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counters.connection_closed();
        tracing::debug!(target: "headwater_http2", connection = self.id, "connection closed");
    }
}

/// Serves a connection to its end. Dropping this cuts it.
pub(super) async fn serve(
    accepted: Accepted,
    context: Arc<Context>,
    id: u64,
    seed: u64,
    _place: OwnedSemaphorePermit,
) {
    let _counted = Counted::new(&context.counters, id, &accepted.peer);
    let mut stopping = context.stopping.clone();
    let accepted = select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => return,
        secured = secure(accepted, &context) => match secured {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(target: "headwater_http2", connection = id, %error, "no TLS");
                return;
            }
        },
    };
    let connection = Connection::new(
        id,
        accepted.peer,
        accepted.tcp,
        &context.config,
        &context.counters,
    );
    let io = WatchedIo::new(
        accepted.io,
        Arc::clone(&connection),
        context.config.preface_timeout,
        Enforcement::new(
            context.config.ping_interval_min,
            context.config.ping_without_calls,
        ),
    );
    let ended = drive(io, &connection, &context, stopping, seed).await;
    tracing::debug!(target: "headwater_http2", connection = id, ?ended, "connection ends");
}

/// The TLS handshake, if there is to be one.
async fn secure(accepted: Accepted, context: &Context) -> io::Result<Accepted> {
    let Some(tls) = &context.tls else {
        return Ok(accepted);
    };
    let Accepted { io, peer, tcp } = accepted;
    let (io, peer) = tls::accept(tls, io, peer).await?;
    Ok(Accepted { io, peer, tcp })
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// By itself, or because one side had asked for it and no stream was open.
    Closed,
    /// It broke, or broke the rules.
    Failed(#[expect(dead_code, reason = "it is read by its Debug")] h2::Error),
    /// The client was silent, and did not answer when it was asked.
    Lost,
    /// Streams were still open when the grace after its age was over.
    GraceOver,
    /// The server stopped before the client had said anything.
    NotBegun,
}

async fn drive(
    io: WatchedIo,
    connection: &Arc<Connection>,
    context: &Context,
    mut stopping: watch::Receiver<bool>,
    seed: u64,
) -> Ending {
    let config = &context.config;
    let mut http = select! {
        biased;
        shaken = http(config).handshake(io) => match shaken {
            Ok(http) => http,
            Err(error) => return Ending::Failed(error),
        },
        _ = stopping.wait_for(|stopping| *stopping) => return Ending::NotBegun,
    };
    let keepalive = http.ping_pong().map(|ping_pong| {
        let (interval, timeout) = (config.keepalive_interval, config.keepalive_timeout);
        Box::pin(keepalive(
            ping_pong,
            Arc::clone(connection),
            interval,
            timeout,
        )) as Watch
    });
    let service = Service {
        acceptor: context.acceptor.clone(),
        mounts: Arc::clone(&context.mounts),
        connection: Arc::clone(connection),
    };
    let old_at = config.connection_age_max;
    let old_at = old_at.and_then(|age| Instant::now().checked_add(jittered(age, seed)));
    let retired: Watch = Box::pin(retired(
        Arc::clone(connection),
        stopping,
        old_at,
        config.idle_timeout,
        config.connection_age_grace,
    ));
    Driver::new(http, service, keepalive.into_iter().chain([retired])).await
}

/// Asks a client that is silent, until one does not answer.
async fn keepalive(
    mut ping_pong: PingPong,
    connection: Arc<Connection>,
    interval: Duration,
    timeout: Duration,
) -> Order {
    loop {
        silence(&connection.heard, || interval).await;
        if !is_alive(&mut ping_pong, &connection.heard, timeout).await {
            return Order::Cut(Ending::Lost);
        }
    }
}

/// Why a connection that works is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retirement {
    Age,
    Idle,
}

/// Waits until the connection is to take no more streams.
async fn retired(
    connection: Arc<Connection>,
    mut stopping: watch::Receiver<bool>,
    old_at: Option<Instant>,
    idle_timeout: Option<Duration>,
    grace: Option<Duration>,
) -> Order {
    select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => {
            if connection.spoken.load(Ordering::Acquire) {
                Order::Retire { grace: None }
            } else {
                Order::Cut(Ending::NotBegun)
            }
        }
        why = retirement(&connection, old_at, idle_timeout) => {
            tracing::debug!(target: "headwater_http2", connection = connection.id, ?why, "connection retires");
            Order::Retire { grace }
        }
    }
}

/// Waits until the connection is too old, or was without a stream for too long.
async fn retirement(
    connection: &Connection,
    old_at: Option<Instant>,
    idle_timeout: Option<Duration>,
) -> Retirement {
    loop {
        let now = Instant::now();
        if old_at.is_some_and(|at| at <= now) {
            return Retirement::Age;
        }
        let idle_since = connection.idle_since();
        let idle_at = idle_timeout.and_then(|bound| idle_since.unwrap_or(now).checked_add(bound));
        if idle_since.is_some() && idle_at.is_some_and(|at| at <= now) {
            return Retirement::Idle;
        }
        at([old_at, idle_at].into_iter().flatten().min()).await;
    }
}

/// `h2`'s server of one connection, within these bounds.
fn http(config: &Http2ServerConfig) -> h2::server::Builder {
    let mut http = h2::server::Builder::new();
    http.max_concurrent_streams(config.concurrent_streams_max)
        .max_header_list_size(config.header_list_bytes_max)
        .max_pending_accept_reset_streams(config.pending_reset_streams_max)
        .max_local_error_reset_streams(Some(config.error_reset_streams_max))
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_frame_size(config.frame_bytes())
        .initial_window_size(config.stream_window())
        .initial_connection_window_size(config.connection_window());
    http
}

/// At this moment, or never.
pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
