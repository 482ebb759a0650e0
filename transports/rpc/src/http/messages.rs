//! The frames of a call, from the body of a request or a response.

use std::task::{Context, Poll};

use ::http::HeaderMap;
use bytes::Bytes;
use headwater_core::call::{Closed, Frame, Trailers, Violation};
use headwater_proto::grpc::{
    Deframer, FramingError,
    framing::{self, PREFIX_BYTES},
};

use super::headers;
use crate::{Inbound, Received};

/// A message below this that came in several pieces becomes a run of its own, which is a copy: else what is behind it could
/// not be in runs.
const OWN_RUN_BYTES: usize = 4 << 10;
/// Bytes of a body after which one poll takes no more.
const POLL_BYTES: usize = 64 << 10;

/// What comes on a stream after its headers.
#[derive(Debug)]
pub enum Part {
    /// Bytes of the body, cut anywhere.
    Data(Bytes),
    /// The trailers, which end it.
    Trailers(HeaderMap),
}

/// Where the parts of a stream come from.
pub trait Source: Send {
    /// The next part; `None` is the end. What was taken gives its room in the windows back to the peer.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>>;

    /// Whether there was nothing left a moment ago, behind the part that was given last. What came is then handed out
    /// without asking again; the next poll asks. `false`, as by default, only costs that.
    fn is_drained(&self) -> bool {
        false
    }
}

/// The messages of a stream, and how it ended. As an [`Inbound`] it is all that a server needs; a client has the headers of
/// the response before it.
pub struct Messages<S> {
    source: S,
    deframer: Deframer,
    /// How the stream ended, after what came with it was handed out.
    end: Option<Result<Frame, Closed>>,
    /// What the stream's end means when no trailers said it.
    end_without_trailers: fn() -> Result<Frame, Closed>,
}

impl<S: Source> Messages<S> {
    /// The responses of a server, which have to end with a status.
    pub const fn responses(source: S, message_bytes_max: usize) -> Self {
        Self {
            source,
            deframer: Deframer::new(message_bytes_max),
            end: None,
            end_without_trailers: || Err(Closed::without_status()),
        }
    }

    /// The requests of a client, whose end is the half-close.
    pub const fn requests(source: S, message_bytes_max: usize) -> Self {
        Self {
            source,
            deframer: Deframer::new(message_bytes_max),
            end: None,
            end_without_trailers: || Ok(Frame::end(Trailers::ok())),
        }
    }

    /// Where they come from.
    pub const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// As [`Inbound::poll_received`]; what has come since there was `before` makes it ready.
    ///
    /// # Errors
    ///
    /// The stream is gone, and how.
    pub fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
        before: usize,
    ) -> Poll<Result<(), Closed>> {
        let mut taken = 0;
        while self.end.is_none() && taken < POLL_BYTES {
            if received.len() > before && self.source.is_drained() {
                break;
            }
            match self.source.poll_part(cx) {
                Poll::Pending if received.len() == before => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(None) => self.ended((self.end_without_trailers)()),
                Poll::Ready(Some(Err(closed))) => self.end = Some(Err(closed)),
                Poll::Ready(Some(Ok(Part::Data(data)))) => {
                    taken += data.len();
                    self.deframe(data, received);
                }
                Poll::Ready(Some(Ok(Part::Trailers(trailers)))) => self.trailers(&trailers),
            }
        }
        match self.end.take() {
            Some(Ok(end)) => received.frames.push(end),
            Some(Err(closed)) if received.len() == before => return Poll::Ready(Err(closed)),
            // Said at the next poll, after the application was given what came before.
            Some(Err(closed)) => self.end = Some(Err(closed)),
            // So much of a message that is not whole yet: let others run, and go on.
            None if received.len() == before => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {}
        }
        Poll::Ready(Ok(()))
    }

    fn deframe(&mut self, data: Bytes, received: &mut Received) {
        self.deframer.push(data);
        let Received { runs, frames } = received;
        loop {
            if frames.is_empty()
                && let Some(run) = self.deframer.next_run()
            {
                runs.push(run);
            }
            match self.deframer.next_message() {
                Ok(Some(message)) if message.compressed => {
                    frames.push(Frame::Compressed(message.bytes));
                }
                Ok(Some(message)) if frames.is_empty() && message.bytes.len() < OWN_RUN_BYTES => {
                    runs.push(run_of(&message.bytes));
                }
                Ok(Some(message)) => frames.push(Frame::Message(message.bytes)),
                Ok(None) => return,
                Err(error) => {
                    self.end = Some(Err(Closed::violation(violation(error))));
                    return;
                }
            }
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        // Trailers of a request say nothing.
        if let Some(trailers) = headers::to_trailers(trailers) {
            self.ended(Ok(Frame::end(trailers)));
        }
    }

    fn ended(&mut self, end: Result<Frame, Closed>) {
        let failed = matches!(&end, Ok(Frame::End(trailers)) if trailers.outcome.is_err());
        self.end = Some(match self.deframer.finish() {
            // A server that fails in the middle of a message has still said why.
            Err(error) if !failed => Err(Closed::violation(violation(error))),
            Ok(()) | Err(_) => end,
        });
    }
}

impl<S: Source> Inbound for Messages<S> {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let before = received.len();
        self.poll_more(cx, received, before)
    }
}

fn run_of(message: &[u8]) -> Bytes {
    let mut run = Vec::with_capacity(PREFIX_BYTES + message.len());
    framing::encode(message, false, &mut run);
    run.into()
}

const fn violation(error: FramingError) -> Violation {
    if matches!(error, FramingError::TooLarge { .. }) {
        return Violation::TooLarge;
    }
    Violation::Undecodable
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Waker};

    use super::*;

    struct Pieces(VecDeque<Bytes>);

    impl Source for Pieces {
        fn poll_part(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>> {
            let piece = self.0.pop_front();
            piece.map_or(Poll::Pending, |piece| {
                Poll::Ready(Some(Ok(Part::Data(piece))))
            })
        }
    }

    fn receive(wire: &[u8], piece_bytes: usize) -> Received {
        let pieces = wire.chunks(piece_bytes).map(Bytes::copy_from_slice);
        let mut messages = Messages::requests(Pieces(pieces.collect()), 1 << 20);
        let mut received = Received::default();
        let polled = messages.poll_more(&mut Context::from_waker(Waker::noop()), &mut received, 0);
        assert_eq!(polled, Poll::Ready(Ok(())));
        received
    }

    #[test]
    fn short_messages_come_in_runs_wherever_their_bytes_are_cut() {
        let sent: Vec<_> = (0..40_u8)
            .map(|length| vec![length; length.into()])
            .collect();
        let mut wire = Vec::new();
        for message in &sent {
            framing::encode(message, false, &mut wire);
        }
        for piece_bytes in 1..wire.len() {
            let received = receive(&wire, piece_bytes);
            assert!(received.frames.is_empty(), "pieces of {piece_bytes}");
            assert_eq!(received.runs.concat(), wire, "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn a_long_message_in_pieces_is_not_copied_and_keeps_its_place() {
        let mut wire = Vec::new();
        let long = vec![7; OWN_RUN_BYTES];
        for message in [&b"before"[..], &long, b"after"] {
            framing::encode(message, false, &mut wire);
        }
        let received = receive(&wire, 1000);
        assert_eq!(received.runs.len(), 1);
        let expected = [&long[..], b"after"].map(|it| Frame::Message(Bytes::copy_from_slice(it)));
        assert_eq!(received.frames, expected);
    }
}
