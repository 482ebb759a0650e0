//! What a handler answers.

use bytes::Bytes;
use headwater_proto::{Code, Status, v1};

use crate::Payload;

/// Lets a client in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accept {
    /// Replaces the user of the token. Default: keeps it.
    pub user_id: Option<String>,
    /// Groups of which the connection is a member from the start.
    pub groups: Vec<String>,
    /// Added to the roles of the token, such as `webpubsub.sendToGroup`.
    pub roles: Vec<String>,
    /// One of those offered. Default: the service chooses.
    pub subprotocol: Option<String>,
    /// Kept for the connection, and part of the [`Context`](crate::Context) of its later events. Default: empty.
    pub state: Option<Bytes>,
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Reject(
    /// The code decides what the client sees: `UNAUTHENTICATED` is HTTP 401, `PERMISSION_DENIED` 403,
    /// `INVALID_ARGUMENT` 400, `NOT_FOUND` 404, `RESOURCE_EXHAUSTED` 429, `UNAVAILABLE` 503, anything else 500.
    pub Status,
);

impl Reject {
    /// The client is not known: HTTP 401.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self(Status::new(Code::Unauthenticated, message))
    }

    /// The client is known and may not: HTTP 403.
    pub fn permission_denied(message: impl Into<String>) -> Self {
        Self(Status::new(Code::PermissionDenied, message))
    }
}

impl From<Status> for Reject {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

/// Says that a message was handled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Sent to the client that said the message, before its ack. Default: nothing is sent.
    pub payload: Option<Payload>,
    /// Replaces the state that is kept for the connection. Default: keeps it.
    pub state: Option<Bytes>,
}

impl Reply {
    /// Handled, and nothing to say.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Replaces the state that is kept for the connection.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Bytes>) -> Self {
        self.state = Some(state.into());
        self
    }
}

impl<P: Into<Payload>> From<P> for Reply {
    fn from(payload: P) -> Self {
        Self {
            payload: Some(payload.into()),
            state: None,
        }
    }
}

/// Why a message could not be handled. The client hears of it in its ack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(
    /// What the service is told.
    pub Status,
);

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Status::new(code, message))
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl From<Accept> for v1::Accept {
    fn from(accept: Accept) -> Self {
        Self {
            user_id: accept.user_id,
            groups: accept.groups,
            roles: accept.roles,
            subprotocol: accept.subprotocol,
            state: accept.state,
        }
    }
}

impl From<v1::Accept> for Accept {
    fn from(accept: v1::Accept) -> Self {
        Self {
            user_id: accept.user_id,
            groups: accept.groups,
            roles: accept.roles,
            subprotocol: accept.subprotocol,
            state: accept.state,
        }
    }
}

impl From<Reply> for v1::Reply {
    fn from(reply: Reply) -> Self {
        Self {
            payload: reply.payload.map(v1::Payload::from),
            state: reply.state,
        }
    }
}

impl From<v1::Reply> for Reply {
    fn from(reply: v1::Reply) -> Self {
        Self {
            payload: reply.payload.map(Payload::from),
            state: reply.state,
        }
    }
}

/// An answer on its way to the link.
#[derive(Debug)]
pub(crate) enum Answer {
    Accept(Accept),
    Reject(Reject),
    Reply(Reply),
    Fail(Failure),
}
