//! The reading half of a WebSocket.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use headwater_proto::websocket::{Decoder, Incoming, Violation};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::OwnedReadHalf,
    sync::OwnedSemaphorePermit,
};

use crate::tls::TlsHalves;

/// The most that one read takes, and so the most that one turn can bring.
const TURN_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// What every read of this thread reads into: a connection that waits holds no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; TURN_BYTES_MAX].into_boxed_slice());
}

/// Reads what the client sends.
#[derive(Debug)]
pub struct Reader {
    half: ReadHalf,
    decoder: Decoder,
    /// Reads that found something.
    reads: u64,
    _place: OwnedSemaphorePermit,
}

/// The reading half of what the bytes go over.
#[derive(Debug)]
pub(crate) enum ReadHalf {
    Tcp(OwnedReadHalf),
    Tls(Arc<TlsHalves>),
}

impl ReadHalf {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => tls.poll_read(context, buffer),
        }
    }
}

/// Why there is nothing more to read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The client closed the TCP connection. Without a close frame before, that is close code 1006.
    #[error("the client has gone")]
    Ended,
    /// The client broke the WebSocket protocol: tell it with a close frame.
    #[error("the client broke the protocol: {0}")]
    Violation(Violation),
    /// The TCP connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

impl Reader {
    pub(crate) const fn new(half: ReadHalf, decoder: Decoder, place: OwnedSemaphorePermit) -> Self {
        Self {
            half,
            decoder,
            reads: 0,
            _place: place,
        }
    }

    /// Waits until the client has said something, and appends everything that one read found to `turn`: at least one
    /// thing, at most 64 KiB of frames (or one longer message that ends here). While it waits, nothing is held but a
    /// partial message.
    ///
    /// What a payload keeps alive while it is kept: see [`Decoder`]. After [`Incoming::Close`] this is of no more use:
    /// see [`Reader::drain`].
    ///
    /// # Errors
    ///
    /// [`ReadError`] when nothing more will come; what came before it has been appended by earlier calls.
    ///
    /// # Cancel safety
    ///
    /// Safe: no byte is lost.
    pub async fn read_turn(&mut self, turn: &mut Vec<Incoming>) -> Result<(), ReadError> {
        poll_fn(|context| self.poll_turn(context, turn)).await
    }

    /// See [`Reader::read_turn`].
    ///
    /// # Errors
    ///
    /// See [`Reader::read_turn`].
    pub fn poll_turn(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Vec<Incoming>,
    ) -> Poll<Result<(), ReadError>> {
        let before = turn.len();
        // First what came with the handshake, and the violation that ended the turn before.
        let decoded = self.poll_until(context, |decoder, bytes| {
            decoder.push(bytes);
            let decoded = decode(decoder, turn);
            match turn.len() > before {
                true => Some(Ok(())),
                false => decoded.err().map(Err),
            }
        });
        Poll::Ready(ready!(decoded)?.map_err(ReadError::Violation))
    }

    /// [`poll_until`] of this half.
    pub(crate) fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        decode: impl FnMut(&mut Decoder, &mut [u8]) -> Option<T>,
    ) -> Poll<Result<T, ReadError>> {
        let Self {
            half,
            decoder,
            reads,
            ..
        } = self;
        let read = |buffer: &mut ReadBuf<'_>| half.poll_read(context, buffer);
        poll_until(decoder, reads, read, decode)
    }

    /// Reads and drops what still comes, until the client closes the TCP connection or it breaks.
    ///
    /// For the end, after the close frame and [`Writer::finish`](crate::Writer::finish): a socket that is closed with
    /// unread bytes resets the connection, and then the client may never see why it was closed. The client decides how
    /// long this takes, so bound it.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn drain(&mut self) {
        poll_fn(|context| self.poll_drain(context)).await;
    }

    /// How many reads found something: changes also while a long message comes in.
    pub(crate) const fn reads(&self) -> u64 {
        self.reads
    }

    pub(crate) fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        poll_rest(|buffer| self.half.poll_read(context, buffer))
    }
}

fn decode(decoder: &mut Decoder, turn: &mut Vec<Incoming>) -> Result<(), Violation> {
    while let Some(incoming) = decoder.poll()? {
        turn.push(incoming);
    }
    Ok(())
}

/// Reads until `decode` finds something in what came, beginning with what came before. `reads` counts what did.
pub(crate) fn poll_until<T>(
    decoder: &mut Decoder,
    reads: &mut u64,
    mut read: impl FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    mut decode: impl FnMut(&mut Decoder, &mut [u8]) -> Option<T>,
) -> Poll<Result<T, ReadError>> {
    if let Some(found) = decode(decoder, &mut []) {
        return Poll::Ready(Ok(found));
    }
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            let mut buffer = ReadBuf::new(scratch);
            ready!(read(&mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(ReadError::Ended));
            }
            *reads += 1;
            if let Some(found) = decode(decoder, buffer.filled_mut()) {
                return Poll::Ready(Ok(found));
            }
        }
    })
}

/// Reads and drops what still comes, until the end.
pub(crate) fn poll_rest(
    mut read: impl FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
) -> Poll<()> {
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            let mut buffer = ReadBuf::new(scratch);
            let read = ready!(read(&mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    })
}
