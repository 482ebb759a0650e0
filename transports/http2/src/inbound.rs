//! What a peer sends, from the bytes of a stream to frames.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use headwater_rpc::{
    Closed, Code, Frame, Inbound, Reached, Received,
    http::{Messages, Part, Source, poll_as_frames},
};
use http_body::Body;

/// The responses of a stream, as a source.
pub(crate) struct StreamSource(pub(crate) RecvStream);

impl Source for StreamSource {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>> {
        match ready!(self.0.poll_data(cx)) {
            Some(Ok(data)) => {
                // It fails only for more than came.
                let _ = self.0.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Part::Data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(closed_by_h2(&error)))),
            None => Poll::Ready(match ready!(self.0.poll_trailers(cx)) {
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
