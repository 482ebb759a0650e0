//! What a client sends, from the body of its request to frames.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use headwater_rpc::{
    Closed, Inbound, Violation,
    http::{Messages, Part, Source},
};
use http::{
    Request, Version,
    header::{CONTENT_TYPE, EXPECT},
};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::body::Body;

use crate::unread::Unread;

/// What is known of a request before its framing is undone.
#[derive(Clone)]
pub(crate) struct Origin {
    /// It is gRPC-Web, and not gRPC.
    pub(crate) is_web: bool,
    lost: Arc<AtomicBool>,
}

/// Looks at a request before anybody changes it. What nobody reads of its body goes to `unread`.
pub(crate) fn mark(request: Request<Incoming>, unread: &Unread) -> Request<RequestBody> {
    let kind = request.headers().get(CONTENT_TYPE);
    let is_web = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web"));
    let lost = Arc::new(AtomicBool::new(false));
    let (mut head, incoming) = request.into_parts();
    // HTTP/2 ends a stream without its connection.
    let unread = (head.version < Version::HTTP_2).then(|| unread.clone());
    let body = RequestBody {
        incoming: Some(incoming),
        lost: Arc::clone(&lost),
        unread,
        is_held_back: head.headers.contains_key(EXPECT),
    };
    head.extensions.insert(Origin { is_web, lost });
    Request::from_parts(head, body)
}

/// The body as it came, which remembers when the connection broke: base64 that is none is the client's fault, and all that
/// is decoded later fails alike.
pub(crate) struct RequestBody {
    /// There is one until this is dropped.
    incoming: Option<Incoming>,
    lost: Arc<AtomicBool>,
    unread: Option<Unread>,
    /// The client sends it only once somebody reads (RFC 9110, 10.1.1).
    is_held_back: bool,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_held_back = false;
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if matches!(frame, Some(Err(_))) {
            self.lost.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_held_back || http_body::Body::is_end_stream(self) {
            return;
        }
        if let (Some(unread), Some(incoming)) = (&self.unread, self.incoming.take()) {
            // It fails if the connection is gone, and then nothing is left to read.
            let _ = unread.send(incoming);
        }
    }
}

/// The body without the framing of gRPC-Web, as a source.
struct BodySource {
    body: Body,
    lost: Arc<AtomicBool>,
}

impl Source for BodySource {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Closed>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => frame,
                Some(Err(_)) if self.lost.load(Ordering::Relaxed) => {
                    let closed = Closed::broken("the connection was lost");
                    return Poll::Ready(Some(Err(closed)));
                }
                Some(Err(_)) => {
                    let closed = Closed::violation(Violation::Undecodable);
                    return Poll::Ready(Some(Err(closed)));
                }
            };
            match frame.into_data().map_err(Frame::into_trailers) {
                Ok(data) => return Poll::Ready(Some(Ok(Part::Data(data)))),
                Err(Ok(trailers)) => return Poll::Ready(Some(Ok(Part::Trailers(trailers)))),
                // A kind of frame that says nothing to gRPC.
                Err(Err(_)) => {}
            }
        }
    }
}

/// The requests of a call.
pub(crate) fn requests(
    body: Body,
    origin: &Origin,
    message_bytes_max: usize,
) -> impl Inbound + use<> {
    let lost = Arc::clone(&origin.lost);
    Messages::requests(BodySource { body, lost }, message_bytes_max)
}
