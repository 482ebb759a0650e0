//! The streams of one direction (RFC 9114, 6.2).

use std::{
    mem,
    pin::pin,
    sync::PoisonError,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::FutureExt as _;
use h3::quic::{RecvStream, SendStream, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ReadError, VarInt, WriteError};

use super::{
    critical::{Critical, CriticalStreams, Kind},
    stream_error,
};
use crate::{
    codes,
    frames::{HeadReader, read_varint},
};

/// The control stream's type (RFC 9114, 6.2.1).
const CONTROL: u64 = 0x0;
/// The types of QPACK's streams (RFC 9204, 4.2).
const QPACK_ENCODER: u64 = 0x2;
const QPACK_DECODER: u64 = 0x3;
/// The longest frame of a control stream that is taken: `h3` holds each as a whole.
const CONTROL_FRAME_BYTES_MAX: u64 = 4 << 10;
/// What one read takes at most.
const READ_BYTES: usize = 4 << 10;

/// A stream that this side sends on.
pub(crate) struct UniSend {
    stream: quinn::SendStream,
    /// What waits for room.
    waiting: Bytes,
}

impl UniSend {
    pub(super) const fn new(stream: quinn::SendStream) -> Self {
        Self {
            stream,
            waiting: Bytes::new(),
        }
    }
}

impl SendStream<Bytes> for UniSend {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while !self.waiting.is_empty() {
            let written = ready!(pin!(self.stream.write(&self.waiting)).poll(cx));
            match written {
                Ok(count) => self.waiting.advance(count),
                Err(error) => return Poll::Ready(Err(write_error(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        let mut data = data.into();
        let mut waiting = mem::take(&mut self.waiting).to_vec();
        while data.has_remaining() {
            let chunk = data.chunk();
            waiting.extend_from_slice(chunk);
            let count = chunk.len();
            data.advance(count);
        }
        self.waiting = waiting.into();
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        // It fails only if it was done before.
        let _ = self.stream.finish();
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        let _ = self
            .stream
            .reset(VarInt::try_from(code).unwrap_or(VarInt::MAX));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

fn write_error(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated {
            error_code: code.into_inner(),
        },
        WriteError::ConnectionLost(error) => stream_error(error),
        WriteError::ClosedStream | WriteError::ZeroRttRejected => {
            StreamErrorIncoming::Unknown(Box::new(error))
        }
    }
}

/// A stream that the peer sends on. `h3` reads its type, and goes on with it if it is the control stream.
pub(crate) struct UniRecv {
    connection: quinn::Connection,
    state: State,
    id: StreamId,
    critical: CriticalStreams,
}

enum State {
    /// The type is not known yet; of it, this has come.
    Untyped(quinn::RecvStream, Vec<u8>),
    Control(quinn::RecvStream, ControlFrames),
    /// A type of which nothing is known here.
    Other(quinn::RecvStream),
    /// It is watched elsewhere.
    HandedOver,
}

impl UniRecv {
    pub(super) fn new(
        connection: quinn::Connection,
        stream: quinn::RecvStream,
        critical: CriticalStreams,
    ) -> Self {
        Self {
            connection,
            id: stream_id(stream.id()),
            state: State::Untyped(stream, Vec::new()),
            critical,
        }
    }

    /// Looks at what came, and says what `h3` gets of it.
    fn look(&mut self, bytes: Bytes) -> Option<Bytes> {
        match &mut self.state {
            State::Untyped(_, begun) => {
                begun.extend_from_slice(&bytes);
                let (kind, rest) = read_varint(begun)?;
                let own = begun.len() - rest.len();
                let begun = Bytes::from(mem::take(begun));
                Some(self.become_typed(kind, begun, own))
            }
            State::Control(_, frames) => {
                if frames.pass(&bytes) {
                    return Some(bytes);
                }
                super::close(
                    &self.connection,
                    codes::EXCESSIVE_LOAD,
                    "a frame of the control stream is too long",
                );
                None
            }
            State::Other(_) | State::HandedOver => Some(bytes),
        }
    }

    /// `begun` is all that came so far, of which the type takes `own` bytes.
    fn become_typed(&mut self, kind: u64, begun: Bytes, own: usize) -> Bytes {
        let State::Untyped(stream, _) = mem::replace(&mut self.state, State::HandedOver) else {
            return begun;
        };
        let qpack = match kind {
            CONTROL => {
                self.state = State::Control(stream, ControlFrames::default());
                let typed = begun.slice(..own);
                let rest = begun.slice(own..);
                return match self.look(rest) {
                    Some(_) => begun,
                    None => typed,
                };
            }
            QPACK_ENCODER => Kind::Encoder,
            QPACK_DECODER => Kind::Decoder,
            _ => {
                self.state = State::Other(stream);
                return begun;
            }
        };
        let critical = Critical::new(qpack, stream, begun.slice(own..));
        let mut streams = self.critical.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push(critical);
        begun.slice(..own)
    }
}

impl RecvStream for UniRecv {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            let stream = match &mut self.state {
                State::Untyped(stream, _) | State::Control(stream, _) | State::Other(stream) => {
                    stream
                }
                State::HandedOver => return Poll::Pending,
            };
            let read = stream.read_chunk(READ_BYTES, true);
            let chunk = match ready!(pin!(read).poll_unpin(cx)) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(read_error(error))),
            };
            if let Some(bytes) = self.look(chunk.bytes) {
                return Poll::Ready(Ok(Some(bytes)));
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        let code = VarInt::try_from(code).unwrap_or(VarInt::MAX);
        match &mut self.state {
            // It fails only if it has ended.
            State::Untyped(stream, _) | State::Control(stream, _) | State::Other(stream) => {
                let _ = stream.stop(code);
            }
            State::HandedOver => {}
        }
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

fn read_error(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated {
            error_code: code.into_inner(),
        },
        ReadError::ConnectionLost(error) => stream_error(error),
        ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
            StreamErrorIncoming::Unknown(Box::new(error))
        }
    }
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(VarInt::from(id).into_inner()).expect("QUIC's ids are those of HTTP/3")
}

/// Follows the frames of a control stream.
#[derive(Default)]
struct ControlFrames {
    head: HeadReader,
    /// What is left of the frame that has begun.
    left: u64,
}

impl ControlFrames {
    /// Whether all frames are short enough.
    fn pass(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let own = self.left.min(rest.len() as u64);
            rest = &rest[own as usize..];
            self.left -= own;
            if self.left > 0 {
                return true;
            }
            if let Some(head) = self.head.read(&mut rest) {
                self.left = head.length;
            }
            if self.left > CONTROL_FRAME_BYTES_MAX {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_frame_is_found_behind_short_ones_however_they_are_cut() {
        // SETTINGS of two bytes, an unknown frame of one, and GOAWAY of 1 GiB.
        let wire = [4, 2, 0, 0, 0x21, 1, 9, 7, 0xBF, 0xFF, 0xFF, 0xFF];
        for step in 1..=wire.len() {
            let mut frames = ControlFrames::default();
            let passed = wire.chunks(step).all(|piece| frames.pass(piece));
            assert!(!passed, "pieces of {step}");
        }
        let mut frames = ControlFrames::default();
        assert!(
            frames.pass(&wire[..11]),
            "it is not known before its length is whole"
        );
    }
}
