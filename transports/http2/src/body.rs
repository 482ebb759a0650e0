//! What a call sends, as an HTTP body: every pull takes all that waits and makes one DATA frame of it.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::Reason;
use headwater_proto::grpc::framing;
use headwater_rpc::{Code, Frame, Outbound, Pulled, Trailers};
use http::HeaderMap;
use http_body::SizeHint;

use crate::{headers, pipe};

/// Messages from this size on are handed to HTTP/2 as they are instead of being copied into the batch.
const OWN_CHUNK_BYTES: usize = 32 << 10;

/// The body of a request or a response.
pub(crate) struct CallBody {
    /// `None` once nothing more comes.
    outbound: Option<Outbound>,
    frames: Vec<Frame>,
    chunks: VecDeque<Bytes>,
    /// The trailers of a response, which come after the chunks.
    trailers: Option<HeaderMap>,
    with_trailers: bool,
    /// A request's body that was never polled.
    new_request: bool,
}

impl CallBody {
    /// The messages of a request, to the half-close.
    pub(crate) fn request(outbound: Outbound) -> Self {
        Self::new(Some(outbound), Vec::new(), false)
    }

    /// The messages of a response, of which `frames` have been pulled already, and its trailers.
    pub(crate) fn response(outbound: Outbound, frames: Vec<Frame>) -> Self {
        let mut body = Self::new(Some(outbound), frames, true);
        body.encode();
        body
    }

    /// No body: what it would say stands in the headers.
    pub(crate) fn empty() -> Self {
        Self::new(None, Vec::new(), true)
    }

    const fn new(outbound: Option<Outbound>, frames: Vec<Frame>, with_trailers: bool) -> Self {
        Self {
            outbound,
            frames,
            chunks: VecDeque::new(),
            trailers: None,
            with_trailers,
            new_request: !with_trailers,
        }
    }

    fn encode(&mut self) {
        let copied = |frame: &Frame| match frame {
            Frame::Message(message) | Frame::Compressed(message) => {
                let own_chunk = message.len() >= OWN_CHUNK_BYTES;
                framing::PREFIX_BYTES + if own_chunk { 0 } else { message.len() }
            }
            Frame::Headers(_) | Frame::End(_) => 0,
        };
        let mut batch = Vec::with_capacity(self.frames.iter().map(copied).sum());
        let mut end = None;
        for frame in self.frames.drain(..) {
            match frame {
                Frame::Message(message) => {
                    push_message(message, false, &mut batch, &mut self.chunks)
                }
                Frame::Compressed(message) => {
                    push_message(message, true, &mut batch, &mut self.chunks)
                }
                // They went ahead of the body.
                Frame::Headers(_) => {}
                Frame::End(trailers) => end = Some(trailers),
            }
        }
        if !batch.is_empty() {
            self.chunks.push_back(batch.into());
        }
        if let Some(trailers) = end {
            self.end(&trailers);
        }
    }

    fn end(&mut self, trailers: &Trailers) {
        self.outbound = None;
        if self.with_trailers {
            self.trailers = Some(headers::from_trailers(trailers));
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
        if mem::take(&mut this.new_request) {
            this.outbound
                .iter()
                .map(Outbound::reset_watch)
                .for_each(pipe::begin);
        }
        loop {
            if let Some(chunk) = this.chunks.pop_front() {
                return Poll::Ready(Some(Ok(http_body::Frame::data(chunk))));
            }
            if let Some(trailers) = this.trailers.take() {
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
        self.outbound.is_none() && self.chunks.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        SizeHint::default()
    }
}

/// Copies a small message into the batch; a large one becomes a chunk of its own behind it.
fn push_message(
    message: Bytes,
    compressed: bool,
    batch: &mut Vec<u8>,
    chunks: &mut VecDeque<Bytes>,
) {
    if message.len() < OWN_CHUNK_BYTES {
        return framing::encode(&message, compressed, batch);
    }
    framing::encode_prefix(message.len(), compressed, batch);
    chunks.push_back(mem::take(batch).into());
    chunks.push_back(message);
}

/// The reset that says this.
fn reason(code: Code) -> Reason {
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
