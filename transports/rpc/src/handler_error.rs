//! Errors of the application as the outcome of a call.

use std::{error::Error, iter::successors};

use headwater_proto::{Code, Status};

use crate::{receiver::CallError, stub::Failure};

/// Whatever a handler may fail with, as the peer is told.
///
/// `?` makes one of every error: of a [`Status`], [`CallError`] or [`Failure`], or of an error that has one among its
/// sources, that status; of any other `UNKNOWN`, and its text stays here, for it may tell what is nobody's business. Log it before.
///
/// An error of one's own that is to be told implements `From<MyError> for Status`, which `?` uses where a handler
/// fails with [`Status`].
///
/// ```
/// use headwater_rpc::{Code, HandlerError, Status};
///
/// fn parse(text: &str) -> Result<u32, HandlerError> {
///     Ok(text.parse()?)
/// }
///
/// let status = Status::from(parse("secret").unwrap_err());
/// assert_eq!(status.code, Code::Unknown);
/// assert!(!status.message.contains("digit"), "{status}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerError(Status);

impl<E: Error + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let unknown = || Status::new(Code::Unknown, "the handler failed");
        Self(carried(&error).unwrap_or_else(unknown))
    }
}

impl From<HandlerError> for Status {
    fn from(error: HandlerError) -> Self {
        error.0
    }
}

/// The status that an error is or has among its sources.
pub(crate) fn carried(error: &(dyn Error + 'static)) -> Option<Status> {
    successors(Some(error), |error| (*error).source()).find_map(|error| {
        let status = error.downcast_ref::<Status>().cloned();
        let of_call = || Some(error.downcast_ref::<CallError>()?.status.clone());
        let of_stub = || Some(error.downcast_ref::<Failure>()?.status.clone());
        status.or_else(of_call).or_else(of_stub)
    })
}
