//! What a socket is to write: frames in one buffer, so that all that waits goes out at once.

use std::{
    io, mem,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use headwater_core::packet::{Arrivals, Run};
use headwater_proto::{
    pw_rpc::{RpcPacket, StreamId, StreamLayout},
    websocket::{
        Decoder, Incoming, MessageKind, Opcode, append_header, append_masked_header, begin_message,
        encode_close, encode_ping, encode_pong, finish_message, mask, mask_frame,
    },
};
use rand::Rng as _;

use super::Over;
use crate::ReadError;

/// What a busy line keeps for its next messages, which are as many as one pull of a call brings; an idle one keeps
/// nothing.
const KEPT_BYTES: usize = 512 << 10;
/// The most that a frame has beside its payload: two bytes, eight of length, four of a mask.
const FRAME_BYTES_MAX: usize = 14;
/// The longest message that is copied when it has come in pieces, so that it comes together with its neighbours.
const COPIED_BYTES_MAX: usize = 4095;

/// Which end of a socket writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It masks what it writes (RFC 6455, section 5.1).
    Client,
    Server,
}

impl End {
    const fn peer(self) -> &'static str {
        match self {
            Self::Client => "server",
            Self::Server => "client",
        }
    }
}

/// What stands before a message: the header of its frame, which ends with the key, and the beginning of its packet.
#[derive(Default)]
struct Head {
    /// Of the message that it is for.
    message_bytes: Option<usize>,
    bytes: Vec<u8>,
    /// Of the frame's header.
    frame_bytes: usize,
}

impl Head {
    /// The key is 0.
    fn new(end: End, layout: &StreamLayout, message_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(FRAME_BYTES_MAX + StreamLayout::OVERHEAD_BYTES_MAX);
        let packet_bytes = layout.packet_len(message_bytes);
        match end {
            End::Client => append_masked_header(Opcode::Binary, packet_bytes, [0; 4], &mut bytes),
            End::Server => append_header(Opcode::Binary, packet_bytes, &mut bytes),
        }
        let frame_bytes = bytes.len();
        layout.append_before(message_bytes, &mut bytes);
        Self {
            message_bytes: Some(message_bytes),
            bytes,
            frame_bytes,
        }
    }
}

/// Frames that the system has not taken.
#[derive(Debug)]
pub(crate) struct Outgoing {
    end: End,
    bytes: Vec<u8>,
    /// How much of them it has taken.
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

impl Outgoing {
    pub(crate) const fn new(end: End) -> Self {
        Self {
            end,
            bytes: Vec::new(),
            written: 0,
            is_blocked: false,
            unblocked: 0,
            ping: None,
            is_closing: false,
        }
    }

    /// See [`super::Line::push`].
    pub(crate) fn push(&mut self, packet: &RpcPacket) -> usize {
        self.frame(|out| {
            let message = begin_message(out);
            packet.append(out);
            finish_message(MessageKind::Binary, message, out);
        })
    }

    /// See [`super::Line::push_run`].
    pub(crate) fn push_run(&mut self, id: &StreamId, run: &Run) -> usize {
        let layout = id.layout();
        let start = self.bytes.len();
        let overhead = run.credit().messages * (FRAME_BYTES_MAX + StreamLayout::OVERHEAD_BYTES_MAX);
        self.bytes.reserve(run.credit().bytes + overhead);
        // Messages of one length have the same bytes before them, but for the key.
        let mut head = Head::default();
        let mut keys = (self.end == End::Client).then(rand::rng);
        for message in run.messages() {
            if head.message_bytes != Some(message.len()) {
                head = Head::new(self.end, &layout, message.len());
            }
            let frame = self.bytes.len();
            self.bytes.extend_from_slice(&head.bytes);
            layout.append_after(message, &mut self.bytes);
            if let Some(keys) = &mut keys {
                let key = keys.next_u32().to_ne_bytes();
                let (header, payload) = self.bytes[frame..].split_at_mut(head.frame_bytes);
                if let Some(place) = header.last_chunk_mut() {
                    *place = key;
                }
                mask(payload, key);
            }
        }
        self.bytes.len() - start
    }

    /// See [`super::Line::push_ping`].
    pub(crate) fn push_ping(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        self.frame(|out| encode_ping(&[], out));
    }

    /// See [`super::Line::push_close`].
    pub(crate) fn push_close(&mut self, code: u16, reason: &str) {
        if !mem::replace(&mut self.is_closing, true) {
            self.frame(|out| encode_close(code, reason, out));
        }
    }

    /// Appends one frame, and says how many bytes it has.
    fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if self.end == End::Client {
            // A key that nobody can foresee (RFC 6455, section 10.3).
            let key = rand::rng().next_u32().to_ne_bytes();
            mask_frame(start, key, &mut self.bytes);
        }
        self.bytes.len() - start
    }

    /// Takes all packets that a decoder has and that came now, and answers the rest; `None` if there is nothing. An error
    /// means that nothing more comes.
    pub(crate) fn take_all(
        &mut self,
        decoder: &mut Decoder,
        bytes: &mut [u8],
        arrivals: &mut Arrivals,
    ) -> Option<Result<(), Over>> {
        decoder.push_short(bytes, |packet| arrivals.push(packet));
        let mut is_any = false;
        loop {
            let taken = match decoder.poll_short(|packet| arrivals.push(packet)) {
                Ok(Some(incoming)) => self.sort(incoming, arrivals),
                Ok(None) => return (is_any || !arrivals.is_empty()).then_some(Ok(())),
                Err(violation) => Err(Over::with_code(violation.close_code, violation.reason)),
            };
            if taken.is_err() {
                return Some(taken);
            }
            is_any = true;
        }
    }

    /// What a read means for the session.
    pub(crate) fn end_of(
        &self,
        read: Poll<Result<Result<(), Over>, ReadError>>,
    ) -> Poll<Result<(), Over>> {
        Poll::Ready(match ready!(read) {
            Ok(taken) => taken,
            Err(ReadError::Ended) => Err(Over::gone(format!("the {} has gone", self.end.peer()))),
            Err(ReadError::Violation(it)) => Err(Over::with_code(it.close_code, it.reason)),
            Err(ReadError::Io(error)) => Err(Over::gone(format!("the connection broke: {error}"))),
        })
    }

    fn sort(&mut self, incoming: Incoming, arrivals: &mut Arrivals) -> Result<(), Over> {
        match incoming {
            Incoming::Message {
                kind: MessageKind::Binary,
                data,
            } if data.len() <= COPIED_BYTES_MAX => arrivals.push(&data),
            Incoming::Message {
                kind: MessageKind::Binary,
                data,
            } => arrivals.push_whole(data),
            Incoming::Message {
                kind: MessageKind::Text,
                ..
            } => return Err(Over::with_code(1003, "a packet is a binary message")),
            // Only the last one needs an answer (RFC 6455, section 5.5.3), which bounds what a flood of them costs.
            Incoming::Ping(payload) => self.ping = Some(payload),
            Incoming::Pong(_) => {}
            Incoming::Close { code, reason } => {
                self.push_close(code.unwrap_or(1000), "");
                let over = Over::gone(left(self.end, code, &reason));
                let in_peace = self.end == End::Client && code == Some(1001);
                return Err(Over { in_peace, ..over });
            }
        }
        Ok(())
    }

    /// Whether a close frame was pushed.
    pub(crate) const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// How often the system took something after it had taken nothing for a while.
    pub(crate) const fn unblocked(&self) -> u64 {
        self.unblocked
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.ping.is_none()
    }

    /// Has `write` take all of it.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        loop {
            // Not between a frame and its rest, and not while what waits is not taken: pings may come faster than that.
            if self.written == 0
                && let Some(payload) = self.ping.take().filter(|_| !self.is_closing)
            {
                self.frame(|out| encode_pong(&payload, out));
            }
            while self.written < self.bytes.len() {
                let written = write(cx, &self.bytes[self.written..])?;
                let was_blocked = mem::replace(&mut self.is_blocked, written.is_pending());
                let written = ready!(written);
                self.unblocked += u64::from(was_blocked);
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += written;
            }
            self.written = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            // One may have come while a frame was half written.
            if self.ping.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

fn left(end: End, code: Option<u16>, reason: &str) -> String {
    let peer = end.peer();
    match code {
        Some(code) if reason.is_empty() => format!("the {peer} closed the socket ({code})"),
        Some(code) => format!("the {peer} closed the socket ({code}: {reason})"),
        None => format!("the {peer} closed the socket"),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_ping_that_comes_in_the_middle_of_a_write_is_answered_by_the_same() {
        let mut outgoing = Outgoing::new(End::Server);
        outgoing.push_ping();
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        let mut write = |_: &mut Context<'_>, bytes: &[u8]| {
            if bytes.len() < 2 {
                return Poll::Pending;
            }
            taken.extend_from_slice(&bytes[..1]);
            Poll::Ready(Ok(1))
        };
        assert!(outgoing.poll_write(&mut cx, &mut write).is_pending());
        outgoing.ping = Some(Bytes::from_static(b"p"));
        let mut write = |_: &mut Context<'_>, bytes: &[u8]| {
            taken.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        };
        let written = outgoing.poll_write(&mut cx, &mut write);
        assert!(matches!(written, Poll::Ready(Ok(()))));
        assert!(outgoing.is_empty(), "nothing waits for another event");
        assert_eq!(taken, b"\x89\x00\x8a\x01p", "the ping, and then the pong");
    }
}
