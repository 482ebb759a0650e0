//! What a server's session and a client's do differently.

use std::sync::Arc;

use headwater_core::packet::Services;
use headwater_rpc::{Acceptor, Outbound, Peer, RequestHeaders};

use super::{Bell, Mailbox, ServiceList};
use crate::client::Shared;

/// Which end of the socket this is.
pub(crate) enum Side {
    Server(ServerSide),
    Client(ClientSide),
}

/// The accepting end: its peer opens calls.
pub(crate) struct ServerSide {
    pub(crate) acceptor: Acceptor,
    pub(crate) peer: Peer,
    pub(crate) services: Arc<ServiceList>,
    /// Which version of the services the machine has.
    pub(super) version: Option<u64>,
}

impl ServerSide {
    pub(crate) const fn new(acceptor: Acceptor, peer: Peer, services: Arc<ServiceList>) -> Self {
        Self {
            acceptor,
            peer,
            services,
            version: None,
        }
    }
}

/// The dialling end: this side opens calls.
pub(crate) struct ClientSide {
    pub(crate) shared: Arc<Shared>,
}

/// A call that is to be opened.
pub(crate) struct Opening {
    pub(crate) headers: RequestHeaders,
    pub(crate) outbound: Outbound,
    pub(crate) bell: Arc<Bell>,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl ServerSide {
    /// What the server has now, if that has changed.
    pub(super) fn new_services(&mut self) -> Option<Arc<Services>> {
        let (version, services) = self.services.since(self.version)?;
        self.version = Some(version);
        Some(services)
    }
}
