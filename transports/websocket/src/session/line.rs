//! What a session needs of a WebSocket, whichever end of it this is.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};

/// A WebSocket that carries binary messages. It answers pings and close frames by itself.
pub(crate) trait Line: Send {
    /// Appends the binary messages that one read found; none, if it found something else. What a poll appends is about as
    /// much as one read takes, 64 KiB, or one longer message.
    ///
    /// # Errors
    ///
    /// Nothing more comes.
    fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        messages: &mut Vec<Bytes>,
    ) -> Poll<Result<(), Over>>;

    /// How often something was read so far. Changes with every sign of life of the peer.
    fn reads(&self) -> u64;

    /// Has one binary message of this many bytes written next: those that `encode` writes.
    fn push(&mut self, len: usize, encode: impl FnOnce(&mut Sink<'_>));

    /// Has the peer asked for a sign of life.
    fn push_ping(&mut self);

    /// Has the peer told that this is the end, unless it was or has said so itself.
    fn push_close(&mut self, code: u16, reason: &str);

    /// Writes what was pushed. Ready when all of it is with the system.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits, after the end was pushed and flushed, until the peer is gone too.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Where a message is encoded to.
pub(crate) type Sink<'a> = dyn BufMut + 'a;

/// Why a socket brings nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Over {
    /// Why, for people.
    pub(crate) why: String,
    /// The close code to tell the peer, if it does not know.
    pub(crate) code: Option<u16>,
}

impl Over {
    /// The peer said goodbye, or has gone without.
    pub(crate) fn gone(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { why, code: None }
    }

    /// This side ends it.
    pub(crate) fn with_code(code: u16, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            code: Some(code),
        }
    }
}
