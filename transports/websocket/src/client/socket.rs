//! What a connection stands on.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use headwater_rpc::channel::Address;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Any stream of bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to one address, without TLS.
pub(super) async fn dial(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Socket(address) => {
            let stream = TcpStream::connect(address).await?;
            // Small frames would wait for acknowledgements without it; a socket that refuses works all the same.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Address::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{other} is no address of a socket"),
        )),
    }
}

/// A stream that counts its peer's signs of life.
pub(super) struct Socket {
    stream: Box<dyn Stream>,
    signs: u64,
    /// Nothing is taken for now.
    is_blocked: bool,
}

impl Socket {
    pub(super) const fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            signs: 0,
            is_blocked: false,
        }
    }

    /// How often something was read, or taken after nothing was taken for a while.
    pub(super) const fn signs(&self) -> u64 {
        self.signs
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.signs += 1;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        let was_blocked = mem::replace(&mut self.is_blocked, written.is_pending());
        self.signs += u64::from(was_blocked && written.is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_taken_late_is_a_sign_of_life() {
        let (mut there, here) = tokio::io::duplex(10);
        let mut socket = Socket::new(Box::new(here));
        socket.write_all(&[0; 10]).await.expect("there is room");
        assert_eq!(socket.signs(), 0, "it was only put into a buffer");
        let write = socket.write_all(&[0; 5]);
        let read = async { there.read_exact(&mut [0; 10]).await };
        let (written, read) = tokio::join!(write, read);
        assert!(written.is_ok() && read.is_ok());
        assert_eq!(socket.signs(), 1, "somebody has made room");
        there.write_all(b"x").await.expect("there is room");
        socket.read_u8().await.expect("it is there");
        assert_eq!(socket.signs(), 2, "somebody has said something");
    }
}
