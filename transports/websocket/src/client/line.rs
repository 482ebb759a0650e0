//! The dialling end of a WebSocket, as a session's line.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use headwater_core::packet::{Arrivals, Run};
use headwater_proto::{
    pw_rpc::{RpcPacket, StreamId},
    websocket::{Decoder, DecoderConfig},
};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::socket::Stream;
use crate::{
    reader::{poll_rest, poll_until},
    session::{End, Line, Outgoing, Over},
};

/// A socket whose handshake tokio-tungstenite has done. The frames are read and written by this crate's own codec, for
/// which many messages lie in one buffer; tungstenite takes and gives each in one of its own.
pub(super) struct DialledLine {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    /// Reads that found something.
    reads: u64,
    out: Outgoing,
    /// Something was written that the stream itself may still hold.
    is_held: bool,
}

impl DialledLine {
    /// A line of what is left after the handshake: the stream, and what of it was read already.
    pub(super) fn new(stream: Box<dyn Stream>, came: &[u8], message_bytes_max: usize) -> Self {
        let mut decoder = Decoder::of_server(DecoderConfig { message_bytes_max });
        decoder.push(came);
        Self {
            stream,
            decoder,
            reads: 0,
            out: Outgoing::new(End::Client),
            is_held: false,
        }
    }
}

impl Line for DialledLine {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        arrivals: &mut Arrivals,
    ) -> Poll<Result<(), Over>> {
        let Self {
            stream,
            decoder,
            reads,
            out,
            ..
        } = self;
        let read = |buffer: &mut ReadBuf<'_>| Pin::new(&mut *stream).poll_read(cx, buffer);
        let taken = poll_until(decoder, reads, read, |decoder, bytes| {
            out.take_all(decoder, bytes, arrivals)
        });
        out.end_of(taken)
    }

    fn signs(&self) -> u64 {
        self.reads + self.out.unblocked()
    }

    fn push(&mut self, packet: &RpcPacket) -> usize {
        self.out.push(packet)
    }

    fn push_run(&mut self, id: &StreamId, run: Run) -> usize {
        self.out.push_run(id, &run)
    }

    fn push_ping(&mut self) {
        self.out.push_ping();
    }

    fn push_close(&mut self, code: u16, reason: &str) {
        self.out.push_close(code, reason);
    }

    fn is_flushed(&self) -> bool {
        self.out.is_empty() && !self.is_held
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, out, .. } = self;
        self.is_held |= !out.is_empty();
        ready!(out.poll_write(cx, |cx, bytes| Pin::new(&mut *stream).poll_write(cx, bytes)))?;
        if mem::take(&mut self.is_held) {
            let flushed = Pin::new(&mut self.stream).poll_flush(cx)?;
            self.is_held = flushed.is_pending();
            return flushed.map(Ok);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll_rest(|buffer| Pin::new(&mut self.stream).poll_read(cx, buffer))
    }
}
