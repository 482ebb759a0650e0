//! The demo's page, and where it asks for its client URL.

use bytes::Bytes;
use headwater::auth::{AccessKey, ClientGrant, client_url};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use crate::cli::run::unix_seconds;

const PAGE: &str = include_str!("page.html");
const USER_CHARS_MAX: usize = 40;

/// Answers what belongs to the demo.
#[derive(Clone)]
pub(super) struct Pages {
    hub: &'static str,
    key: AccessKey,
    /// By which the page is reached: `http` or `https`.
    scheme: &'static str,
}

impl Pages {
    pub(super) const fn new(hub: &'static str, key: AccessKey, scheme: &'static str) -> Self {
        Self { hub, key, scheme }
    }

    /// `None` for what is not the demo's.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        match request.uri().path() {
            "/" => Some(with_type("text/html; charset=utf-8", PAGE.into())),
            "/demo/negotiate" => Some(self.negotiate(request)),
            _ => None,
        }
    }

    /// A client URL for `?user=NAME`, with the host that the browser used.
    fn negotiate<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default();
        let user = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "user");
        let user: String = user
            .map(|(_, user)| user.chars().take(USER_CHARS_MAX).collect())
            .unwrap_or_default();
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let grant = ClientGrant {
            user_id: Some(&user)
                .filter(|user| !user.is_empty())
                .map(String::as_str),
            ..ClientGrant::new(self.hub)
        };
        let endpoint = format!("{}://{host}", self.scheme);
        match client_url(&endpoint, &self.key, &grant, unix_seconds()) {
            Ok(url) => with_type(
                "application/json",
                serde_json::json!({ "url": url }).to_string(),
            ),
            Err(error) => {
                let mut response = with_type("text/plain; charset=utf-8", format!("{error}\n"));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
        }
    }
}

fn with_type(content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
