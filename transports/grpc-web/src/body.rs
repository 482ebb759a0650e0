//! What a call sends, as the body of a response.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use headwater_rpc::{Encoded, Outbound, Payload, Pulled, Status, Trailers, http::headers};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// The body of a response. Dropped before its end, it ends the call.
#[derive(Default)]
pub(crate) struct CallBody {
    /// `None` once nothing more comes.
    outbound: Option<Outbound>,
    payload: Payload,
    /// What comes after the payload.
    trailers: Option<HeaderMap>,
}

impl CallBody {
    /// The messages of a response, of which some have been pulled already, and its trailers.
    pub(crate) fn new(outbound: Outbound, pulled: Encoded) -> Self {
        let mut body = Self {
            outbound: Some(outbound),
            ..Self::default()
        };
        body.pulled(pulled);
        body
    }

    fn pulled(&mut self, pulled: Encoded) {
        self.payload = pulled.payload;
        if let Some(trailers) = pulled.end {
            self.end(&trailers);
        }
    }

    fn end(&mut self, trailers: &Trailers) {
        self.outbound = None;
        self.trailers = Some(headers::from_trailers(trailers));
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            if let Some(chunk) = this.payload.pop() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if let Some(trailers) = mem::take(&mut this.trailers) {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            let Some(outbound) = &mut this.outbound else {
                return Poll::Ready(None);
            };
            let mut encoded = Encoded::default();
            match ready!(outbound.poll_encoded(cx, &mut encoded)) {
                Pulled::Frames => this.pulled(encoded),
                Pulled::Done => this.outbound = None,
                // HTTP/1.1 could only cut the connection, which would say less.
                Pulled::Reset(code) => {
                    let status = Status::new(code, "the call was reset");
                    this.end(&Trailers::failed(status));
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
