//! The requests of one connection: calls for the router, and those that a mounted service takes.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use headwater_rpc::{
    AcceptedStream, Acceptor, Code, Encoded, Outbound, Pulled, RequestHeaders, Status, Trailers,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::SizeHint;
use hyper::body::Incoming;
use tonic::body::Body;
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use super::connection::{Connection, OpenStream};
use crate::{body::CallBody, headers, inbound::RequestInbound};

/// A service of another, such as tonic makes.
type Mount = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;
/// By gRPC's name of the service.
pub(super) type Mounts = BTreeMap<&'static str, Mount>;

/// Takes every path; what is no gRPC call is refused before the application sees it.
pub(super) struct CallService {
    pub(super) acceptor: Acceptor,
    pub(super) mounts: Arc<Mounts>,
    pub(super) connection: Arc<Connection>,
    /// What every answer announces.
    pub(super) alt_svc: Option<HeaderValue>,
}

impl hyper::service::Service<Request<Incoming>> for CallService {
    type Response = Response<ServerBody>;
    type Error = Infallible;
    type Future = Responding;

    fn call(&self, request: Request<Incoming>) -> Responding {
        let stream = Some(self.connection.open_stream(request.uri().path()));
        let answer = match self.mount(request.uri().path()) {
            Some(mount) => self.call_mount(mount, request),
            None => self
                .accept(request)
                .map_or_else(Answer::Refused, Answer::new),
        };
        let alt_svc = self.alt_svc.clone();
        Responding {
            answer,
            stream,
            alt_svc,
        }
    }
}

/// An answer in place of a call.
type Refusal = Box<Response<CallBody>>;

impl CallService {
    fn mount(&self, path: &str) -> Option<&Mount> {
        if self.mounts.is_empty() {
            return None;
        }
        self.mounts.get(path.split('/').nth(1)?)
    }

    fn call_mount(&self, mount: &Mount, request: Request<Incoming>) -> Answer {
        let mut request = request.map(Body::new);
        self.connection.describe(request.extensions_mut());
        Answer::Mounted(Box::pin(mount.clone().oneshot(request)))
    }

    fn accept(&self, request: Request<Incoming>) -> Result<Outbound, Refusal> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static("POST");
            refusal.headers_mut().insert(header::ALLOW, allow);
            return Err(refusal);
        }
        if !headers::is_grpc(&head.headers) {
            return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let timeout = headers::to_timeout(&head.headers).map_err(refused)?;
        let metadata = headers::to_metadata(&head.headers)
            .map_err(|error| refused(Status::new(Code::Internal, error.to_string())))?;
        let bytes_max = self.acceptor.receive_message_bytes_max();
        let headers = RequestHeaders {
            path: head.uri.path().into(),
            metadata,
            timeout,
            wait_for_ready: false,
        };
        let inbound = Box::new(RequestInbound::new(body, bytes_max));
        let peer = self.connection.peer().clone();
        Ok(self
            .acceptor
            .accept(AcceptedStream::new(headers, peer, inbound)))
    }
}

fn plain(status: StatusCode) -> Refusal {
    let mut response = Response::new(CallBody::empty());
    *response.status_mut() = status;
    Box::new(response)
}

fn refused(status: Status) -> Refusal {
    Box::new(trailers_only(&Trailers::failed(status)))
}

/// A response whose status stands in its headers.
fn trailers_only(trailers: &Trailers) -> Response<CallBody> {
    let mut response = Response::new(CallBody::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, headers::content_type());
    headers::append_trailers(trailers, headers);
    response
}

/// Waits for what the answer begins with.
pub(super) struct Responding {
    answer: Answer,
    /// `None` once it is with the answer's body.
    stream: Option<OpenStream>,
    alt_svc: Option<HeaderValue>,
}

impl Responding {
    /// The answer as it goes out.
    fn give(&mut self, response: Response<Content>) -> Response<ServerBody> {
        let (mut head, content) = response.into_parts();
        if let Some(alt_svc) = self.alt_svc.take() {
            head.headers.insert(header::ALT_SVC, alt_svc);
        }
        let body = ServerBody {
            content,
            stream: self.stream.take(),
        };
        Response::from_parts(head, body)
    }
}

enum Answer {
    Refused(Refusal),
    Call(Outbound, Encoded),
    Mounted(Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>),
    Given,
}

impl Answer {
    fn new(outbound: Outbound) -> Self {
        Self::Call(outbound, Encoded::default())
    }
}

impl Future for Responding {
    type Output = Result<Response<ServerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Answer::Mounted(answer) = &mut self.answer {
            let Ok(response) = ready!(answer.as_mut().poll(cx));
            self.answer = Answer::Given;
            return Poll::Ready(Ok(self.give(response.map(Content::Mounted))));
        }
        let pulled = match &mut self.answer {
            Answer::Call(outbound, encoded) => ready!(outbound.poll_encoded(cx, encoded)),
            Answer::Refused(_) | Answer::Mounted(_) | Answer::Given => Pulled::Done,
        };
        let response = match std::mem::replace(&mut self.answer, Answer::Given) {
            Answer::Refused(refusal) => *refusal,
            Answer::Call(outbound, encoded) => respond(pulled, outbound, encoded),
            Answer::Mounted(_) | Answer::Given => {
                unreachable!("a future is not polled after it is ready")
            }
        };
        Poll::Ready(Ok(self.give(response.map(Content::Call))))
    }
}

fn respond(pulled: Pulled, outbound: Outbound, mut encoded: Encoded) -> Response<CallBody> {
    if pulled != Pulled::Frames {
        let status = Status::new(Code::Cancelled, "the call was cancelled");
        return trailers_only(&Trailers::failed(status));
    }
    match (encoded.headers.take(), &encoded.end) {
        (Some(metadata), _) => {
            let mut response = Response::new(CallBody::response(outbound, encoded));
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

/// The body of a response. While it is there, its stream counts as open.
pub(super) struct ServerBody {
    content: Content,
    stream: Option<OpenStream>,
}

impl Drop for ServerBody {
    /// A call that has not said all by now was cancelled, unless it went with its connection.
    fn drop(&mut self) {
        if let Content::Call(body) = &mut self.content
            && self.stream.as_ref().is_some_and(OpenStream::is_lost)
        {
            body.lose();
        }
    }
}

enum Content {
    Call(CallBody),
    Mounted(Body),
}

impl http_body::Body for ServerBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        match &mut self.content {
            Content::Call(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Content::Mounted(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Call(body) => body.is_end_stream(),
            Content::Mounted(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Call(body) => body.size_hint(),
            Content::Mounted(body) => body.size_hint(),
        }
    }
}
