//! The typed receiving half.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use headwater_core::call::Ended;
use headwater_proto::{Metadata, Status};

use super::codec::{Deserialize, Deserializer};
use crate::Receiver;

/// The messages of one direction of a call, in order. Also a [`Stream`].
///
/// Bytes that are no message of the type end the call with `INTERNAL`: a server tells the client, and a client cancels.
///
/// On the client, dropping this and every [`super::Sink`] of the call cancels it. On the server the rest of the request
/// is thrown away.
pub struct Messages<T> {
    receiver: Receiver,
    deserialize: Deserialize<T>,
    /// What is left of what came in one poll.
    batch: VecDeque<Bytes>,
    /// How many of it were taken.
    taken: usize,
    failed: Option<Status>,
}

impl<T> Messages<T> {
    /// What `C` makes of what `receiver` gets.
    pub fn new<C: Deserializer<T>>(receiver: Receiver) -> Self {
        Self {
            receiver,
            deserialize: C::deserialize,
            batch: VecDeque::new(),
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
        if self.batch.is_empty() {
            ready!(self.poll_filled(cx))?;
        }
        let next = self.batch.pop_front();
        Poll::Ready(next.map(|bytes| self.decode(bytes)).transpose())
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
        while let Some(bytes) = self.batch.pop_front() {
            batch.push(self.decode(bytes)?);
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
            return Poll::Ready(Err(status.clone()));
        }
        if self.batch.is_empty() {
            // Neither way moves anything: it is empty.
            let mut batch = Vec::from(mem::take(&mut self.batch));
            let polled = self.receiver.poll_next_batch(cx, &mut batch);
            self.batch = batch.into();
            ready!(polled)?;
            self.taken = 0;
        }
        Poll::Ready(Ok(self.batch.len()))
    }

    /// What these bytes, which are the next of what is there, say.
    fn decode(&mut self, bytes: Bytes) -> Result<T, Status> {
        self.taken += 1;
        (self.deserialize)(bytes).map_err(|error| {
            let status = error.receiving();
            self.receiver.fail(status.clone());
            self.batch.clear();
            self.taken = 0;
            self.failed = Some(status.clone());
            status
        })
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
            self.failed = Some(status.clone());
        }
        Poll::Ready(message.transpose())
    }
}

impl<T> fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}
