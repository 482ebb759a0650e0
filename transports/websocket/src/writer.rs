//! The writing half of a WebSocket.

use std::{
    io::{self, ErrorKind, IoSlice},
    net::{Shutdown, SocketAddr},
};

use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

/// Writes encoded frames to the client, from any thread.
///
/// Whoever writes must see to it that one frame is whole before the next begins: one writer at a time, and what
/// [`Writer::try_write`] did not take comes first the next time. Dropping the writer ends the writing direction.
#[derive(Debug)]
pub struct Writer {
    tcp: OwnedWriteHalf,
}

impl Writer {
    pub(crate) const fn new(tcp: OwnedWriteHalf) -> Self {
        Self { tcp }
    }

    /// Writes as much as the kernel takes now, with one system call; how many bytes that was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] if the kernel takes none: wait for [`Writer::writable`]. Any other: the connection
    /// is broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.try_write(bytes)
    }

    /// [`Writer::try_write`] for several buffers at once, in their order, with one system call. The kernel takes at
    /// most 1024 of them.
    ///
    /// # Errors
    ///
    /// See [`Writer::try_write`].
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.tcp.try_write_vectored(slices)
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
        self.tcp.writable().await
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
        self.tcp.local_addr()
    }

    /// Says that nothing more will be written (a TCP FIN after what was written). The other direction stays open.
    /// Without effect if the connection is over.
    pub fn finish(&self) {
        self.end(Shutdown::Write);
    }

    /// Ends both directions: the [`Reader`](crate::Reader) sees the end, wherever it waits. Without effect if the
    /// connection is over.
    pub fn shutdown(&self) {
        self.end(Shutdown::Both);
    }

    fn end(&self, directions: Shutdown) {
        // Fails only for a connection that is over.
        let _ = SockRef::from(self.tcp.as_ref()).shutdown(directions);
    }
}
