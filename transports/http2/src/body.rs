//! What a server sends on a call, as an HTTP body: every pull takes all that waits and makes one payload of it.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::Reason;
use headwater_rpc::{Closed, Code, Encoded, Outbound, Payload, Pulled};
use http::HeaderMap;
use http_body::SizeHint;

use crate::headers;

/// The body of a response.
pub(crate) struct CallBody {
    /// `None` once nothing more comes.
    outbound: Option<Outbound>,
    payload: Payload,
    /// What comes after the payload.
    trailers: Option<HeaderMap>,
}

impl CallBody {
    /// The messages of a response, of which some have been pulled already, and its trailers.
    pub(crate) fn response(outbound: Outbound, pulled: Encoded) -> Self {
        let mut body = Self {
            outbound: Some(outbound),
            ..Self::empty()
        };
        body.pulled(pulled);
        body
    }

    /// No body: what it would say stands in the headers.
    pub(crate) fn empty() -> Self {
        Self {
            outbound: None,
            payload: Payload::default(),
            trailers: None,
        }
    }

    /// The connection was lost.
    pub(crate) fn lose(&mut self) {
        if let Some(outbound) = &mut self.outbound {
            outbound.close(Closed::broken("the connection was lost"));
        }
    }

    fn pulled(&mut self, pulled: Encoded) {
        self.payload = pulled.payload;
        if let Some(trailers) = pulled.end {
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
            if let Some(chunk) = this.payload.pop() {
                return Poll::Ready(Some(Ok(http_body::Frame::data(chunk))));
            }
            if let Some(trailers) = mem::take(&mut this.trailers) {
                return Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))));
            }
            let Some(outbound) = &mut this.outbound else {
                return Poll::Ready(None);
            };
            let mut encoded = Encoded::default();
            match std::task::ready!(outbound.poll_encoded(cx, &mut encoded)) {
                Pulled::Frames => this.pulled(encoded),
                Pulled::Done => this.outbound = None,
                Pulled::Reset(code) => {
                    this.outbound = None;
                    return Poll::Ready(Some(Err(h2::Error::from(reason(code)))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.outbound.is_none() && self.payload.is_empty() && self.trailers.is_none()
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
