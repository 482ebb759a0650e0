//! The headers that open a call.

use headwater_rpc::{Code, RequestHeaders, Status, http::headers};
use http::{
    HeaderValue, Method, Request, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::{Authority, PathAndQuery, Scheme},
};

const AGENT: &str = concat!("headwater-rpc/", env!("CARGO_PKG_VERSION"));

/// Whom the calls of a connection are for, as they say it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) authority: Authority,
}

impl Origin {
    /// The request of `PROTOCOL-HTTP2.md`, "Request-Headers", which HTTP/3 shares (gRFC G2).
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, if the path is none.
    pub(crate) fn request(&self, call: &RequestHeaders) -> Result<Request<()>, Status> {
        let invalid = || Status::new(Code::InvalidArgument, "the path is not valid in a url");
        if !call.path.starts_with('/') {
            return Err(invalid());
        }
        let path = PathAndQuery::try_from(&*call.path).map_err(|_| invalid())?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| invalid())?;
        let headers = request.headers_mut();
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
