//! The driver's handle of one upstream's link.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use headwater_proto::{
    Code, Status,
    v1::{self, service_frame::Frame},
};
use headwater_rpc::{Metadata, SendError, Sender};
use prost::Message as _;
use tokio::sync::Notify;

/// The sending side of a link, which any turn may use.
pub(crate) struct Link {
    sender: Sender,
    end: Mutex<Option<Result<(), Status>>>,
    ended: Notify,
}

impl Link {
    pub(crate) fn new(sender: Sender) -> Self {
        Self {
            sender,
            end: Mutex::new(None),
            ended: Notify::new(),
        }
    }

    /// Sends frames. What an upstream has not settled or confirmed is bounded, so a full window means that it does not
    /// read: then the link ends.
    pub(crate) fn send(&self, frames: Vec<Bytes>) {
        let count = frames.len();
        match self.sender.try_send_all(frames) {
            Ok(sent) if sent == count => {}
            Ok(_) | Err(SendError::Blocked) => {
                let status = Status::new(Code::ResourceExhausted, "the upstream reads too slowly");
                self.end(Err(status));
            }
            // The call is over, and its reader tells the hub. A frame over the limit is the same for the upstream.
            Err(_) => self.end(Err(Status::new(
                Code::Internal,
                "a frame could not be sent",
            ))),
        }
    }

    /// Ends the call; the first end counts.
    pub(crate) fn end(&self, outcome: Result<(), Status>) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            *end = Some(outcome.clone());
            // An ended call has told its peer already.
            let _ = self.sender.finish(outcome, Metadata::new());
            self.ended.notify_one();
        }
    }

    /// Waits until [`Link::end`]; for the one task that reads.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }
}

pub(crate) fn encode(frame: Frame) -> Bytes {
    v1::ServiceFrame { frame: Some(frame) }
        .encode_to_vec()
        .into()
}
