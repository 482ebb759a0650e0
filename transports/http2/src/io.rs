//! An accepted connection's bytes, above TLS: how long its client may say nothing at first, and what it may say too often.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::{
    read_ahead::ReadAhead,
    server::{
        connection::Connection,
        enforcement::Enforcement,
        frames::{DATA, HEADERS, Head, PREFACE_BYTES, Scanner, calm_down},
    },
};

/// The bytes of a connection, whatever carries them.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection that fails if its client dawdles at first or does too much beside its calls; in the second case the
/// client is told why.
pub(crate) struct WatchedIo {
    io: Box<dyn Io>,
    ahead: ReadAhead,
    connection: Arc<Connection>,
    /// Until when the client has to begin; `None` once it has.
    preface: Option<Pin<Box<Sleep>>>,
    received: Scanner,
    sent: Scanner,
    enforcement: Enforcement,
    last_stream: u32,
    parting: Option<Parting>,
}

/// The last frame of a connection, as far as it was not written.
struct Parting {
    frame: Vec<u8>,
    written: usize,
    why: &'static str,
}

impl WatchedIo {
    pub(crate) fn new(
        io: Box<dyn Io>,
        connection: Arc<Connection>,
        preface_timeout: Duration,
        enforcement: Enforcement,
    ) -> Self {
        Self {
            io,
            ahead: ReadAhead::default(),
            connection,
            preface: Some(Box::pin(tokio::time::sleep(preface_timeout))),
            received: Scanner::after(PREFACE_BYTES),
            sent: Scanner::after(0),
            enforcement,
            last_stream: 0,
            parting: None,
        }
    }

    fn on_received(&mut self, bytes: &[u8]) {
        let mut too_much = None;
        let Self {
            connection,
            enforcement,
            last_stream,
            preface,
            ..
        } = self;
        self.received.scan(bytes, |head| {
            // With its first frame, keep-alive takes over.
            if preface.take().is_some() {
                connection.set_spoken();
            }
            if head.kind == HEADERS {
                *last_stream = head.stream.max(*last_stream);
            }
            let has_calls = connection.streams() > 0;
            too_much = too_much.or_else(|| enforcement.on_received(head, has_calls));
        });
        if let Some(why) = too_much {
            self.parting = Some(Parting {
                frame: calm_down(self.last_stream, why),
                written: 0,
                why,
            });
        }
    }

    fn on_sent(&mut self, bytes: &[u8]) {
        let enforcement = &mut self.enforcement;
        self.sent.scan(bytes, |Head { kind, .. }| {
            if matches!(kind, HEADERS | DATA) {
                enforcement.on_sent();
            }
        });
    }

    /// Says the last frame as soon as the one before it is whole; then the connection fails.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(parting) = &mut self.parting else {
            return Poll::Pending;
        };
        if self.sent.missing() > 0 {
            // HTTP/2 has more to write, and comes by here when it can.
            return Poll::Pending;
        }
        while parting.written < parting.frame.len() {
            let rest = &parting.frame[parting.written..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                Ok(written) => parting.written += written,
                Err(error) => return Poll::Ready(error),
            }
        }
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        let said = io::Error::new(io::ErrorKind::ConnectionAborted, parting.why);
        Poll::Ready(flushed.err().unwrap_or(said))
    }

    /// Writes no further than to the end of the frame that has begun.
    fn poll_write_rest(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let missing = self.sent.missing();
        if missing == 0 {
            return self.poll_part(cx).map(Err);
        }
        let rest = &buf[..missing.min(buf.len())];
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
        self.on_sent(&rest[..written]);
        Poll::Ready(Ok(written))
    }
}

impl Drop for WatchedIo {
    fn drop(&mut self) {
        self.connection.set_lost();
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.parting.is_some() {
            return this.poll_part(cx).map(Err);
        }
        let before = buf.filled().len();
        if let Poll::Ready(result) = this.ahead.poll_read(&mut this.io, cx, buf) {
            this.connection.note_heard();
            this.on_received(&buf.filled()[before..]);
            if result.is_err() || buf.filled().len() == before && buf.remaining() > 0 {
                // Before the streams hear of it.
                this.connection.set_lost();
            }
            if this.parting.is_some() {
                buf.set_filled(before);
                return this.poll_part(cx).map(Err);
            }
            return Poll::Ready(result);
        }
        if let Some(timeout) = &mut this.preface {
            ready!(timeout.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.parting.is_some() {
            return self.poll_write_rest(cx, buf);
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.on_sent(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.parting.is_some() {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write_rest(cx, first.map_or(&[], |buf| buf));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        let mut rest = written;
        for buf in bufs {
            let part = rest.min(buf.len());
            self.on_sent(&buf[..part]);
            rest -= part;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
