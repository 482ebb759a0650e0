//! The side that submits.

use std::{fmt, sync::Arc, time::Duration};

use headwater_proto::{Code, Status};
use prost::Message as _;
use tokio::{
    sync::{mpsc, mpsc::error::TrySendError, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    Submission,
    client::Connection,
    producing::{Producing, Submitting, UNDER_WAY_MAX},
};

/// Submits messages to one channel. Any number of submissions may be under way at once.
///
/// A producer and its clones share one call, on which messages go out and answers come back, both several at a time: make
/// one for a channel and clone it. The call begins with the first submission and is made again whenever it was lost; it ends
/// when the last clone is dropped. A task of the runtime that the client was made in holds it.
#[derive(Clone)]
pub struct Producer {
    channel: Arc<str>,
    submit_timeout: Duration,
    submissions: mpsc::Sender<Submitting>,
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

impl Producer {
    pub(super) fn new(connection: Arc<Connection>, channel: String) -> Self {
        let channel: Arc<str> = channel.into();
        let submit_timeout = connection.config.submit_timeout;
        let runtime = connection.runtime.clone();
        let (submissions, incoming) = mpsc::channel(UNDER_WAY_MAX);
        let producing = Producing::new(connection, Arc::clone(&channel), incoming);
        runtime.spawn(producing.run());
        Self {
            channel,
            submit_timeout,
            submissions,
        }
    }

    /// The channel's name.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Adds a message to the channel, and says its place there, from 1. It needs no consumer.
    ///
    /// Messages of a producer and its clones go into the channel in the order in which their submissions were first polled.
    /// One that is refused holds up no other. 1,024 are under way at most, and as many wait to be; more wait for that here,
    /// in no order.
    ///
    /// It is tried again for as long as no service had it: while there is no connection, or the service ends the call with
    /// `UNAVAILABLE`, which it says of what it did not take. (A proxy may say that of messages that were taken; then there
    /// are two of each.) Once it was sent and the call broke, it is not. For how long says
    /// [`ChannelConfig::submit_timeout`](super::ChannelConfig::submit_timeout), from the first poll on; a call on which
    /// nothing is answered for so long is given up.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message may be in the channel or not.
    pub async fn submit(&self, message: impl Into<Submission>) -> Result<u64, SubmitError> {
        let request = message.into().into_request(String::from(&*self.channel));
        let until = Instant::now() + self.submit_timeout;
        let (answer, answered) = oneshot::channel();
        let submitting = Submitting::new(request.encode_to_vec().into(), until, answer);
        match self.submissions.try_send(submitting) {
            Ok(()) => {}
            Err(TrySendError::Full(submitting)) => {
                match timeout_at(until, self.submissions.reserve()).await {
                    Ok(Ok(room)) => room.send(submitting),
                    Ok(Err(_)) => return Err(SubmitError::NotSent(stopped())),
                    Err(_) => return Err(SubmitError::NotSent(late())),
                }
            }
            Err(TrySendError::Closed(_)) => return Err(SubmitError::NotSent(stopped())),
        }
        // Without an answer, its task has gone with its runtime.
        let answer = answered.await;
        answer.unwrap_or_else(|_| Err(SubmitError::Unknown(stopped())))
    }
}

fn stopped() -> Status {
    Status::new(
        Code::Cancelled,
        "the runtime of the client is shutting down",
    )
}

pub(super) fn late() -> Status {
    Status::new(
        Code::DeadlineExceeded,
        "the time for the submission is over",
    )
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}
