//! The driver's handle of one consumer.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use headwater_proto::{Code, Status};
use headwater_rpc::{Metadata, SendError, Sender};
use tokio::sync::Notify;

/// The sending side of a consumer's call, which any turn may use.
pub(crate) struct Consumer {
    sender: Sender,
    /// What the call's window had no room for. The machine bounds it; with the window of a service's own server, it is
    /// always empty.
    unsent: Mutex<VecDeque<Bytes>>,
    blocked: Notify,
}

impl Consumer {
    pub(crate) fn new(sender: Sender) -> Self {
        Self {
            sender,
            unsent: Mutex::default(),
            blocked: Notify::new(),
        }
    }

    /// Sends messages, or keeps them until there is room. Under the channel's lock, which keeps them in order.
    pub(super) fn send(&self, messages: impl IntoIterator<Item = Bytes>) {
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        unsent.extend(messages);
        self.flush(&mut unsent);
    }

    fn flush(&self, unsent: &mut VecDeque<Bytes>) {
        match self.sender.try_send_all(unsent.iter().cloned()) {
            Ok(sent) => drop(unsent.drain(..sent)),
            Err(SendError::Blocked) => {}
            // Then its handler hears of it.
            Err(SendError::Ended) => unsent.clear(),
            Err(error) => {
                unsent.clear();
                let message = format!("a message could not be pushed: {error}");
                self.end(Err(Status::new(Code::ResourceExhausted, message)));
            }
        }
        if !unsent.is_empty() {
            self.blocked.notify_one();
        }
    }

    /// Sends what had no room, whenever there is some. Never done; for the one task that serves the consumer.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn keep_sending(&self) {
        loop {
            if self.is_blocked() {
                self.sender.writable().await;
                self.send([]);
            } else {
                self.blocked.notified().await;
            }
        }
    }

    fn is_blocked(&self) -> bool {
        let unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        !unsent.is_empty()
    }

    /// Ends the call; the first end counts.
    pub(crate) fn end(&self, outcome: Result<(), Status>) {
        // An ended call has told its peer already.
        let _ = self.sender.finish(outcome, Metadata::new());
    }

    pub(crate) const fn sender(&self) -> &Sender {
        &self.sender
    }
}
