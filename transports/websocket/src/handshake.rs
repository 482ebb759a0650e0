//! The opening handshake of RFC 6455, section 4, as a pure function of the request.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::Rejection;

/// What the accepting side appends to the client's key (RFC 6455, section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that may become a WebSocket connection.
///
/// Who may connect (origin, token) is for the caller to decide. No extension is ever accepted: `permessage-deflate`
/// inflates a thousandfold, so a bound on what a client sends would mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    accept: String,
    subprotocols: Vec<String>,
}

/// The subprotocol that was to be accepted is none of those the client offered, so the client would have to refuse it
/// (RFC 6455, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the client did not offer this subprotocol")]
pub struct NotOffered;

impl Handshake {
    /// Whether this request asks for a WebSocket connection at all, well or badly: it has a header `Upgrade: websocket`.
    /// Anything else is an ordinary HTTP request.
    pub fn is_asked_for<B>(request: &Request<B>) -> bool {
        has_token(request.headers(), header::UPGRADE, "websocket")
    }

    /// Checks the opening handshake of a client (RFC 6455, section 4.2.1).
    ///
    /// # Errors
    ///
    /// [`Rejection`] says what is wrong; its [`Rejection::response`] is the answer.
    pub fn check<B>(request: &Request<B>) -> Result<Self, Rejection> {
        if !Self::is_asked_for(request) {
            return Err(Rejection::NotAnUpgrade);
        }
        if request.method() != Method::GET {
            return Err(Rejection::Method);
        }
        if request.version() != Version::HTTP_11 {
            return Err(Rejection::HttpVersion);
        }
        let headers = request.headers();
        if single(headers, header::HOST).is_none() {
            return Err(Rejection::Host);
        }
        if !has_token(headers, header::CONNECTION, "upgrade") {
            return Err(Rejection::Connection);
        }
        if has_body(headers) {
            return Err(Rejection::Body);
        }
        if single(headers, header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
            return Err(Rejection::Version);
        }
        let key = single(headers, header::SEC_WEBSOCKET_KEY).ok_or(Rejection::Key)?;
        Ok(Self {
            accept: accept(key).ok_or(Rejection::Key)?,
            subprotocols: subprotocols(headers).ok_or(Rejection::Subprotocol)?,
        })
    }

    /// The subprotocols that the client offers, the preferred one first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.subprotocols.iter().map(String::as_str)
    }

    /// The answer `101 Switching Protocols`, with an empty body.
    ///
    /// # Errors
    ///
    /// [`NotOffered`] if the client did not offer this subprotocol; `None` is always possible.
    pub fn accept<B: Default>(&self, subprotocol: Option<&str>) -> Result<Response<B>, NotOffered> {
        let mut answer = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::UPGRADE, "websocket")
            .header(header::CONNECTION, "Upgrade")
            .header(header::SEC_WEBSOCKET_ACCEPT, &self.accept);
        if let Some(chosen) = subprotocol {
            if !self.subprotocols().any(|offered| offered == chosen) {
                return Err(NotOffered);
            }
            answer = answer.header(header::SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        // An offered subprotocol is a token, which is a valid header value; so nothing can fail here.
        answer.body(B::default()).map_err(|_| NotOffered)
    }
}

/// The value of a header that must stand there once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

/// Whether one of the comma-separated elements of a header is this token, in any case.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether bytes of a body would stand between the request and the first frame.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get_all(header::CONTENT_LENGTH)
            .iter()
            .any(|length| length.as_bytes() != b"0")
}

/// `Sec-WebSocket-Accept` for this key; `None` unless the key is the base64 of 16 bytes.
fn accept(key: &[u8]) -> Option<String> {
    let nonce = STANDARD.decode(key).ok()?;
    if nonce.len() != 16 {
        return None;
    }
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(KEY_SUFFIX);
    Some(STANDARD.encode(hash.finalize()))
}

/// The offered subprotocols in order; `None` if one of them is not a token (RFC 9110, section 5.6.2).
fn subprotocols(headers: &HeaderMap) -> Option<Vec<String>> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // An empty element of a list is ignored (RFC 9110, section 5.6.1.2).
        .filter(|element| !element.is_empty())
        .map(|element| {
            let token = std::str::from_utf8(element).ok()?;
            token.bytes().all(is_token_byte).then(|| token.to_owned())
        })
        .collect()
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests;
