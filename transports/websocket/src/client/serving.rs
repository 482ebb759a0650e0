//! The server's role on sockets that a client has dialled.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use headwater_rpc::{Acceptor, Code, Peer, ServerTransport, Status, channel::Address};
use tokio::sync::watch;

use crate::session::{ServerSide, ServiceList};

/// Serves on the sockets of a [`WebSocketClient`](super::WebSocketClient), for a [`Server`](headwater_rpc::Server): both
/// roles are then on them (pw_rpc's `ClientServer`), and the ids of their calls are apart. For who cannot be dialled, as
/// behind a NAT.
///
/// It serves on sockets that come up while it listens, so let the server serve before the client connects. It makes no
/// connections: those are the client's, which has one with its first call, or when its channel is woken
/// ([`Channel::wake`](headwater_rpc::channel::Channel::wake)); and a socket that the client leaves, idle or at its end, ends
/// with the calls that are open there, and takes no new ones.
pub struct DialledServer {
    serving: Arc<Serving>,
}

/// What a client's connections know of the server on them.
#[derive(Default)]
pub(crate) struct Serving {
    server: OnceLock<Listening>,
    stopping: watch::Sender<bool>,
}

struct Listening {
    acceptor: Acceptor,
    services: Arc<ServiceList>,
}

impl DialledServer {
    pub(super) const fn new(serving: Arc<Serving>) -> Self {
        Self { serving }
    }
}

impl Serving {
    /// The server's side of a new connection to this address, if it listens.
    pub(super) fn side(&self, address: &Address) -> Option<ServerSide> {
        let listening = self.server.get()?;
        if *self.stopping.borrow() {
            return None;
        }
        let peer = Peer::new(address.to_string(), "");
        let services = Arc::clone(&listening.services);
        Some(ServerSide::new(listening.acceptor.clone(), peer, services))
    }

    /// Waits until the server refuses new calls.
    pub(super) async fn stopping(self: Arc<Self>) {
        let mut stopping = self.stopping.subscribe();
        // The sender is part of `self`, so it cannot be gone.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

#[async_trait]
impl ServerTransport for DialledServer {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let services = Arc::new(ServiceList::new(acceptor.clone()));
        let listening = Listening { acceptor, services };
        if self.serving.server.set(listening).is_err() {
            return Err(Status::new(Code::FailedPrecondition, "it listened before"));
        }
        Arc::clone(&self.serving).stopping().await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.serving.stopping.send_replace(true);
    }
}

impl fmt::Debug for DialledServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialledServer").finish_non_exhaustive()
    }
}
