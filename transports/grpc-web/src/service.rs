//! The requests of one connection, as calls for the router.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use headwater_rpc::{
    AcceptedStream, Acceptor, Code, Encoded, HandlerLimit, Outbound, Peer, Shape, Status, Trailers,
    http::{request, response},
};
use http::{Request, Response, StatusCode};
use tonic::body::Body;

use crate::{
    body::CallBody,
    request::{Origin, requests},
};

/// Takes every path, once the framing of gRPC-Web is undone. Clones are of one connection.
#[derive(Clone)]
pub(crate) struct CallService {
    pub(crate) acceptor: Acceptor,
    pub(crate) peer: Peer,
    /// As many as streams may be open.
    pub(crate) handlers: HandlerLimit,
}

impl tower::Service<Request<Body>> for CallService {
    type Response = Response<CallBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<CallBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let accepted = self.accept(request);
        Box::pin(async move {
            Ok(match accepted {
                Ok(outbound) => respond(outbound).await,
                Err(refusal) => refusal.map(|()| CallBody::default()),
            })
        })
    }
}

/// An answer in place of a call.
type Refusal = Box<Response<()>>;

impl CallService {
    fn accept(&self, request: Request<Body>) -> Result<Outbound, Refusal> {
        let (head, body) = request.into_parts();
        let headers = request::to_call(&head)?;
        let Some(origin) = head.extensions.get::<Origin>() else {
            let refusal = response::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            return Err(Box::new(refusal));
        };
        if origin.is_web && !fits(self.acceptor.shape(&headers.path)) {
            let message = "gRPC-Web has no streams of requests";
            return Err(failed(Status::new(Code::Unimplemented, message)));
        }
        let permit = self.handlers.try_start(&headers.path).ok_or_else(|| {
            let message = "too many handlers run for this connection";
            failed(Status::new(Code::ResourceExhausted, message))
        })?;
        let bytes_max = self.acceptor.receive_message_bytes_max();
        let inbound = Box::new(requests(body, origin, bytes_max));
        let stream = AcceptedStream::new(headers, self.peer.clone(), inbound);
        Ok(self.acceptor.accept(stream.permitted(permit)))
    }
}

fn failed(status: Status) -> Refusal {
    Box::new(response::trailers_only(&Trailers::failed(status)))
}

/// Whether gRPC-Web carries such calls. Of a method that is not known nobody can tell, and a proxy may.
const fn fits(shape: Option<Shape>) -> bool {
    match shape {
        None | Some(Shape::Unary | Shape::ServerStreaming) => true,
        Some(Shape::ClientStreaming | Shape::Bidirectional) => false,
    }
}

/// Waits for what the answer begins with.
async fn respond(mut outbound: Outbound) -> Response<CallBody> {
    let mut encoded = Encoded::default();
    let pulled = poll_fn(|cx| outbound.poll_encoded(cx, &mut encoded)).await;
    match response::begin(pulled, &mut encoded) {
        Ok(head) => head.map(|()| CallBody::new(outbound, encoded)),
        Err(whole) => whole.map(|()| CallBody::default()),
    }
}
