//! HTTP/2 frames by hand (RFC 9113, 4.1), for what the `h2` crate rightly does not send.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY frame.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload[at..at + 4].try_into();
        u32::from_be_bytes(bytes.expect("four bytes"))
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn reset(stream: u32, error: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &error.to_be_bytes())
}

pub(crate) fn go_away(last_stream: u32, error: u32) -> Vec<u8> {
    let payload = [last_stream.to_be_bytes(), error.to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// A header as a literal without indexing (RFC 7541, 6.2.2).
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let length = u8::try_from(text.len()).expect("a short text");
        assert!(length < 127, "longer ones take more bytes of length");
        bytes.push(length);
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Headers of about this size together.
pub(crate) fn ballast(bytes: usize) -> Vec<u8> {
    literal("ballast", &"b".repeat(100)).repeat(bytes / 110)
}

/// A header block that may be larger than one frame takes.
pub(crate) fn block(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    let mut chunks: Vec<_> = block.chunks(16_000).collect();
    let first = chunks.remove(0);
    let Some(last) = chunks.pop() else {
        return frame(HEADERS, flags | END_HEADERS, stream, first);
    };
    let mut bytes = frame(HEADERS, flags, stream, first);
    for chunk in chunks {
        bytes.extend(frame(CONTINUATION, 0, stream, chunk));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, stream, last));
    bytes
}

/// The header block of a gRPC request.
pub(crate) fn request(path: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.map(|(name, value)| literal(name, value)).concat()
}

/// The header block of a gRPC response.
pub(crate) fn response() -> Vec<u8> {
    let status = literal(":status", "200");
    [status, literal("content-type", "application/grpc")].concat()
}

/// A connection on which frames are written by hand.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// The client's end of a new connection.
    pub(crate) async fn client(addr: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let mut raw = Self(stream);
        raw.write(PREFACE).await.expect("it is open");
        raw.write(&frame(SETTINGS, 0, 0, &[]))
            .await
            .expect("it is open");
        raw
    }

    /// The server's end, after the preface and the headers of the first request, whose stream is 1.
    pub(crate) async fn server(stream: TcpStream) -> io::Result<Self> {
        let mut raw = Self(stream);
        raw.0.read_exact(&mut [0; PREFACE.len()]).await?;
        raw.write(&frame(SETTINGS, 0, 0, &[])).await?;
        raw.write(&frame(SETTINGS, ACK, 0, &[])).await?;
        while raw.read().await?.kind != HEADERS {}
        Ok(raw)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// The next frame; a PING is answered, for keep-alive ends a connection that does not.
    pub(crate) async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await?;
        if kind == PING && flags & ACK == 0 {
            self.write(&frame(PING, ACK, 0, &payload)).await?;
        }
        Ok(Frame {
            kind,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// The next frame of this kind.
    pub(crate) async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.read().await;
            let frame = frame.unwrap_or_else(|error| panic!("no frame of kind {kind}: {error}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Writes the same again and again until the peer has hung up, and says how many bytes that took.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while self.write(bytes).await.is_ok() {
            sent += bytes.len();
        }
        sent
    }
}
