//! What is submitted, and what is pushed.

use std::{fmt, time::Duration};

use headwater_proto::push_channel;
use headwater_rpc::Sender;
use prost::Message as _;

/// What a chat says of a message beside its sender, who stands in the message's own field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chat {
    /// The sender's e-mail address.
    pub email: String,
    /// What stands above the text.
    pub header: String,
    /// The text.
    pub text: String,
    /// When it was written, as the sender writes it.
    pub time: String,
}

/// A message for a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Submission {
    /// The message; in a chat, the name of its sender.
    pub message: String,
    /// The other words of a chat's message. Default: none, which is a plain message.
    pub chat: Option<Chat>,
    /// How long it may wait to be taken, in whole milliseconds. Default: `None`, as long as the channel lets it.
    pub expires_after: Option<Duration>,
}

impl From<&str> for Submission {
    fn from(message: &str) -> Self {
        String::from(message).into()
    }
}

impl From<String> for Submission {
    fn from(message: String) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }
}

impl Submission {
    pub(super) fn into_request(self, channel: String) -> push_channel::SubmitRequest {
        let Chat {
            email,
            header,
            text,
            time,
        } = self.chat.unwrap_or_default();
        let expires_after_ms = self.expires_after.map_or(0, |after| {
            // 0 would be the channel's default.
            u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1)
        });
        push_channel::SubmitRequest {
            channel,
            message: self.message,
            email,
            header,
            text,
            time,
            expires_after_ms,
        }
    }
}

/// A message that was pushed to a consumer, to be taken.
///
/// Dropped without that, it goes back, and to a consumer of the group again.
pub struct Received {
    /// The message; in a chat, the name of its sender.
    pub message: String,
    /// The other words, if it was submitted as a chat's.
    pub chat: Option<Chat>,
    /// Its place in the channel, from 1.
    pub offset: u64,
    /// Whether it was pushed before, to this consumer or another: it may have been seen to already.
    pub redelivered: bool,
    /// Says what becomes of it, on the call that brought it; `None` once that is said.
    sender: Option<Sender>,
}

impl Received {
    pub(super) fn new(reply: push_channel::MessageReply, sender: Sender) -> Self {
        let redelivered = reply.redelivered;
        let HistoryEntry {
            message,
            chat,
            offset,
        } = reply.into();
        Self {
            message,
            chat,
            offset,
            redelivered,
            sender: Some(sender),
        }
    }

    /// Takes it: it is not pushed to this group again, provided that the service hears of this. If the connection was lost
    /// since the message came, or is lost now, it comes again, marked.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message goes back.
    pub async fn take(mut self) {
        let Some(sender) = &self.sender else {
            return;
        };
        let taken = push_channel::consume_request::Request::Taken(self.range());
        // A call that is over has given it back already.
        let _ = sender.send(encode(taken)).await;
        self.sender = None;
    }

    fn range(&self) -> push_channel::Offsets {
        let range = push_channel::OffsetRange {
            from: self.offset,
            to: self.offset,
        };
        push_channel::Offsets {
            ranges: vec![range],
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            let returned = push_channel::consume_request::Request::Returned(self.range());
            // Without room for this, it goes back when the service has waited long enough.
            let _ = sender.try_send(encode(returned));
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("message", &self.message)
            .field("chat", &self.chat)
            .field("offset", &self.offset)
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}

pub(super) fn encode(request: push_channel::consume_request::Request) -> bytes::Bytes {
    let request = push_channel::ConsumeRequest {
        request: Some(request),
    };
    request.encode_to_vec().into()
}

/// A page of what a channel has had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// In the order in which they came.
    pub messages: Vec<HistoryEntry>,
    /// Where the next page begins; `None` when there is no more.
    pub next_offset: Option<u64>,
}

/// A message that a channel has had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The message; in a chat, the name of its sender.
    pub message: String,
    /// The other words, if it was submitted as a chat's.
    pub chat: Option<Chat>,
    /// Its place in the channel, from 1.
    pub offset: u64,
}

impl From<push_channel::HistoryReply> for History {
    fn from(reply: push_channel::HistoryReply) -> Self {
        Self {
            messages: reply.messages.into_iter().map(Into::into).collect(),
            next_offset: (reply.next_offset > 0).then_some(reply.next_offset),
        }
    }
}

impl From<push_channel::MessageReply> for HistoryEntry {
    fn from(reply: push_channel::MessageReply) -> Self {
        let chat = Chat {
            email: reply.email,
            header: reply.header,
            text: reply.text,
            time: reply.time,
        };
        Self {
            message: reply.message,
            chat: (chat != Chat::default()).then_some(chat),
            offset: reply.offset,
        }
    }
}
