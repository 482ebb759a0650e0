//! The requests of one connection, as calls for the router.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use headwater_rpc::{
    AcceptedStream, Acceptor, Code, Encoded, Outbound, Peer, Pulled, RequestHeaders, Shape, Status,
    Trailers, http::headers,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
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
                Err(refusal) => *refusal,
            })
        })
    }
}

/// An answer in place of a call.
type Refusal = Box<Response<CallBody>>;

impl CallService {
    fn accept(&self, request: Request<Body>) -> Result<Outbound, Refusal> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static("POST");
            refusal.headers_mut().insert(header::ALLOW, allow);
            return Err(refusal);
        }
        let origin = head.extensions.get::<Origin>();
        let Some(origin) = origin.filter(|_| headers::is_grpc(&head.headers)) else {
            return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        };
        let path = head.uri.path();
        if origin.is_web && !fits(self.acceptor.shape(path)) {
            let message = "gRPC-Web has no streams of requests";
            return Err(refused(Status::new(Code::Unimplemented, message)));
        }
        let timeout = headers::to_timeout(&head.headers).map_err(refused)?;
        let metadata = headers::to_metadata(&head.headers)
            .map_err(|error| refused(Status::new(Code::Internal, error.to_string())))?;
        let bytes_max = self.acceptor.receive_message_bytes_max();
        let inbound = Box::new(requests(body, origin, bytes_max));
        let headers = RequestHeaders {
            path: path.into(),
            metadata,
            timeout,
            wait_for_ready: false,
        };
        let stream = AcceptedStream::new(headers, self.peer.clone(), inbound);
        Ok(self.acceptor.accept(stream))
    }
}

/// Whether gRPC-Web carries such calls. Of a method that is not known nobody can tell, and a proxy may.
const fn fits(shape: Option<Shape>) -> bool {
    match shape {
        None | Some(Shape::Unary | Shape::ServerStreaming) => true,
        Some(Shape::ClientStreaming | Shape::Bidirectional) => false,
    }
}

fn plain(status: StatusCode) -> Refusal {
    let mut response = Response::new(CallBody::default());
    *response.status_mut() = status;
    Box::new(response)
}

fn refused(status: Status) -> Refusal {
    Box::new(trailers_only(&Trailers::failed(status)))
}

/// A response whose status stands in its headers.
fn trailers_only(trailers: &Trailers) -> Response<CallBody> {
    let mut response = Response::new(CallBody::default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, headers::content_type());
    headers::append_trailers(trailers, headers);
    response
}

/// Waits for what the answer begins with.
async fn respond(mut outbound: Outbound) -> Response<CallBody> {
    let mut encoded = Encoded::default();
    let pulled = poll_fn(|cx| outbound.poll_encoded(cx, &mut encoded)).await;
    if pulled != Pulled::Frames {
        let status = Status::new(Code::Cancelled, "the call was cancelled");
        return trailers_only(&Trailers::failed(status));
    }
    match (encoded.headers.take(), &encoded.end) {
        (Some(metadata), _) => {
            let mut response = Response::new(CallBody::new(outbound, encoded));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, headers::content_type());
            headers::append_metadata(&metadata, headers);
            response
        }
        (None, Some(trailers)) => trailers_only(trailers),
        // The machine sends headers before any message.
        (None, None) => {
            let status = Status::new(Code::Internal, "a message before headers");
            trailers_only(&Trailers::failed(status))
        }
    }
}
