//! What a connection stands on.

use std::{
    io,
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

/// The most that a read of the handshake takes.
const READ_BYTES: usize = 4096;

/// A stream during the handshake. Whoever reads the answer gets no byte behind the empty line that ends it: a server may
/// send its first frames together with it, and they are not for the handshake.
pub(super) struct HandshakeStream {
    stream: Box<dyn Stream>,
    /// What was read and not handed out.
    rest: Vec<u8>,
    line: Line,
}

/// How much of an empty line was seen. The end of a line is `\r\n`, or `\n` alone (RFC 9112, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Filled,
    Begun,
    Return,
}

impl HandshakeStream {
    pub(super) const fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            line: Line::Begun,
        }
    }

    /// The stream after the handshake, and what of it was read already.
    pub(super) fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.rest)
    }

    /// Hands out what is there, as far as the next empty line.
    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) {
        let mut count = 0;
        for byte in self.rest.iter().take(buffer.remaining()) {
            count += 1;
            match (self.line, byte) {
                (Line::Begun | Line::Return, b'\n') => break,
                (Line::Filled, b'\n') => self.line = Line::Begun,
                (Line::Begun, b'\r') => self.line = Line::Return,
                (Line::Filled | Line::Begun | Line::Return, _) => self.line = Line::Filled,
            }
        }
        buffer.put_slice(&self.rest[..count]);
        self.rest.drain(..count);
    }
}

impl AsyncRead for HandshakeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            this.rest.extend_from_slice(read.filled());
        }
        this.hand_out(buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HandshakeStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
    async fn the_handshake_gets_no_frame() {
        for (answer, chunk) in [
            ("HTTP/1.1 101 x\r\na: b\r\n\r\n", 1000),
            ("HTTP/1.1 101 x\na: b\n\n", 1),
        ] {
            let (mut there, here) = tokio::io::duplex(chunk);
            let said = [answer.as_bytes(), b"\x82\x04\r\n\r\n"].concat();
            let says = async { there.write_all(&said).await.map(|()| there) };
            let reads = async {
                let mut stream = HandshakeStream::new(Box::new(here));
                let mut read = Vec::new();
                while read.len() < answer.len() {
                    let count = stream.read_buf(&mut read).await.expect("it is there");
                    assert!(count > 0, "more comes");
                }
                assert_eq!(read, answer.as_bytes(), "and nothing else");
                let (mut stream, mut rest) = stream.into_parts();
                while rest.len() < 6 {
                    stream.read_buf(&mut rest).await.expect("it is there");
                }
                assert_eq!(rest, b"\x82\x04\r\n\r\n", "nothing is lost");
            };
            let (said, ()) = tokio::join!(says, reads);
            assert!(said.is_ok());
        }
    }
}
