//! The side that submits.

use std::{fmt, sync::Arc};

use headwater_proto::{Code, Status, push_channel};
use headwater_rpc::{CallError, CallOptions, EndedBy, Shape};
use prost::Message as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Submission,
    client::{Connection, Credential},
};
use crate::wire::is_final;

const SUBMIT: &str = "/MessageSync/SubmitMessage";

/// Submits messages to one channel. Clones share the connection, and any number may submit at once.
#[derive(Clone)]
pub struct Producer {
    connection: Arc<Connection>,
    channel: String,
    credential: Arc<Credential>,
}

/// What became of a submission that was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The service refused the message, which is not in the channel: `RESOURCE_EXHAUSTED` if the channel is full.
    #[error("the service refused the message: {0}")]
    Refused(Status),
    /// The message was not sent, or not taken by a service that is leaving, for as long as it was tried
    /// ([`ChannelConfig::submit_timeout`](super::ChannelConfig::submit_timeout)). It is not in the channel.
    #[error("the message was not sent: {0}")]
    NotSent(Status),
    /// It was sent, and no answer came: it may be in the channel or not. Submitted again, it may be there twice.
    #[error("it is not known whether the channel has the message: {0}")]
    Unknown(Status),
}

/// What became of one attempt.
enum Attempt {
    Submitted(u64),
    /// Safe to try again.
    NotSent(Status),
    Failed(SubmitError),
}

impl Producer {
    pub(super) fn new(connection: Arc<Connection>, channel: String) -> Self {
        Self {
            connection,
            channel,
            credential: Arc::default(),
        }
    }

    /// The channel's name.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Adds a message to the channel, and says its place there, from 1. It needs no consumer.
    ///
    /// It is tried again for as long as no service had it: while there is no connection, or the service says
    /// `UNAVAILABLE`, which it says of what it did not take. (A proxy may say that of a message that was taken; then there
    /// are two.) Once it was sent and its call broke, it is not.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message may be in the channel or not.
    pub async fn submit(&self, message: impl Into<Submission>) -> Result<u64, SubmitError> {
        let request = message.into().into_request(self.channel.clone());
        let request: bytes::Bytes = request.encode_to_vec().into();
        let config = &self.connection.config;
        let until = Instant::now() + config.submit_timeout;
        let mut waits = self.connection.waits();
        loop {
            let last = match self.attempt(request.clone(), until).await {
                Attempt::Submitted(offset) => return Ok(offset),
                Attempt::Failed(error) => return Err(error),
                Attempt::NotSent(status) => status,
            };
            let wait = waits.next_wait();
            if Instant::now() + wait >= until {
                return Err(SubmitError::NotSent(last));
            }
            sleep(wait).await;
        }
    }

    async fn attempt(&self, request: bytes::Bytes, until: Instant) -> Attempt {
        let metadata = self
            .credential
            .metadata(&self.connection.config, &self.channel);
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(status) => return Attempt::Failed(SubmitError::NotSent(status)),
        };
        let options = CallOptions {
            wait_for_ready: Some(true),
            shape: Shape::Unary,
            ..CallOptions::default()
        };
        let client = &self.connection.client;
        let opening = client.call_with_request(SUBMIT, metadata, request, options);
        // Until the transport has the call, nothing of it is sent.
        let (_sender, mut receiver) = match timeout_at(until, opening).await {
            Ok(Ok(halves)) => halves,
            Ok(Err(error)) => return not_opened(error),
            Err(_) => return Attempt::NotSent(late()),
        };
        let mut replies = Vec::new();
        let answer = async {
            while receiver.next_batch(&mut replies).await? > 0 {}
            Ok(())
        };
        match timeout_at(until, answer).await {
            Ok(Ok(())) => confirmed(replies.pop()),
            Ok(Err(error)) => not_confirmed(error),
            Err(_) => Attempt::Failed(SubmitError::Unknown(late())),
        }
    }
}

fn late() -> Status {
    Status::new(
        Code::DeadlineExceeded,
        "the time for the submission is over",
    )
}

/// What a call that the transport has not taken means.
fn not_opened(CallError { status, .. }: CallError) -> Attempt {
    // Such as a message that is too large to be sent.
    if is_final(&status) || status.code == Code::ResourceExhausted {
        return Attempt::Failed(SubmitError::NotSent(status));
    }
    Attempt::NotSent(status)
}

fn confirmed(reply: Option<bytes::Bytes>) -> Attempt {
    match push_channel::SubmitReply::decode(reply.unwrap_or_default()) {
        Ok(reply) => Attempt::Submitted(reply.offset),
        Err(error) => {
            let status = Status::new(Code::Internal, error.to_string());
            Attempt::Failed(SubmitError::Unknown(status))
        }
    }
}

/// What a call means that was open and has failed.
fn not_confirmed(CallError { status, by }: CallError) -> Attempt {
    if by != EndedBy::Status {
        return Attempt::Failed(SubmitError::Unknown(status));
    }
    match status.code {
        Code::Unavailable => Attempt::NotSent(status),
        // Of these a service cannot say that it has not taken it.
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => Attempt::Failed(SubmitError::Unknown(status)),
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Attempt::Failed(SubmitError::Refused(status)),
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}
