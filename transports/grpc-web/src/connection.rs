//! One accepted connection, from its handshake to its end.

use std::{future::pending, net::SocketAddr, pin::pin, sync::Arc};

use headwater_rpc::{Acceptor, HandlerLimit, Peer, channel::Address, tls::TlsServer};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    select,
    sync::{Notify, OwnedSemaphorePermit, mpsc, watch},
    time::timeout,
};
use tonic_web::GrpcWebLayer;
use tower::{ServiceBuilder, util::MapRequestLayer};
use tower_http::cors::CorsLayer;

use crate::{
    GrpcWebServerConfig, request,
    service::CallService,
    tls,
    unread::{self, Unread},
};

/// What all connections of a server have in common.
pub(crate) struct Context {
    pub(crate) config: GrpcWebServerConfig,
    pub(crate) acceptor: Acceptor,
    pub(crate) cors: CorsLayer,
    pub(crate) tls: Option<Arc<TlsServer>>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Serves a connection to its end. Dropping this cuts it.
pub(crate) async fn serve(
    io: TcpStream,
    from: SocketAddr,
    context: Arc<Context>,
    _place: OwnedSemaphorePermit,
) {
    // Without it small frames wait for acknowledgements; a socket that refuses works all the same.
    let _ = io.set_nodelay(true);
    context.config.watch(&io);
    let local = io.local_addr();
    let local = local.map(|addr| Address::Socket(addr).to_string());
    let peer = Peer::new(Address::Socket(from).to_string(), local.unwrap_or_default());
    let mut stopping = context.stopping.clone();
    let secured = select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => return,
        secured = tls::secure(io, peer, context.tls.as_deref()) => secured,
    };
    match secured {
        Ok((io, peer)) => {
            let (unread, bodies) = mpsc::unbounded_channel();
            select! {
                () = drive(io, peer, &context, stopping, unread) => {}
                // Not before the other is over: it has the other end.
                () = unread::read_on(bodies) => {}
            }
        }
        Err(error) => tracing::debug!(target: "headwater_grpc_web", peer = %from, %error, "no TLS"),
    }
}

async fn drive(
    io: Box<dyn tls::Io>,
    peer: Peer,
    context: &Context,
    mut stopping: watch::Receiver<bool>,
    unread: Unread,
) {
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let mark = move |request| {
        begins.notify_one();
        request::mark(request, &unread)
    };
    let service = ServiceBuilder::new()
        .layer(MapRequestLayer::new(mark))
        .layer(context.cors.clone())
        .layer(GrpcWebLayer::new())
        .service(CallService {
            acceptor: context.acceptor.clone(),
            peer,
            handlers: HandlerLimit::new(context.config.concurrent_streams_max as usize),
        });
    let http = http(&context.config);
    let http = http.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    let mut http = pin!(http);
    let never_begins = async {
        let begun = timeout(context.config.request_timeout, begun.notified()).await;
        if begun.is_ok() {
            pending::<()>().await;
        }
    };
    // How it ended matters to nobody: its calls have learnt it.
    select! {
        biased;
        _ = http.as_mut() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = never_begins => return,
    }
    http.as_mut().graceful_shutdown();
    let _ = http.await;
}

/// hyper's server of one connection, within these bounds.
fn http(config: &GrpcWebServerConfig) -> auto::Builder<TokioExecutor> {
    let bytes_max = config.header_list_bytes_max;
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.request_timeout)
        // hyper has a least size, and panics below it.
        .max_buf_size(
            usize::try_from(bytes_max)
                .unwrap_or(usize::MAX)
                .max(8 << 10),
        );
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.concurrent_streams_max)
        .max_header_list_size(bytes_max)
        .initial_stream_window_size(config.stream_window())
        .initial_connection_window_size(config.connection_window())
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout);
    http
}
