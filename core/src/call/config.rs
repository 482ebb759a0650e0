//! What a call is bounded by.

use core::time::Duration;

use super::compression::{Encoding, Encodings};

/// How many messages a method has in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Shape {
    /// One request, one response.
    Unary,
    /// Many requests, one response.
    ClientStreaming,
    /// One request, many responses.
    ServerStreaming,
    /// Many of both. Every other shape is this one with a count.
    #[default]
    Bidirectional,
}

impl Shape {
    /// Whether the client sends exactly one message.
    pub const fn one_request(self) -> bool {
        matches!(self, Self::Unary | Self::ServerStreaming)
    }

    /// Whether the server sends exactly one message, if the call succeeds.
    pub const fn one_response(self) -> bool {
        matches!(self, Self::Unary | Self::ClientStreaming)
    }
}

/// A number of messages and of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Credit {
    /// Messages.
    pub messages: usize,
    /// Bytes of messages, without framing.
    pub bytes: usize,
}

impl Credit {
    /// One message of this many bytes.
    pub const fn message(bytes: usize) -> Self {
        Self { messages: 1, bytes }
    }

    pub(crate) const fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(crate) const fn less(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    pub(super) const fn is_zero(self) -> bool {
        self.messages == 0 && self.bytes == 0
    }

    /// Whether this fits beside what is used of a window. A message larger than the whole window fits an unused one,
    /// for else it could never go.
    pub(super) const fn fits(self, used: Self, window: Self) -> bool {
        if used.messages == 0 {
            return true;
        }
        used.messages.saturating_add(self.messages) <= window.messages
            && used.bytes.saturating_add(self.bytes) <= window.bytes
    }
}

/// No message is larger, whatever is configured: its length, with what compressing can add to it, fits the four bytes
/// that it has on the wire (`PROTOCOL-HTTP2.md`, "Message-Length").
pub(super) const MESSAGE_BYTES_MAX: usize = 0xff00_0000;

/// The bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallConfig {
    /// How many messages each direction has. Default: bidirectional.
    pub shape: Shape,
    /// How long the call may take from now on. Default: without bound. On the server this is the earlier of what
    /// `grpc-timeout` says and the server's own limit.
    pub timeout: Option<Duration>,
    /// The largest message that is sent, before it is compressed; a larger one is the caller's mistake. 0: only empty
    /// ones; over 4080 MiB is 4080 MiB, for the length has four bytes on the wire. Default: 4 MiB.
    pub send_message_bytes_max: usize,
    /// The largest message that is taken, after it was decompressed; a larger one ends the call with
    /// `RESOURCE_EXHAUSTED`. 0: only empty ones. Default: 4 MiB.
    pub receive_message_bytes_max: usize,
    /// What may wait for the transport; more is refused with [`super::SendError::Blocked`]. This much memory one call
    /// can hold in its sending direction. Default: 1024 messages, 256 KiB.
    pub send_window: Credit,
    /// What the peer may send before it is given credit back, on a transport that carries our credit; the call is
    /// ended if it sends more. `None` where the transport limits the peer itself (HTTP/2, HTTP/3). Default: `None`.
    pub receive_window: Option<Credit>,
    /// What messages are compressed with. The server does so only if the client takes it. Default: not at all.
    pub send_encoding: Encoding,
    /// What of the peer's compression is taken; the peer is told. Default: none.
    pub accepted_encodings: Encodings,
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            shape: Shape::Bidirectional,
            timeout: None,
            send_message_bytes_max: 4 << 20,
            receive_message_bytes_max: 4 << 20,
            send_window: Credit {
                messages: 1024,
                bytes: 256 << 10,
            },
            receive_window: None,
            send_encoding: Encoding::Identity,
            accepted_encodings: Encodings::NONE,
        }
    }
}
