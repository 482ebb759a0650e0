//! The accepting end of a WebSocket, as a session's line.

use std::{
    io, mem,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use headwater_proto::pw_rpc::RpcPacket;
use headwater_proto::websocket::{
    Incoming, MessageKind, begin_message, encode_close, encode_ping, encode_pong, finish_message,
};

use crate::{
    ReadError, Reader, Socket, Writer,
    session::{Line, Over},
};

/// What a busy line keeps for its next messages, which are as many as one pull of a call brings; an idle one keeps
/// nothing.
const KEPT_BYTES: usize = 512 << 10;

/// A socket of this crate's listener.
pub(super) struct AcceptedLine {
    reader: Reader,
    writer: Writer,
    turn: Vec<Incoming>,
    /// Frames that the system has not taken.
    out: Vec<u8>,
    /// How much of `out` it has taken.
    written: usize,
    /// The system takes nothing for now.
    is_blocked: bool,
    /// How often it took something again.
    unblocked: u64,
    /// What the last ping that was not answered brought.
    ping: Option<Bytes>,
    /// A close frame was pushed.
    is_closing: bool,
}

impl AcceptedLine {
    pub(super) fn new(socket: Socket) -> Self {
        let Socket { reader, writer } = socket;
        Self {
            reader,
            writer,
            turn: Vec::new(),
            out: Vec::new(),
            written: 0,
            is_blocked: false,
            unblocked: 0,
            ping: None,
            is_closing: false,
        }
    }

    /// Takes the messages out of a turn, and answers the rest.
    fn sort(&mut self, messages: &mut Vec<Bytes>) -> Result<(), Over> {
        let mut turn = mem::take(&mut self.turn);
        let mut over = Ok(());
        for incoming in turn.drain(..) {
            match incoming {
                Incoming::Message {
                    kind: MessageKind::Binary,
                    data,
                } => messages.push(data),
                Incoming::Message {
                    kind: MessageKind::Text,
                    ..
                } => {
                    over = Err(Over::with_code(1003, "a packet is a binary message"));
                    break;
                }
                // Only the last one needs an answer (RFC 6455, section 5.5.3), which bounds what a flood of them costs.
                Incoming::Ping(payload) => self.ping = Some(payload),
                Incoming::Pong(_) => {}
                Incoming::Close { code, reason } => {
                    self.push_close(code.unwrap_or(1000), "");
                    over = Err(Over::gone(left(code, &reason)));
                }
            }
        }
        self.turn = turn;
        over
    }
}

impl Line for AcceptedLine {
    fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        messages: &mut Vec<Bytes>,
    ) -> Poll<Result<(), Over>> {
        let read = ready!(self.reader.poll_turn(cx, &mut self.turn));
        let sorted = self.sort(messages);
        Poll::Ready(sorted.and(read.map_err(|error| match error {
            ReadError::Ended => Over::gone("the client has gone"),
            ReadError::Violation(it) => Over::with_code(it.close_code, it.reason),
            ReadError::Io(error) => Over::gone(format!("the connection broke: {error}")),
        })))
    }

    fn signs(&self) -> u64 {
        self.reader.reads() + self.unblocked
    }

    fn push(&mut self, packet: &RpcPacket) -> usize {
        let before = self.out.len();
        let mark = begin_message(&mut self.out);
        packet.append(&mut self.out);
        finish_message(MessageKind::Binary, mark, &mut self.out);
        self.out.len() - before
    }

    fn push_ping(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
        encode_ping(&[], &mut self.out);
    }

    fn push_close(&mut self, code: u16, reason: &str) {
        if !mem::replace(&mut self.is_closing, true) {
            encode_close(code, reason, &mut self.out);
        }
    }

    fn is_flushed(&self) -> bool {
        self.out.is_empty() && self.ping.is_none()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Not between a frame and its rest, and not while what waits is not taken: pings may come faster than that.
        if self.written == 0
            && let Some(payload) = self.ping.take().filter(|_| !self.is_closing)
        {
            encode_pong(&payload, &mut self.out);
        }
        while self.written < self.out.len() {
            let written = self.writer.poll_write(cx, &self.out[self.written..])?;
            let was_blocked = mem::replace(&mut self.is_blocked, written.is_pending());
            let written = ready!(written);
            self.unblocked += u64::from(was_blocked);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        if self.is_closing {
            self.writer.finish();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.poll_drain(cx)
    }
}

fn left(code: Option<u16>, reason: &str) -> String {
    match code {
        Some(code) if reason.is_empty() => format!("the client closed the socket ({code})"),
        Some(code) => format!("the client closed the socket ({code}: {reason})"),
        None => "the client closed the socket".to_owned(),
    }
}
