//! Why a request does not become a WebSocket connection, and what the client is told.

use http::{HeaderValue, Response, StatusCode, header};
use thiserror::Error;

/// What is wrong with a request that should become a WebSocket connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no `Upgrade: websocket`. Answered with 426.
    #[error("this is a WebSocket endpoint: the request must ask for an upgrade to websocket")]
    NotAnUpgrade,
    /// The method is not GET. Answered with 405.
    #[error("the handshake of a WebSocket is a GET request")]
    Method,
    /// Not HTTP/1.1. Answered with 505.
    #[error("the handshake of a WebSocket needs HTTP/1.1")]
    HttpVersion,
    /// No `Host`, or more than one. Answered with 400.
    #[error("the request needs exactly one Host header")]
    Host,
    /// `Connection` does not say `Upgrade`. Answered with 400.
    #[error("the Connection header must contain Upgrade")]
    Connection,
    /// The request has a body. Answered with 400.
    #[error("the handshake of a WebSocket has no body")]
    Body,
    /// `Sec-WebSocket-Version` is not 13. Answered with 426, which names 13 (RFC 6455, section 4.4).
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
    /// No `Sec-WebSocket-Key`, more than one, or not 16 bytes in base64. Answered with 400.
    #[error("the request needs exactly one Sec-WebSocket-Key: 16 bytes in base64")]
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of tokens. Answered with 400.
    #[error("Sec-WebSocket-Protocol must be a list of tokens")]
    Subprotocol,
    /// None of the subprotocols that the client offers is spoken here. Answered with 400.
    #[error("none of the offered subprotocols is spoken here")]
    UnknownSubprotocol,
    /// A page of this origin may not connect. Answered with 403 (RFC 6455, section 10.2).
    #[error("pages of this origin may not connect")]
    Origin,
}

impl Rejection {
    /// The HTTP status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotAnUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Host
            | Self::Connection
            | Self::Body
            | Self::Key
            | Self::Subprotocol
            | Self::UnknownSubprotocol => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer: the status, the headers that belong to it, and the reason as text. It is the last of its connection,
    /// because what made the request wrong may have made its end unclear too.
    pub fn response<B: From<String>>(self) -> Response<B> {
        let mut answer = Response::new(B::from(format!("{self}\n")));
        *answer.status_mut() = self.status();
        let headers = answer.headers_mut();
        let mut insert = |name, value| headers.insert(name, HeaderValue::from_static(value));
        insert(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        insert(header::CONNECTION, "close");
        match self {
            Self::NotAnUpgrade | Self::Version => {
                insert(header::CONNECTION, "Upgrade, close");
                insert(header::UPGRADE, "websocket");
                insert(header::SEC_WEBSOCKET_VERSION, "13");
            }
            Self::Method => {
                insert(header::ALLOW, "GET");
            }
            Self::HttpVersion
            | Self::Host
            | Self::Connection
            | Self::Body
            | Self::Key
            | Self::Subprotocol
            | Self::UnknownSubprotocol
            | Self::Origin => {}
        }
        answer
    }
}
