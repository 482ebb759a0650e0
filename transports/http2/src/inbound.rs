//! What a peer sends, from the bytes of a stream to frames.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use headwater_proto::grpc::{Deframer, FramingError};
use headwater_rpc::{Closed, Code, Frame, Inbound, Reached, Received, Trailers, Violation};
use http::HeaderMap;
use http_body::Body;

use crate::headers;

/// Bytes of DATA after which one poll takes no more.
const POLL_BYTES: usize = 64 << 10;

/// What comes on a stream after its headers.
pub(crate) enum Part {
    /// The payload of a DATA frame.
    Data(Bytes),
    /// The trailers, which end it.
    Trailers(HeaderMap),
}

/// Where the parts of a stream come from.
pub(crate) trait Source: Send {
    /// The next part; `None` is the end. What was taken gives its room in the windows back to the peer.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>>;
}

impl Source for RecvStream {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>> {
        match ready!(self.poll_data(cx)) {
            Some(Ok(data)) => {
                // It fails only for more than came.
                let _ = self.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Part::Data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(closed_by_h2(&error)))),
            None => Poll::Ready(match ready!(self.poll_trailers(cx)) {
                Ok(trailers) => trailers.map(|trailers| Ok(Part::Trailers(trailers))),
                Err(error) => Some(Err(closed_by_h2(&error))),
            }),
        }
    }
}

/// A body of HTTP, as a source.
pub(crate) struct BodySource<B>(B);

impl<B> Source for BodySource<B>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Send + Unpin,
{
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(closed(&error)))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data().map_err(http_body::Frame::into_trailers) {
                Ok(data) => return Poll::Ready(Some(Ok(Part::Data(data)))),
                Err(Ok(trailers)) => return Poll::Ready(Some(Ok(Part::Trailers(trailers)))),
                // A kind of frame that says nothing to gRPC.
                Err(Err(_)) => {}
            }
        }
    }
}

/// The messages of a stream.
pub(crate) struct Messages<S> {
    source: S,
    deframer: Deframer,
    /// How the stream ended, after what came with it was handed out.
    end: Option<Result<Frame, Closed>>,
    /// What the stream's end means when no trailers said it.
    end_without_trailers: fn() -> Result<Frame, Closed>,
}

impl<S: Source> Messages<S> {
    /// The responses of a server, which have to end with a status.
    pub(crate) const fn responses(source: S, message_bytes_max: usize) -> Self {
        Self {
            source,
            deframer: Deframer::new(message_bytes_max),
            end: None,
            end_without_trailers: || Err(Closed::without_status()),
        }
    }

    /// The requests of a client, whose end is the half-close.
    pub(crate) const fn requests(source: S, message_bytes_max: usize) -> Self {
        Self {
            source,
            deframer: Deframer::new(message_bytes_max),
            end: None,
            end_without_trailers: || Ok(Frame::end(Trailers::ok())),
        }
    }

    /// As [`Inbound::poll_received`]; what has come since there was `before` makes it ready.
    pub(crate) fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
        before: usize,
    ) -> Poll<Result<(), Closed>> {
        let mut taken = 0;
        while self.end.is_none() && taken < POLL_BYTES {
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
            // 64 KiB of a message that is not whole yet: let others run, and go on.
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

/// The requests of a call, on the server.
pub(crate) struct RequestInbound<B>(Messages<BodySource<B>>);

impl<B> RequestInbound<B>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Send + Unpin,
{
    pub(crate) const fn new(body: B, message_bytes_max: usize) -> Self {
        Self(Messages::requests(BodySource(body), message_bytes_max))
    }
}

impl<B> Inbound for RequestInbound<B>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Send + Unpin,
{
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> Poll<Result<(), Closed>> {
        poll_as_frames(self, cx, frames)
    }

    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        let before = received.len();
        self.0.poll_more(cx, received, before)
    }
}

/// [`Inbound::poll_frames`] of an inbound that has runs.
pub(crate) fn poll_as_frames(
    inbound: &mut impl Inbound,
    cx: &mut Context<'_>,
    frames: &mut Vec<Frame>,
) -> Poll<Result<(), Closed>> {
    let mut received = Received::default();
    let polled = inbound.poll_received(cx, &mut received);
    received.into_frames(frames);
    polled
}

const fn violation(error: FramingError) -> Violation {
    if matches!(error, FramingError::TooLarge { .. }) {
        return Violation::TooLarge;
    }
    Violation::Undecodable
}

/// How a stream ended that broke, by what HTTP/2 says.
fn closed(error: &(dyn Error + 'static)) -> Closed {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return closed_by_h2(error);
        }
        next = cause.source();
    }
    Closed::broken("the connection cannot be used")
}

/// The codes of `PROTOCOL-HTTP2.md`, "Errors".
pub(crate) fn closed_by_h2(error: &h2::Error) -> Closed {
    if error.is_go_away() && error.is_remote() {
        // Of all streams, only those above the last one that the peer has seen end with its GOAWAY (RFC 9113, 6.8).
        return Closed::broken("the server is going away and has not taken the call")
            .having_reached(Reached::Library);
    }
    if error.is_io() || error.is_go_away() {
        return Closed::broken("the connection was lost");
    }
    let code = match error.reason() {
        Some(Reason::REFUSED_STREAM) => {
            return Closed::cancelled(Code::Unavailable).having_reached(Reached::Library);
        }
        Some(Reason::CANCEL) => Code::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        Some(_) => Code::Internal,
        None => return Closed::broken("the connection was lost"),
    };
    Closed::cancelled(code)
}
