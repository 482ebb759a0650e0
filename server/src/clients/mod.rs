//! What clients reach over HTTP: the WebSocket endpoint and the health check.

mod connection;
mod handshake;
mod query;

use std::sync::Arc;

use bytes::Bytes;
use headwater_websocket::Peer;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::state::ServiceState;

/// The body of every answer.
pub(crate) type Body = Full<Bytes>;

/// Answers one request of a client.
pub(crate) async fn answer(
    service: Arc<ServiceState>,
    request: Request<Incoming>,
    peer: Peer,
) -> Response<Body> {
    let path = request.uri().path();
    if path == "/client" || path == "/client/" || path.starts_with("/client/hubs/") {
        return handshake::answer(service, request, peer).await;
    }
    match (request.method(), path) {
        (&Method::GET | &Method::HEAD, "/api/health") => plain(StatusCode::OK, ""),
        _ => plain(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

/// An answer for people.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let body = if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n")
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
