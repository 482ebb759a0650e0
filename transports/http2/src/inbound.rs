//! What a peer sends, from the bytes of a stream to frames.

use std::task::{Context, Poll, ready};

use h2::{Reason, RecvStream};
use headwater_rpc::{
    Closed, Code, Reached,
    http::{Part, Source},
};

/// What comes on a stream, as a source.
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
