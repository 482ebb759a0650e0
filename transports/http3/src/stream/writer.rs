//! The sending half.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use headwater_rpc::Payload;
use quinn::{StoppedError, VarInt, WriteError};

use crate::{
    codes,
    frames::{DATA, HEAD_BYTES_MAX, write_head},
};

/// What is to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    chunks: Vec<Bytes>,
    /// Chunks before this one are written.
    next: usize,
}

impl Chunks {
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
    }

    fn rest(&mut self) -> &mut [Bytes] {
        &mut self.chunks[self.next..]
    }

    fn clear(&mut self) {
        self.chunks.clear();
        self.next = 0;
    }
}

/// Why nothing more can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The peer wants no more, and says why.
    ByPeer(VarInt),
    /// The connection is gone.
    Lost,
}

type Ended = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

/// Sends on a stream.
pub(crate) struct Writer {
    stream: quinn::SendStream,
    chunks: Chunks,
    /// How many bytes QUIC has taken.
    written: u64,
    /// Tells that the peer has all, or wants no more.
    ended: Option<Ended>,
    /// It was finished or reset.
    closed: bool,
}

impl Writer {
    pub(crate) const fn new(stream: quinn::SendStream) -> Self {
        Self {
            stream,
            chunks: Chunks {
                chunks: Vec::new(),
                next: 0,
            },
            written: 0,
            ended: None,
            closed: false,
        }
    }

    /// Has this frame written next.
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.chunks.push(frame);
    }

    /// Has these messages written next, as one DATA frame.
    pub(crate) fn push_payload(&mut self, mut payload: Payload) {
        if payload.is_empty() {
            return;
        }
        let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
        write_head(DATA, payload.remaining(), &mut head);
        self.chunks.push(head.into());
        while let Some(chunk) = payload.pop() {
            self.chunks.push(chunk);
        }
    }

    /// Writes what is to be written, as far as there is room; ready when it is all with QUIC.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        loop {
            let rest = self.chunks.rest();
            if rest.is_empty() {
                self.chunks.clear();
                return Poll::Ready(Ok(()));
            }
            let written = ready!(pin!(self.stream.write_chunks(rest)).poll(cx));
            match written {
                Ok(written) => {
                    self.chunks.next += written.chunks;
                    self.written += written.bytes as u64;
                }
                Err(WriteError::Stopped(code)) => return Poll::Ready(Err(Stopped::ByPeer(code))),
                // Nobody else finishes or resets it, and there is no 0-RTT.
                Err(
                    WriteError::ConnectionLost(_)
                    | WriteError::ClosedStream
                    | WriteError::ZeroRttRejected,
                ) => return Poll::Ready(Err(Stopped::Lost)),
            }
        }
    }

    /// How many bytes there was room for so far.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.closed = true;
        // It fails only if it was said before, or the stream was reset.
        let _ = self.stream.finish();
    }

    /// Breaks the stream off. Nothing happens if the peer has all of it.
    pub(crate) fn reset(&mut self, code: VarInt) {
        self.closed = true;
        let _ = self.stream.reset(code);
    }

    /// Ready when the peer wants no more; after [`Writer::finish`] also, with success, when it has all.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let stream = &self.stream;
        let ended = self.ended.get_or_insert_with(|| Box::pin(stream.stopped()));
        Poll::Ready(match ready!(ended.as_mut().poll(cx)) {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(Stopped::ByPeer(code)),
            Err(_) => Err(Stopped::Lost),
        })
    }
}

/// Dropped before its end, a stream of quinn's ends as if all had been said.
impl Drop for Writer {
    fn drop(&mut self) {
        if !self.closed {
            self.reset(codes::REQUEST_CANCELLED);
        }
    }
}
