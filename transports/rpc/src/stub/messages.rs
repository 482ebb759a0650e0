//! The typed receiving half.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use headwater_core::call::Ended;
use headwater_proto::{Metadata, Status};

use super::codec::{CodecError, DeserializeFrom, Deserializer};
use crate::{Receiver, run::take_prefix};

/// The messages of one direction of a call, in order. Also a [`Stream`].
///
/// Bytes that are no message of the type end the call with `INTERNAL`: a server tells the client, and a client cancels.
///
/// On the client, dropping this and every [`super::Sink`] of the call cancels it. On the server the rest of the request
/// is thrown away.
pub struct Messages<T> {
    receiver: Receiver,
    deserialize_from: DeserializeFrom<T>,
    /// What is left of what came in one poll, the last first: runs of messages, each behind its prefix.
    runs: Vec<Bytes>,
    /// What comes after the runs, the last first.
    batch: Vec<Bytes>,
    /// How many messages are left in both.
    left: usize,
    /// How many of what came in one poll were taken.
    taken: usize,
    failed: Option<Box<Status>>,
}

impl<T> Messages<T> {
    /// What `C` makes of what `receiver` gets.
    pub fn new<C: Deserializer<T>>(receiver: Receiver) -> Self {
        Self {
            receiver,
            deserialize_from: C::deserialize_from,
            runs: Vec::new(),
            batch: Vec::new(),
            left: 0,
            taken: 0,
            failed: None,
        }
    }

    /// The next message, waiting for it. `None` is the regular end: the client sends no more, or the server has ended
    /// the call with OK.
    ///
    /// # Errors
    ///
    /// What the call failed with, after all messages that came before. `INTERNAL` if a message cannot be decoded.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    /// [`Messages::message`] as a poll. One task at a time may wait.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Status>> {
        if self.left == 0 {
            ready!(self.poll_filled(cx))?;
        }
        Poll::Ready(self.next())
    }

    /// Appends all messages that are there, at least one, waiting for the first, and says how many; 0 is the end.
    ///
    /// # Errors
    ///
    /// As [`Messages::message`]. What was appended before the message that cannot be decoded, stays.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next_batch(&mut self, batch: &mut Vec<T>) -> Result<usize, Status> {
        let count = poll_fn(|cx| self.poll_filled(cx)).await?;
        batch.reserve(count);
        while let Some(message) = self.next()? {
            batch.push(message);
        }
        Ok(count)
    }

    /// Whether the message that [`Messages::message`] gave last came compressed.
    pub fn was_compressed(&self) -> bool {
        let last = self.taken.checked_sub(1);
        last.is_some_and(|last| self.receiver.was_compressed(last))
    }

    /// Client: waits for the initial metadata. `None` if the server ended the call without.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn headers(&mut self) -> Option<Metadata> {
        self.receiver.headers().await
    }

    /// Client: the trailing metadata, once the call is over.
    pub fn trailers(&self) -> Option<Metadata> {
        self.receiver.trailers()
    }

    /// How the call ended, once it is over.
    pub fn ended(&self) -> Option<Ended> {
        self.receiver.ended()
    }

    /// Waits until there is something to take, and says how much: 0 at the end.
    fn poll_filled(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Status>> {
        if let Some(status) = &self.failed {
            return Poll::Ready(Err(Status::clone(status)));
        }
        if self.left == 0 {
            let Self { runs, batch, .. } = self;
            self.left = ready!(self.receiver.poll_next_runs(cx, runs, batch))?;
            self.taken = 0;
            self.runs.reverse();
            self.batch.reverse();
        }
        Poll::Ready(Ok(self.left))
    }

    /// The next message of what is there.
    fn next(&mut self) -> Result<Option<T>, Status> {
        // Decoded into one place, and moved from there once: for small messages that is what costs.
        let decoded;
        let mut overrun = false;
        if let Some(run) = self.runs.last_mut() {
            let Some(length) = take_prefix(run) else {
                return Ok(None);
            };
            // There are no fewer.
            let rest = run.len().saturating_sub(length);
            decoded = (self.deserialize_from)(run, length);
            overrun = run.len() != rest;
            if run.is_empty() {
                self.runs.pop();
            }
        } else {
            let Some(mut message) = self.batch.pop() else {
                return Ok(None);
            };
            let length = message.len();
            decoded = (self.deserialize_from)(&mut message, length);
        }
        self.left -= 1;
        self.taken += 1;
        match decoded {
            Ok(message) if !overrun => Ok(Some(message)),
            Ok(_) => {
                let reason = "the codec took the bytes of another message";
                Err(self.undecodable(&CodecError::new(reason)))
            }
            Err(error) => Err(self.undecodable(&error)),
        }
    }

    fn undecodable(&mut self, error: &CodecError) -> Status {
        let status = error.receiving();
        self.receiver.fail(status.clone());
        self.runs.clear();
        self.batch.clear();
        (self.left, self.taken) = (0, 0);
        self.failed = Some(Box::new(status.clone()));
        status
    }
}

/// Ends after the first error.
impl<T> Stream for Messages<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed.is_some() {
            return Poll::Ready(None);
        }
        let message = ready!(self.poll_message(cx));
        if let Err(status) = &message {
            self.failed = Some(Box::new(status.clone()));
        }
        Poll::Ready(message.transpose())
    }
}

impl<T> fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}
