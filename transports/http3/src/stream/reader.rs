//! The receiving half: which frames come, one after the other, and never more of them than is asked for.

use std::{
    mem,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{ConnectionError, ReadError, VarInt};

use crate::{
    codes,
    frames::{DATA, HEADERS, Head, HeadReader},
};

/// How many pieces one read takes: QUIC's are as long as its packets.
const READ_PIECES: usize = 16;
/// Bytes of frames that say nothing, after which others run.
const SKIPPED_BYTES: u64 = 64 << 10;
/// Frames without content, after which others run.
const EMPTY_FRAMES: u64 = 256;

/// What comes on a stream.
#[derive(Debug)]
pub(crate) enum Event {
    /// A whole header section.
    Headers(Bytes),
    /// Some of a body.
    Data(Bytes),
}

/// Why nothing more comes that could be used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The peer reset the stream.
    Reset(VarInt),
    Lost(ConnectionError),
    /// The peer did what it may not, and the stream has to end so.
    Stream(VarInt),
    /// It did what ends the connection.
    Connection(VarInt),
    /// A header section is larger than what is taken.
    TooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Headers come, and of a response perhaps again.
    Head,
    Body,
    /// The trailers were there.
    Trailed,
    /// The stream ended, or broke.
    Ended,
}

#[derive(Debug)]
enum Frame {
    Head(HeadReader),
    Headers(BytesMut, u64),
    Data(u64),
    Skipped(u64),
}

/// Reads the frames of a stream.
pub(crate) struct FrameReader {
    stream: quinn::RecvStream,
    section_bytes_max: u64,
    /// What was read of the stream and not looked at.
    pieces: [Bytes; READ_PIECES],
    next_piece: usize,
    pieces_end: usize,
    frame: Frame,
    phase: Phase,
    /// What is still to come of the body, if its length was announced.
    announced: Option<u64>,
}

impl FrameReader {
    pub(crate) fn new(stream: quinn::RecvStream, section_bytes_max: u64) -> Self {
        Self {
            stream,
            section_bytes_max,
            pieces: [const { Bytes::new() }; READ_PIECES],
            next_piece: 0,
            pieces_end: 0,
            frame: Frame::Head(HeadReader::default()),
            phase: Phase::Head,
            announced: None,
        }
    }

    /// From now on a body comes, perhaps of a length that was announced, and perhaps trailers.
    pub(crate) fn begin_body(&mut self, announced: Option<u64>) {
        self.phase = Phase::Body;
        self.announced = announced;
    }

    /// Whether the stream has ended on the peer's side, and nothing more has to be said of it.
    pub(crate) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether the last read found the end of what was there, and all of that was looked at.
    pub(crate) const fn is_drained(&self) -> bool {
        self.next_piece == self.pieces_end && self.pieces_end < READ_PIECES
    }

    /// Wants no more. Says nothing to a peer that has said all.
    pub(crate) fn stop(&mut self, code: VarInt) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            // It fails only if the stream has ended.
            let _ = self.stream.stop(code);
        }
    }

    /// Throws away what comes. Ready at the stream's end, or after `left` bytes.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        self.clear();
        while !self.is_ended() && *left > 0 {
            match ready!(self.poll_read(cx)) {
                Ok(true) => {
                    let read = self.pieces[..self.pieces_end].iter().map(Bytes::len).sum();
                    *left = left.saturating_sub(read);
                    self.clear();
                }
                Ok(false) | Err(_) => self.phase = Phase::Ended,
            }
        }
        Poll::Ready(())
    }

    fn clear(&mut self) {
        self.pieces[self.next_piece..self.pieces_end].fill(Bytes::new());
        (self.next_piece, self.pieces_end) = (0, 0);
    }

    /// The next event; `None` is the end. What is given gives its room in the windows back to the peer.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Event>, Fault>> {
        let mut idle = Idle::default();
        loop {
            if self.phase == Phase::Ended {
                return Poll::Ready(Ok(None));
            }
            while self.next_piece < self.pieces_end {
                match self.look(&mut idle) {
                    Ok(Some(event)) => return Poll::Ready(Ok(Some(event))),
                    Ok(None) => {}
                    Err(fault) => return Poll::Ready(Err(fault)),
                }
            }
            if idle.is_long() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match ready!(self.poll_read(cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(self.end()),
                Err(fault) => {
                    self.phase = Phase::Ended;
                    return Poll::Ready(Err(fault));
                }
            }
        }
    }

    /// Reads what is there. `false` is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Fault>> {
        let read = self.stream.read_chunks(&mut self.pieces);
        Poll::Ready(match ready!(pin!(read).poll(cx)) {
            Ok(Some(count)) => {
                (self.next_piece, self.pieces_end) = (0, count);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(ReadError::Reset(code)) => Err(Fault::Reset(code)),
            Err(ReadError::ConnectionLost(error)) => Err(Fault::Lost(error)),
            // Nobody stopped it, reads it out of order, or opened it in 0-RTT.
            Err(
                ReadError::ClosedStream
                | ReadError::IllegalOrderedRead
                | ReadError::ZeroRttRejected,
            ) => Err(Fault::Stream(codes::INTERNAL_ERROR)),
        })
    }

    /// The peer sends no more.
    fn end(&mut self) -> Result<Option<Event>, Fault> {
        self.phase = Phase::Ended;
        if !matches!(&self.frame, Frame::Head(head) if !head.is_within()) {
            return Err(Fault::Connection(codes::FRAME_ERROR));
        }
        if self.announced.is_some_and(|left| left > 0) {
            return Err(Fault::Stream(codes::MESSAGE_ERROR));
        }
        Ok(None)
    }

    /// Looks at the next piece, up to an event.
    fn look(&mut self, idle: &mut Idle) -> Result<Option<Event>, Fault> {
        let piece = &mut self.pieces[self.next_piece];
        let event = match &mut self.frame {
            Frame::Head(reader) => {
                let head = reader.read(piece);
                if piece.is_empty() {
                    self.next_piece += 1;
                }
                return match head {
                    Some(head) => self.begin(head, idle),
                    None => Ok(None),
                };
            }
            Frame::Headers(section, left) => {
                let own = split(piece, left);
                section.extend_from_slice(&own);
                (*left == 0).then(|| Event::Headers(mem::take(section).freeze()))
            }
            Frame::Data(left) => Some(Event::Data(split(piece, left))),
            Frame::Skipped(left) => {
                idle.bytes += split(piece, left).len() as u64;
                None
            }
        };
        if piece.is_empty() {
            self.next_piece += 1;
        }
        self.end_frame();
        Ok(event)
    }

    fn begin(&mut self, head: Head, idle: &mut Idle) -> Result<Option<Event>, Fault> {
        if head.is_misplaced_on_request() {
            return Err(self.fail(codes::FRAME_UNEXPECTED));
        }
        self.frame = match (head.kind, self.phase) {
            (HEADERS, Phase::Head | Phase::Body) => {
                if head.length > self.section_bytes_max {
                    return Err(Fault::TooLarge);
                }
                if self.phase == Phase::Body {
                    self.phase = Phase::Trailed;
                }
                let room = usize::try_from(head.length).unwrap_or_default();
                Frame::Headers(
                    BytesMut::with_capacity(room.min(READ_PIECES << 10)),
                    head.length,
                )
            }
            (DATA, Phase::Body) => {
                if let Some(left) = &mut self.announced {
                    let fits = left.checked_sub(head.length);
                    *left = fits.ok_or(Fault::Stream(codes::MESSAGE_ERROR))?;
                }
                Frame::Data(head.length)
            }
            (HEADERS | DATA, _) => return Err(self.fail(codes::FRAME_UNEXPECTED)),
            _ => Frame::Skipped(head.length),
        };
        if head.length > 0 {
            return Ok(None);
        }
        idle.frames += 1;
        self.end_frame();
        Ok((head.kind == HEADERS).then(|| Event::Headers(Bytes::new())))
    }

    fn end_frame(&mut self) {
        if let Frame::Headers(_, 0) | Frame::Data(0) | Frame::Skipped(0) = self.frame {
            self.frame = Frame::Head(HeadReader::default());
        }
    }

    fn fail(&mut self, code: VarInt) -> Fault {
        self.phase = Phase::Ended;
        Fault::Connection(code)
    }
}

/// Dropped before its end, a stream of quinn's is stopped with a code that HTTP/3 does not have.
impl Drop for FrameReader {
    fn drop(&mut self) {
        self.stop(codes::REQUEST_CANCELLED);
    }
}

/// Takes from the front of a piece what is left of a frame.
fn split(piece: &mut Bytes, left: &mut u64) -> Bytes {
    let own = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(piece.len());
    *left -= own as u64;
    if own == piece.len() {
        return mem::take(piece);
    }
    let taken = piece.slice(..own);
    piece.advance(own);
    taken
}

/// What was read that said nothing.
#[derive(Default)]
struct Idle {
    bytes: u64,
    frames: u64,
}

impl Idle {
    const fn is_long(&self) -> bool {
        self.bytes >= SKIPPED_BYTES || self.frames >= EMPTY_FRAMES
    }
}
