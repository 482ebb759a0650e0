//! What a server sends on a call, as an HTTP body: every pull takes all that waits and makes one payload of it.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::Reason;
use headwater_rpc::{Code, Frame, Outbound, Pulled};
use http::HeaderMap;
use http_body::SizeHint;

use crate::{batch::Batch, headers};

/// The body of a response.
pub(crate) struct CallBody {
    /// `None` once nothing more comes.
    outbound: Option<Outbound>,
    frames: Vec<Frame>,
    batch: Batch,
    /// What comes after the batch.
    trailers: Option<HeaderMap>,
}

impl CallBody {
    /// The messages of a response, of which `frames` have been pulled already, and its trailers.
    pub(crate) fn response(outbound: Outbound, frames: Vec<Frame>) -> Self {
        let mut body = Self {
            outbound: Some(outbound),
            frames,
            ..Self::empty()
        };
        body.encode();
        body
    }

    /// No body: what it would say stands in the headers.
    pub(crate) fn empty() -> Self {
        Self {
            outbound: None,
            frames: Vec::new(),
            batch: Batch::default(),
            trailers: None,
        }
    }

    fn encode(&mut self) {
        let (batch, end) = Batch::encode(&mut self.frames);
        self.batch = batch;
        if let Some(trailers) = end {
            self.outbound = None;
            self.trailers = Some(headers::from_trailers(&trailers));
        }
    }
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        loop {
            if let Some(chunk) = this.batch.pop() {
                return Poll::Ready(Some(Ok(http_body::Frame::data(chunk))));
            }
            if let Some(trailers) = mem::take(&mut this.trailers) {
                return Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))));
            }
            let Some(outbound) = &mut this.outbound else {
                return Poll::Ready(None);
            };
            match std::task::ready!(outbound.poll_frames(cx, &mut this.frames)) {
                Pulled::Frames => this.encode(),
                Pulled::Done => this.outbound = None,
                Pulled::Reset(code) => {
                    this.outbound = None;
                    return Poll::Ready(Some(Err(h2::Error::from(reason(code)))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.outbound.is_none() && self.batch.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        SizeHint::default()
    }
}

/// The reset that says this.
pub(crate) fn reason(code: Code) -> Reason {
    match code {
        Code::ResourceExhausted => Reason::ENHANCE_YOUR_CALM,
        Code::Internal => Reason::INTERNAL_ERROR,
        Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Reason::CANCEL,
    }
}
