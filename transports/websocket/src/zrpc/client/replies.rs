//! The replies of a call, one after the other.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use headwater_rpc::{Receiver, Sender, Status};

use super::proxy::BlobCodec;

/// The replies of a call, as a stream of blobs: read until it ends. Only as much is read as is asked for, so that who reads
/// slowly holds the method back. Dropped, it cancels the call.
pub struct Replies {
    /// Held so that the call is not cancelled.
    _sender: Sender,
    receiver: Receiver,
    /// What has come.
    blobs: VecDeque<Bytes>,
    codec: Option<Arc<dyn BlobCodec>>,
    over: bool,
}

impl Replies {
    pub(super) fn new(
        (sender, receiver): (Sender, Receiver),
        codec: Option<Arc<dyn BlobCodec>>,
    ) -> Self {
        Self {
            _sender: sender,
            receiver,
            blobs: VecDeque::new(),
            codec,
            over: false,
        }
    }

    /// The next reply; `None` after the last one of a call that went well, or after its error.
    ///
    /// # Errors
    ///
    /// How the call failed: what the server said, `UNAVAILABLE` for a connection that was lost, `DEADLINE_EXCEEDED` when
    /// its time was over; or what the codec of the method says.
    ///
    /// # Cancel safety
    ///
    /// No reply is lost.
    pub async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        std::future::poll_fn(|cx| self.poll_reply(cx)).await
    }

    /// All that is still to come.
    ///
    /// # Errors
    ///
    /// As [`Replies::next`]; what came before is lost then.
    ///
    /// # Cancel safety
    ///
    /// Not safe: what was read is lost.
    pub async fn all(mut self) -> Result<Vec<Bytes>, Status> {
        let mut all = Vec::new();
        while let Some(reply) = self.next().await {
            all.push(reply?);
        }
        Ok(all)
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            if let Some(blob) = self.blobs.pop_front() {
                let reply = match &self.codec {
                    None => Ok(blob),
                    Some(codec) => codec.decode(blob),
                };
                return Poll::Ready(Some(reply));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let mut batch = Vec::new();
            match ready!(self.receiver.poll_next_batch(cx, &mut batch)) {
                Ok(0) => self.over = true,
                Ok(_) => self.blobs = batch.into(),
                Err(error) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(error.status)));
                }
            }
        }
    }
}

impl Stream for Replies {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_reply(cx)
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("waiting", &self.blobs.len())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
