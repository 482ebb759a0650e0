//! The head of a request: `PROTOCOL-HTTP2.md`, "Request-Headers", which HTTP/3 shares (gRFC G2).

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ALLOW, CONTENT_TYPE, TE, USER_AGENT},
    request, uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use headwater_core::call::Trailers;
use headwater_proto::{Code, Status};

use super::{headers, response};
use crate::RequestHeaders;

const AGENT: &str = concat!("headwater-rpc/", env!("CARGO_PKG_VERSION"));

/// Whom the calls of a connection are for, as they say it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// The host, and the port if it is not the scheme's own.
    pub authority: Authority,
}

impl Origin {
    /// The request that opens this call.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, if the path is none.
    pub fn request(&self, call: &RequestHeaders) -> Result<Request<()>, Status> {
        let invalid = || Status::new(Code::InvalidArgument, "the path is not valid in a url");
        if !call.path.starts_with('/') {
            return Err(invalid());
        }
        let path = PathAndQuery::try_from(&*call.path).map_err(|_| invalid())?;
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| invalid())?;
        let headers = request.headers_mut();
        // The content type, `te` and the agent, beside what the call brings.
        let expected = 3 + usize::from(call.timeout.is_some()) + call.metadata.len();
        // More than can be reserved may still fit: values share names.
        let _ = headers.try_reserve(expected);
        if let Some(timeout) = call.timeout {
            headers::append_timeout(timeout, headers);
        }
        headers.insert(CONTENT_TYPE, headers::content_type());
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers::append_metadata(&call.metadata, headers);
        Ok(request)
    }
}

/// The call that a request opens.
///
/// # Errors
///
/// It is no gRPC call: the answer to give instead, which is all of it. 405 for another method than `POST`, 415 for another
/// content type, and `INTERNAL` in trailers alone for a timeout or metadata that cannot be read.
pub fn to_call(head: &request::Parts) -> Result<RequestHeaders, Box<Response<()>>> {
    if head.method != Method::POST {
        let mut refusal = response::plain(StatusCode::METHOD_NOT_ALLOWED);
        let allow = HeaderValue::from_static("POST");
        refusal.headers_mut().insert(ALLOW, allow);
        return Err(Box::new(refusal));
    }
    if !headers::is_grpc(&head.headers) {
        let refusal = response::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        return Err(Box::new(refusal));
    }
    let timeout = headers::to_timeout(&head.headers).map_err(refused)?;
    let metadata = headers::to_metadata(&head.headers)
        .map_err(|error| refused(Status::new(Code::Internal, error.to_string())))?;
    Ok(RequestHeaders {
        path: head.uri.path().into(),
        metadata,
        timeout,
        wait_for_ready: false,
    })
}

fn refused(status: Status) -> Box<Response<()>> {
    Box::new(response::trailers_only(&Trailers::failed(status)))
}
