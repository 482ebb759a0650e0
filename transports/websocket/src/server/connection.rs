//! A socket that was accepted, as the application has it: it may call there too.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use headwater_rpc::{
    ClientTransport, Inbound, IncomingCall, Outbound, Peer, RequestHeaders, Status,
};
use http::HeaderMap;
use tokio::sync::watch;

use crate::client::Shared;

/// What is told of a socket that was accepted.
pub(crate) type OnConnection = Arc<dyn Fn(AcceptedConnection) + Send + Sync>;

/// A socket that a server has accepted, and that speaks pw_rpc's packets: both roles are on it (pw_rpc's `ClientServer`),
/// and the ids of their calls are apart. Clones share it. It does not hold the socket open.
#[derive(Clone)]
pub struct AcceptedConnection {
    shared: Arc<Shared>,
    peer: Peer,
    headers: Arc<HeaderMap>,
}

impl AcceptedConnection {
    pub(super) fn new(shared: Arc<Shared>, peer: Peer, headers: HeaderMap) -> Self {
        Self {
            shared,
            peer,
            headers: Arc::new(headers),
        }
    }

    /// Who has dialled.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The headers of the handshake, for who asks there who it is.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What carries calls to who has dialled, for a [`Client`](headwater_rpc::Client) of its own. They go on channel 1, on
    /// which Headwater's own clients are; one that does not serve does not answer them, so give them a time limit.
    pub fn client(&self) -> SocketClient {
        SocketClient {
            shared: Arc::clone(&self.shared),
            stopping: watch::Sender::new(false),
        }
    }

    /// Begins a response of this method that nobody has requested on this socket, such as the answer to a call from before
    /// a restart. The client takes it for the answer to a call of the method that it has on this channel, or waits for
    /// (pw_rpc's `open`); if there is none, it refuses it, which cancels the call here. No handler of the method starts: the
    /// call is yours, and ends when you finish or drop it.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` if the server does not have the method, `ALREADY_EXISTS` if such a response of it is open on this
    /// channel, `UNAVAILABLE` if the channel is 0 or one too many, the server is stopping, or the socket is over.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the call, if it has begun, is ended.
    pub async fn respond_unrequested(
        &self,
        channel: u32,
        path: impl Into<Arc<str>>,
    ) -> Result<IncomingCall, Status> {
        self.shared.respond_unrequested(channel, path.into()).await
    }
}

/// Headers may hold what nobody is to read in a log.
impl fmt::Debug for AcceptedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedConnection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Calls on one socket that is there already. As soon as its peer takes no more, they fail with `UNAVAILABLE`; once it is
/// over, [`Client::connect`](headwater_rpc::Client::connect) returns that, after the last call, for there is no other socket.
/// A client that stops leaves the socket open.
pub struct SocketClient {
    shared: Arc<Shared>,
    stopping: watch::Sender<bool>,
}

#[async_trait]
impl ClientTransport for SocketClient {
    async fn connect(&self) -> Result<(), Status> {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            // The sender is part of `self`, so it cannot be gone.
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            () = self.shared.left() => {}
        }
        Err(self.shared.closed().await)
    }

    fn begin_graceful_shutdown(&self) {
        self.stopping.send_replace(true);
    }

    async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, Status> {
        match self.shared.open(headers, outbound) {
            Ok(inbound) => Ok(Box::new(inbound)),
            Err(_) => Err(self.shared.closed().await),
        }
    }
}

impl fmt::Debug for SocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketClient").finish_non_exhaustive()
    }
}
