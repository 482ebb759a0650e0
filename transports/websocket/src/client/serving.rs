//! The server's role on sockets that a client has dialled.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use headwater_rpc::{Acceptor, Code, Peer, ServerTransport, Status, channel::Address};
use tokio::sync::watch;

use crate::session::{ServerSide, ServiceList};

/// Serves on the sockets of a [`WebSocketClient`](super::WebSocketClient), for a [`Server`](headwater_rpc::Server): both
/// roles are then on them (pw_rpc's `ClientServer`), and the ids of their calls are apart. For who cannot be dialled, as
/// behind a NAT.
///
/// It makes no connections: those are the client's, which has one with its first call, or when its channel is woken
/// ([`Channel::wake`](headwater_rpc::channel::Channel::wake)). From the moment that this is made, sockets wait for the
/// server to serve before they carry calls; one that was there before serves nothing. A socket that the client leaves, idle
/// or at its end, takes no new calls, and ends with those that are open. Of its [`Peer`] a handler knows the address that was
/// dialled, and no certificates.
pub struct DialledServer {
    serving: Arc<Serving>,
    /// The first of its client, which is the one that serves.
    is_first: bool,
}

/// What a client's connections know of the server on them.
pub(crate) struct Serving {
    phase: watch::Sender<Phase>,
}

#[derive(Clone)]
enum Phase {
    /// There is none.
    Absent,
    /// There is one, which does not listen yet.
    Expected,
    Listening(Listening),
    Stopped,
}

#[derive(Clone)]
struct Listening {
    acceptor: Acceptor,
    services: Arc<ServiceList>,
}

impl Serving {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Absent),
        })
    }

    /// The server on the connections from now on.
    pub(super) fn server(self: &Arc<Self>) -> DialledServer {
        let expected = |phase: &Phase| matches!(phase, Phase::Absent).then_some(Phase::Expected);
        DialledServer {
            is_first: self.change(expected),
            serving: Arc::clone(self),
        }
    }

    /// The server's side of a new connection to this address, if anybody serves.
    pub(super) async fn side(&self, address: &Address) -> Option<ServerSide> {
        let mut phase = self.phase.subscribe();
        let phase = phase.wait_for(|phase| !matches!(phase, Phase::Expected));
        // The sender is part of `self`, so it cannot be gone.
        let phase = phase.await.ok()?.clone();
        let Phase::Listening(Listening { acceptor, services }) = phase else {
            return None;
        };
        let peer = Peer::new(address.to_string(), "");
        Some(ServerSide::new(acceptor, peer, services))
    }

    /// Waits until the server refuses new calls.
    pub(super) async fn stopping(&self) {
        let mut phase = self.phase.subscribe();
        let _ = phase
            .wait_for(|phase| matches!(phase, Phase::Stopped))
            .await;
    }

    /// Changes the phase to what `next` says, and tells whether it did.
    fn change(&self, next: impl FnOnce(&Phase) -> Option<Phase>) -> bool {
        self.phase.send_if_modified(|phase| {
            let next = next(phase);
            let is_changed = next.is_some();
            if let Some(next) = next {
                *phase = next;
            }
            is_changed
        })
    }
}

#[async_trait]
impl ServerTransport for DialledServer {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let services = Arc::new(ServiceList::new(acceptor.clone()));
        let listening = Phase::Listening(Listening { acceptor, services });
        let begins = |phase: &Phase| matches!(phase, Phase::Expected).then_some(listening);
        if !self.is_first || !self.serving.change(begins) {
            let message = "it listened before, or another serves on these sockets";
            return Err(Status::new(Code::FailedPrecondition, message));
        }
        self.serving.stopping().await;
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        if self.is_first {
            self.serving.change(|_| Some(Phase::Stopped));
        }
    }
}

impl Drop for DialledServer {
    /// No socket waits for a server that never comes.
    fn drop(&mut self) {
        if self.is_first {
            self.begin_graceful_shutdown();
        }
    }
}

impl fmt::Debug for DialledServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialledServer").finish_non_exhaustive()
    }
}
