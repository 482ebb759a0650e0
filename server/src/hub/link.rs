//! The driver's handle of one upstream's link.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use headwater_core::{hub::LinkKey, link::calls::service::ServiceCalls};
use headwater_proto::{
    Code, Status,
    v1::{self, service_frame::Frame},
};
use headwater_rpc::{Metadata, SendError, Sender, ServerConfig};
use prost::Message as _;
use tokio::sync::Notify;

use super::calls::Calls;

/// The sending side of a link, which any turn may use.
pub(crate) struct Link {
    sender: Sender,
    /// For a link in plain calls.
    calls: Option<Calls>,
    has_ended: AtomicBool,
    ended: Notify,
}

impl Link {
    /// One whose call carries the frames as they are.
    pub(crate) fn new(sender: Sender) -> Self {
        Self::of(sender, None)
    }

    /// One in plain calls: its own call carries the events, and what it is told passes through this machine.
    pub(crate) fn in_calls(sender: Sender, key: LinkKey, machine: ServiceCalls) -> Self {
        Self::of(sender, Some(Calls::new(key, machine)))
    }

    fn of(sender: Sender, calls: Option<Calls>) -> Self {
        Self {
            sender,
            calls,
            has_ended: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// What it has if it is one in plain calls.
    pub(super) const fn calls(&self) -> Option<&Calls> {
        self.calls.as_ref()
    }

    /// Sends the headers of the response.
    pub(super) fn send_headers(&self, metadata: Metadata) {
        // An ended call has told its peer already.
        let _ = self.sender.send_headers(metadata);
    }

    /// Sends frames of this hub. What an upstream has not settled or confirmed is bounded, so a full window means that it
    /// does not read: then the link is cut, and nothing is kept for it.
    pub(crate) fn send(&self, hub: &str, frames: Vec<Bytes>) {
        let sizes: Vec<_> = frames.iter().map(Bytes::len).collect();
        let sent = self.sender.try_send_all(frames);
        // Of the one that was refused, if any was.
        let tried_bytes = sizes.get(sent.unwrap_or(0)).copied().unwrap_or(0);
        if let Some(status) = failure(sent, sizes.len(), tried_bytes) {
            self.cut(hub, status);
        }
    }

    /// Ends the call, after what was sent before; the first end counts.
    pub(crate) fn end(&self, outcome: Result<(), Status>) {
        if self.begin_end() {
            // An ended call has told its peer already.
            let _ = self.sender.finish(outcome, Metadata::new());
        }
    }

    /// Ends the call at once if its peer does not read: else all that it was sent would wait for as long as that peer likes.
    fn cut(&self, hub: &str, status: Status) {
        if self.sender.is_ended() {
            return self.end(Err(status));
        }
        if !self.begin_end() {
            return;
        }
        tracing::warn!(hub, %status, "an upstream was cut");
        if status.code == Code::ResourceExhausted {
            self.sender.abort(status);
        } else {
            let _ = self.sender.finish(Err(status), Metadata::new());
        }
    }

    /// Whether this is the first end.
    fn begin_end(&self) -> bool {
        let is_first = !self.has_ended.swap(true, Ordering::AcqRel);
        if is_first {
            self.ended.notify_one();
        }
        is_first
    }

    /// Whether [`Link::end`] was called, or it was cut.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Waits until [`Link::has_ended`]; for the one task that reads.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Waits until the call is over, whoever ended it.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn call_ended(&self) {
        self.sender.ended().await;
    }
}

/// Why not all frames of a batch went. Those before the first that did not are sent, whatever became of it.
fn failure(sent: Result<usize, SendError>, count: usize, tried_bytes: usize) -> Option<Status> {
    let why = match sent {
        Ok(sent) if sent == count => return None,
        // A batch that stops half way does not say why; the size is looked at first, as the call does.
        Ok(_) if tried_bytes > ServerConfig::default().send_message_bytes_max => {
            SendError::TooLarge
        }
        Ok(_) => SendError::Blocked,
        Err(error) => error,
    };
    if why == SendError::Blocked {
        return Some(Status::new(
            Code::ResourceExhausted,
            "the upstream reads too slowly",
        ));
    }
    let message = if why == SendError::TooLarge {
        // The bounds on what an event is made of are there to rule this out.
        format!("a frame of {tried_bytes} bytes is over the limit of the service")
    } else {
        // The call is over, and its reader tells the hub.
        format!("a frame could not be sent: {why}")
    };
    Some(Status::new(Code::Internal, message))
}

pub(crate) fn encode(frame: Frame) -> Bytes {
    v1::ServiceFrame { frame: Some(frame) }
        .encode_to_vec()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 4 << 20;

    #[test]
    fn the_frame_that_was_refused_is_judged_and_no_other() {
        let why = |sent, count, tried_bytes| {
            failure(sent, count, tried_bytes).map(|status| (status.code, status.message))
        };
        assert_eq!(why(Ok(3), 3, MAX), None);
        let slow = Some((
            Code::ResourceExhausted,
            "the upstream reads too slowly".into(),
        ));
        assert_eq!(why(Ok(1), 3, MAX), slow, "half way, and it is small enough");
        assert_eq!(why(Err(SendError::Blocked), 3, 10), slow);
        let large = Some((
            Code::Internal,
            "a frame of 4194305 bytes is over the limit of the service".into(),
        ));
        assert_eq!(why(Ok(1), 3, MAX + 1), large, "half way");
        assert_eq!(why(Err(SendError::TooLarge), 3, MAX + 1), large);
    }
}
