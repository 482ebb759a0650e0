//! A server's handshake on a connection whose bytes come in order.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{TlsServer, rustls::server::Acceptor};

/// Places for handshakes.
pub(super) fn places(handshakes_max: usize) -> Semaphore {
    Semaphore::new(handshakes_max.clamp(1, Semaphore::MAX_PERMITS))
}

impl TlsServer {
    /// The handshake on a connection that was accepted just now, within
    /// [`ServerTlsConfig::handshake_timeout`](super::ServerTlsConfig::handshake_timeout). It takes one of
    /// [`ServerTlsConfig::handshakes_max`](super::ServerTlsConfig::handshakes_max) places once the client's first message
    /// is there, whole: those who connect and say nothing, or half of it, keep nobody out.
    ///
    /// # Errors
    ///
    /// The handshake fails, or takes too long ([`io::ErrorKind::TimedOut`]).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the connection.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let bound = self.config().handshake_timeout;
        let accepted = Instant::now();
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let hello = timeout(bound, hello).await??;
        let left = bound.saturating_sub(accepted.elapsed());
        // The semaphore is never closed.
        let _place = timeout(bound, self.handshakes.acquire()).await?;
        let rest = hello.into_stream(self.current().await);
        timeout(left, rest).await?
    }
}
