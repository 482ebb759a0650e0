//! One HTTP connection, until it ends or becomes a WebSocket.

use std::{convert::Infallible, pin::pin};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use crate::{ListenerConfig, Peer};

/// The least that hyper reads a request into.
const READ_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// How hyper reads requests, by the bounds of `config`.
pub(crate) fn builder(config: &ListenerConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.handshake_timeout)
        .max_headers(config.headers_max)
        .max_header_size(config.header_bytes_max)
        .max_buf_size(config.header_bytes_max.max(READ_BUFFER_BYTES_MIN));
    builder
}

/// Serves the requests of one connection, one after the other. Once `stopping` changes, the request that is being
/// served is the last.
pub(crate) async fn serve<I, S, F, B>(
    builder: http1::Builder,
    io: I,
    peer: Peer,
    service: S,
    mut stopping: watch::Receiver<()>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, Peer) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(|request| {
        let response = service(request, peer);
        async { Ok::<_, Infallible>(response.await) }
    });
    let served = builder
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut served = pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        _ = stopping.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %peer.address, %error, "an http connection ended early");
    }
}

#[cfg(test)]
mod tests;
