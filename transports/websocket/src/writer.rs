//! The writing half of a WebSocket.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use socket2::SockRef;
use tokio::{io::AsyncWrite as _, net::tcp::OwnedWriteHalf};

use crate::tls::TlsHalves;

/// Writes encoded frames to the client, from any thread.
///
/// Whoever writes must see to it that one frame is whole before the next begins: one writer at a time, and what
/// [`Writer::try_write`] did not take comes first the next time. Dropping the writer ends the writing direction.
#[derive(Debug)]
pub struct Writer {
    half: WriteHalf,
}

/// The writing half of what the bytes go over.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    Tcp(OwnedWriteHalf),
    Tls(Arc<TlsHalves>),
}

impl Writer {
    pub(crate) const fn new(half: WriteHalf) -> Self {
        Self { half }
    }

    /// Writes as much as the kernel takes now, with one system call; how many bytes that was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] if the kernel takes none: wait for [`Writer::writable`]. Any other: the connection
    /// is broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.half {
            WriteHalf::Tcp(tcp) => tcp.try_write(bytes),
            WriteHalf::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// [`Writer::try_write`] for several buffers at once, in their order, with one system call. The kernel takes at
    /// most 1024 of them, and TLS one.
    ///
    /// # Errors
    ///
    /// See [`Writer::try_write`].
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.half {
            WriteHalf::Tcp(tcp) => tcp.try_write_vectored(slices),
            WriteHalf::Tls(tls) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                first.map_or(Ok(0), |slice| tls.try_write(slice))
            }
        }
    }

    /// Waits until it is worth trying to write again.
    ///
    /// # Errors
    ///
    /// If the connection is broken.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.half {
            WriteHalf::Tcp(tcp) => tcp.writable().await,
            WriteHalf::Tls(tls) => poll_fn(|cx| tls.poll_writable(cx)).await,
        }
    }

    /// [`Writer::try_write`] that waits until the kernel takes something. One task at a time may wait.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.half {
            WriteHalf::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            WriteHalf::Tls(tls) => tls.poll_write(cx, bytes),
        }
    }

    /// Writes all of it, waiting as often as it must.
    ///
    /// # Errors
    ///
    /// If the connection is broken.
    ///
    /// # Cancel safety
    ///
    /// Not safe: how much was written is lost, so the connection can only be shut down then.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.half {
            WriteHalf::Tcp(tcp) => tcp.local_addr(),
            WriteHalf::Tls(tls) => tls.local_addr(),
        }
    }

    /// The chain by which the client proved who it is, its own certificate first; empty without TLS.
    pub(crate) fn peer_certificates(&self) -> Vec<Bytes> {
        match &self.half {
            WriteHalf::Tcp(_) => Vec::new(),
            WriteHalf::Tls(tls) => tls.peer_certificates(),
        }
    }

    /// Says that nothing more will be written (a TCP FIN after what was written). The other direction stays open.
    /// Without effect if the connection is over.
    pub fn finish(&self) {
        match &self.half {
            WriteHalf::Tcp(tcp) => end(tcp, Shutdown::Write),
            WriteHalf::Tls(tls) => tls.finish(),
        }
    }

    /// Ends both directions: the [`Reader`](crate::Reader) sees the end, wherever it waits. Without effect if the
    /// connection is over.
    pub fn shutdown(&self) {
        match &self.half {
            WriteHalf::Tcp(tcp) => end(tcp, Shutdown::Both),
            WriteHalf::Tls(tls) => tls.shutdown(),
        }
    }
}

fn end(tcp: &OwnedWriteHalf, directions: Shutdown) {
    // Fails only for a connection that is over.
    let _ = SockRef::from(tcp.as_ref()).shutdown(directions);
}

/// A half of TLS does not end with its writer, as that of TCP does.
impl Drop for Writer {
    fn drop(&mut self) {
        if let WriteHalf::Tls(tls) = &self.half {
            tls.finish();
        }
    }
}
