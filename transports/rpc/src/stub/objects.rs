//! What goes with a message: metadata, options, status.

use std::fmt;

use headwater_proto::{Metadata, Status};

use crate::{CallError, CallOptions, HandlerError};

/// A request as a client makes it: the message, or the stream of messages, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<T> {
    /// What is asked.
    pub message: T,
    /// The metadata of the request. Default: none.
    pub metadata: Metadata,
    /// How the call is made. The shape is the method's, whatever is said here.
    pub options: CallOptions,
}

impl<T> Request<T> {
    /// A request without metadata and with default options. `Request { options, ..Request::new(message) }` changes that.
    pub fn new(message: T) -> Self {
        Self {
            message,
            metadata: Metadata::new(),
            options: CallOptions::default(),
        }
    }
}

/// A response: the message, and what goes with it. What a client gets and what a service answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response<T> {
    /// The initial metadata.
    pub headers: Metadata,
    /// The answer.
    pub message: T,
    /// The trailing metadata.
    pub trailers: Metadata,
}

impl<T> Response<T> {
    /// A response without metadata.
    pub const fn new(message: T) -> Self {
        Self {
            headers: Metadata::new(),
            message,
            trailers: Metadata::new(),
        }
    }
}

impl<T> From<T> for Response<T> {
    fn from(message: T) -> Self {
        Self::new(message)
    }
}

/// How a call fails: a status, and what goes with it. A [`Status`] becomes one by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub status: Status,
    /// The trailing metadata.
    pub trailers: Metadata,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let trailers = Metadata::new();
        Self { status, trailers }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        error.status.into()
    }
}

impl From<HandlerError> for Failure {
    fn from(error: HandlerError) -> Self {
        Status::from(error).into()
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.status
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.status, f)
    }
}

impl std::error::Error for Failure {}
