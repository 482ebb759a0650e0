//! What a transport implements to be used by a channel.

use async_trait::async_trait;
use headwater_proto::Status;

use super::Address;
use crate::transport::{Inbound, Outbound, RequestHeaders};

/// Makes connections.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Connects, to the point where streams can be opened: TLS and what the protocol says first included. The channel
    /// bounds the time.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` with the reason, which the calls that fail for it are told.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, what was begun is given up.
    async fn connect(&self, address: &Address) -> Result<Box<dyn Connection>, Status>;
}

/// One connection. It works until it is dropped, whether or not anybody looks; what is open then is broken.
#[async_trait]
pub trait Connection: Send + Sync + 'static {
    /// Opens a stream, waiting while the peer allows no further one.
    ///
    /// # Errors
    ///
    /// The connection takes no streams any more, and nothing of this one was sent.
    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Unopened>;

    /// Waits until the connection takes no new streams, because the peer said so or it was lost, and says why. Streams
    /// that are open may still end regularly.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    async fn closed(&self) -> Status;

    /// Takes no new streams, and ends the connection when the open ones have ended. The channel then drops it with its
    /// last stream.
    fn begin_graceful_shutdown(&self);
}

/// A stream that was not opened.
pub struct Unopened {
    /// Why.
    pub status: Status,
    /// What it would have been opened with, for another connection.
    pub headers: RequestHeaders,
    /// What it would have sent.
    pub outbound: Outbound,
}
