//! The accepting end of a WebSocket, as a session's line.

use std::{
    io,
    task::{Context, Poll},
};

use headwater_core::packet::{Arrivals, Run};
use headwater_proto::pw_rpc::{RpcPacket, StreamId};

use crate::{
    Reader, Socket, Writer,
    session::{End, Line, Outgoing, Over},
};

/// A socket of this crate's listener.
pub(super) struct AcceptedLine {
    reader: Reader,
    writer: Writer,
    out: Outgoing,
}

impl AcceptedLine {
    pub(super) fn new(socket: Socket) -> Self {
        let Socket { reader, writer } = socket;
        Self {
            reader,
            writer,
            out: Outgoing::new(End::Server),
        }
    }
}

impl Line for AcceptedLine {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        arrivals: &mut Arrivals,
    ) -> Poll<Result<(), Over>> {
        let Self { reader, out, .. } = self;
        let taken = reader.poll_until(cx, |decoder, bytes| out.take_all(decoder, bytes, arrivals));
        out.end_of(taken)
    }

    fn signs(&self) -> u64 {
        self.reader.reads() + self.out.unblocked()
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
        self.out.is_empty()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { writer, out, .. } = self;
        let written = out.poll_write(cx, |cx, bytes| writer.poll_write(cx, bytes));
        if matches!(written, Poll::Ready(Ok(()))) && self.out.is_closing() {
            self.writer.finish();
        }
        written
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.poll_drain(cx)
    }
}
