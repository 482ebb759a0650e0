//! What a session needs of a WebSocket, whichever end of it this is.

use std::{
    io,
    task::{Context, Poll},
};

use headwater_core::packet::{Arrivals, Run};
use headwater_proto::pw_rpc::{RpcPacket, StreamId};

/// A WebSocket that carries packets, one in each binary message. It answers pings and close frames by itself.
pub(crate) trait Line: Send {
    /// Adds the packets that one read found; none, if it found something else. What a poll adds is about as much as one
    /// read takes, 64 KiB, or one longer message.
    ///
    /// # Errors
    ///
    /// Nothing more comes, after what was added.
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        arrivals: &mut Arrivals,
    ) -> Poll<Result<(), Over>>;

    /// How many signs of life the peer has given: something was read, or was taken after nothing was taken for a while,
    /// which a peer behind a slow line may show alone.
    fn signs(&self) -> u64;

    /// Has a packet written next, as one binary message, and says how many bytes it has.
    fn push(&mut self, packet: &RpcPacket) -> usize;

    /// Has each of these messages written next, in a packet and a binary message of its own, and says how many bytes they
    /// have.
    fn push_run(&mut self, id: &StreamId, run: Run) -> usize {
        let packets = run.into_messages().map(|payload| RpcPacket {
            payload,
            ..id.packet()
        });
        packets.map(|packet| self.push(&packet)).sum()
    }

    /// Has the peer asked for a sign of life.
    fn push_ping(&mut self);

    /// Has the peer told that this is the end, unless it was or has said so itself.
    fn push_close(&mut self, code: u16, reason: &str);

    /// Whether nothing waits to be written.
    fn is_flushed(&self) -> bool;

    /// Writes what was pushed. Ready when all of it is with the system.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits, after the end was pushed and flushed, until the peer is gone too.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Why a socket brings nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Over {
    /// Why, for people.
    pub(crate) why: String,
    /// The close code to tell the peer, if it does not know.
    pub(crate) code: Option<u16>,
    /// The peer has left in peace (1001): whatever is open here has not come to a handler there.
    pub(crate) in_peace: bool,
}

impl Over {
    /// The peer said goodbye, or has gone without.
    pub(crate) fn gone(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            code: None,
            in_peace: false,
        }
    }

    /// This side ends it.
    pub(crate) fn with_code(code: u16, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            code: Some(code),
            in_peace: false,
        }
    }
}
