//! What carries a connection: the stream, with TLS or without, and its place among the connections that the listener allows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::server::TlsStream;

/// An accepted stream, from the first byte of HTTP to the last of the WebSocket.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: WireStream,
    /// Given back when the connection is over.
    pub(crate) place: OwnedSemaphorePermit,
}

/// What the bytes go over.
#[derive(Debug)]
pub(crate) enum WireStream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            WireStream::Tcp(tcp) => Pin::new(tcp).poll_read(context, buffer),
            WireStream::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            WireStream::Tcp(tcp) => Pin::new(tcp).poll_write(context, bytes),
            WireStream::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            WireStream::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            WireStream::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            WireStream::Tcp(tcp) => tcp.is_write_vectored(),
            WireStream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            WireStream::Tcp(tcp) => Pin::new(tcp).poll_flush(context),
            WireStream::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            WireStream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(context),
            WireStream::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
