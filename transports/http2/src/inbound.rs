//! What a peer sends, from HTTP bodies to frames.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::Reason;
use headwater_proto::grpc::{Deframer, FramingError, trailers::code_of_http_status};
use headwater_rpc::{Closed, Code, EndedBy, Frame, Inbound, Reached, Status, Trailers, Violation};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use tonic::{TimeoutExpired, body::Body};

use crate::headers;

/// Bytes of DATA after which one poll takes no more.
const POLL_BYTES: usize = 64 << 10;

/// The messages of a body.
pub(crate) struct Messages {
    body: Body,
    deframer: Deframer,
    /// How the stream ended, after what came with it was handed out.
    end: Option<Result<Frame, Closed>>,
    /// What the body's end means when no trailers came.
    end_without_trailers: fn() -> Result<Frame, Closed>,
}

impl Messages {
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> Poll<Result<(), Closed>> {
        let before = frames.len();
        let mut taken = 0;
        while self.end.is_none() && taken < POLL_BYTES {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending if frames.len() == before => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(None) => self.ended((self.end_without_trailers)()),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(closed(&error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        taken += data.len();
                        self.deframe(data, frames);
                    }
                    Err(frame) => self.trailers(frame.trailers_ref()),
                },
            }
        }
        if frames.len() > before {
            return Poll::Ready(Ok(()));
        }
        match self.end.take() {
            Some(Ok(end)) => {
                frames.push(end);
                Poll::Ready(Ok(()))
            }
            Some(Err(closed)) => Poll::Ready(Err(closed)),
            // 64 KiB of a message that is not whole yet: let others run, and go on.
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn deframe(&mut self, data: Bytes, frames: &mut Vec<Frame>) {
        self.deframer.push(data);
        loop {
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

    fn trailers(&mut self, trailers: Option<&HeaderMap>) {
        // Trailers of a request say nothing.
        if let Some(trailers) = trailers.and_then(headers::to_trailers) {
            self.ended(Ok(Frame::End(trailers)));
        }
    }

    fn ended(&mut self, end: Result<Frame, Closed>) {
        let failed = matches!(&end, Ok(Frame::End(Trailers { outcome, .. })) if outcome.is_err());
        self.end = Some(match self.deframer.finish() {
            // A server that fails in the middle of a message has still said why.
            Err(error) if !failed => Err(Closed::violation(violation(error))),
            Ok(()) | Err(_) => end,
        });
    }
}

/// The requests of a call, on the server.
pub(crate) struct RequestInbound(Messages);

impl RequestInbound {
    pub(crate) fn new(body: Body, message_bytes_max: usize) -> Self {
        Self(Messages {
            body,
            deframer: Deframer::new(message_bytes_max),
            end: None,
            end_without_trailers: || Ok(Frame::End(Trailers::ok())),
        })
    }
}

impl Inbound for RequestInbound {
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> Poll<Result<(), Closed>> {
        self.0.poll_frames(cx, frames)
    }
}

/// The responses of a call, on the client, from before their headers.
pub(crate) enum ResponseInbound<F> {
    Waiting {
        response: Pin<Box<F>>,
        message_bytes_max: usize,
    },
    Open(Messages),
    Ended,
}

impl<F, E> ResponseInbound<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
    E: Error + 'static,
{
    pub(crate) fn new(response: F, message_bytes_max: usize) -> Self {
        Self::Waiting {
            response: Box::pin(response),
            message_bytes_max,
        }
    }

    fn responded(&mut self, response: Response<Body>, bytes_max: usize) -> Result<Frame, Closed> {
        *self = Self::Ended;
        let (head, body) = response.into_parts();
        if let Some(trailers) = headers::to_trailers(&head.headers) {
            return Ok(Frame::End(trailers));
        }
        if head.status != StatusCode::OK || !headers::is_grpc(&head.headers) {
            let message = format!("http status {} without grpc-status", head.status.as_u16());
            return Err(Closed {
                status: Status::new(code_of_http_status(head.status.as_u16()), message),
                by: EndedBy::Violation,
                reached: Reached::Handler,
            });
        }
        let Ok(metadata) = headers::to_metadata(&head.headers) else {
            return Err(Closed::violation(Violation::Undecodable));
        };
        *self = Self::Open(Messages {
            body,
            deframer: Deframer::new(bytes_max),
            end: None,
            end_without_trailers: || Err(Closed::without_status()),
        });
        Ok(Frame::Headers(metadata))
    }
}

impl<F, E> Inbound for ResponseInbound<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Send,
    E: Error + 'static,
{
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Frame>,
    ) -> Poll<Result<(), Closed>> {
        match self {
            Self::Waiting {
                response,
                message_bytes_max,
            } => {
                let bytes_max = *message_bytes_max;
                let response =
                    ready!(response.as_mut().poll(cx)).map_err(|error| closed(&error))?;
                frames.push(self.responded(response, bytes_max)?);
                Poll::Ready(Ok(()))
            }
            Self::Open(messages) => messages.poll_frames(cx, frames),
            Self::Ended => Poll::Ready(Err(Closed::without_status())),
        }
    }
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
        if cause.is::<TimeoutExpired>() {
            return Closed {
                status: Status::new(Code::DeadlineExceeded, "the deadline passed"),
                by: EndedBy::Deadline,
                reached: Reached::Handler,
            };
        }
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return closed_by_h2(error);
        }
        next = cause.source();
    }
    Closed::broken("the connection cannot be used")
}

/// The codes of `PROTOCOL-HTTP2.md`, "Errors".
fn closed_by_h2(error: &h2::Error) -> Closed {
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
