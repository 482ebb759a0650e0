//! A command that is on its way.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use headwater_core::link::upstream as link;
use headwater_proto::{
    Status,
    v1::{self, result::Value},
};
use tokio::sync::oneshot;

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No registration is up; the command had no effect. [`Hub::registered`](crate::Hub::registered) waits for one.
    #[error("no registration is up")]
    NotRegistered,
    /// Too many commands wait to be sent; this one had no effect.
    #[error("too many commands wait to be sent")]
    TooMany,
    /// Larger than the service takes; the command had no effect.
    #[error("the command is larger than the service takes")]
    TooLarge,
    /// The service answered that it failed, such as `NOT_FOUND` for a connection that does not exist.
    #[error("the command failed: {0}")]
    Failed(Status),
    /// The link broke before the result: whether the command took effect is unknown.
    #[error("the link broke before the result: whether the command took effect is unknown")]
    Unknown,
    /// The service answered with something that does not fit the command. It took effect.
    #[error("the result does not fit the command")]
    Unfit,
}

impl From<link::CommandError> for CommandError {
    fn from(error: link::CommandError) -> Self {
        match error {
            link::CommandError::TooMany => Self::TooMany,
            link::CommandError::TooLarge => Self::TooLarge,
            link::CommandError::NotRegistered | _ => Self::NotRegistered,
        }
    }
}

impl From<link::CommandFailure> for CommandError {
    fn from(failure: link::CommandFailure) -> Self {
        match failure {
            link::CommandFailure::Failed(status) => Self::Failed(status),
            link::CommandFailure::Unknown | _ => Self::Unknown,
        }
    }
}

/// A page of the members of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// Some of the members.
    pub members: Vec<Member>,
    /// Where the next page begins; `None` on the last one.
    pub continuation: Option<String>,
}

/// A connection in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The connection.
    pub connection_id: String,
    /// Its user; `None` is anonymous.
    pub user_id: Option<String>,
}

/// A command that was given: on its way already, in the order of the calls, whether this is awaited or dropped. Awaited, it
/// gives the result of the command.
///
/// # Cancel safety
///
/// Safe, and without effect on the command: once given, it cannot be taken back.
#[derive(Debug)]
pub struct Command<T> {
    state: State,
    read: fn(Option<Value>) -> Option<T>,
}

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<Result<Option<Value>, CommandError>>),
    Refused(CommandError),
}

impl<T> Command<T> {
    pub(crate) const fn waiting(
        receiver: oneshot::Receiver<Result<Option<Value>, CommandError>>,
        read: fn(Option<Value>) -> Option<T>,
    ) -> Self {
        Self {
            state: State::Waiting(receiver),
            read,
        }
    }

    pub(crate) const fn refused(error: CommandError, read: fn(Option<Value>) -> Option<T>) -> Self {
        Self {
            state: State::Refused(error),
            read,
        }
    }
}

impl<T> Future for Command<T> {
    type Output = Result<T, CommandError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let read = self.read;
        let outcome = match &mut self.state {
            State::Refused(error) => Err(error.clone()),
            State::Waiting(receiver) => match ready!(Pin::new(receiver).poll(cx)) {
                Ok(outcome) => outcome,
                // The upstream was dropped with the command still in it.
                Err(_) => Err(CommandError::Unknown),
            },
        };
        Poll::Ready(outcome.and_then(|value| read(value).ok_or(CommandError::Unfit)))
    }
}

pub(crate) fn count(value: Option<Value>) -> Option<u64> {
    match value? {
        Value::Delivered(v1::Delivered { connections })
        | Value::Changed(v1::Changed { connections }) => Some(connections),
        Value::Answer(_) | Value::Members(_) => None,
    }
}

pub(crate) fn answer(value: Option<Value>) -> Option<bool> {
    match value? {
        Value::Answer(v1::Answer { yes }) => Some(yes),
        Value::Delivered(_) | Value::Changed(_) | Value::Members(_) => None,
    }
}

pub(crate) fn members(value: Option<Value>) -> Option<Members> {
    let members = match value? {
        Value::Members(members) => members,
        Value::Delivered(_) | Value::Changed(_) | Value::Answer(_) => return None,
    };
    let continuation = members.continuation;
    let members = members.members.into_iter().map(|member| Member {
        connection_id: member.connection_id,
        user_id: member.user_id,
    });
    Some(Members {
        members: members.collect(),
        continuation: (!continuation.is_empty()).then_some(continuation),
    })
}

pub(crate) const fn raw(value: Option<Value>) -> Option<Option<Value>> {
    Some(value)
}
