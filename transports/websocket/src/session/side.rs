//! What this end of a socket is: a client, a server, or both.

use std::sync::Arc;

use headwater_core::packet::{Role, Services};
use headwater_rpc::{Acceptor, IncomingCall, Outbound, Peer, RequestHeaders, Status};
use tokio::sync::oneshot;

use super::{Bell, Mailbox, ServiceList};
use crate::client::Shared;

/// Which roles this end of the socket has, and which one it is there for.
pub(crate) struct Side {
    pub(super) server: Option<ServerSide>,
    pub(super) client: Option<ClientSide>,
    /// This end has dialled: the socket is there for its client, and ends with it. One that was accepted is there for the
    /// server.
    pub(super) is_dialled: bool,
}

impl Side {
    /// The accepting end, which may call as well.
    pub(crate) const fn accepted(server: ServerSide, client: Option<ClientSide>) -> Self {
        Self {
            server: Some(server),
            client,
            is_dialled: false,
        }
    }

    /// The dialling end, which may serve as well.
    pub(crate) const fn dialled(client: ClientSide, server: Option<ServerSide>) -> Self {
        Self {
            server,
            client: Some(client),
            is_dialled: true,
        }
    }

    /// The one role that it has; `None`: both.
    pub(super) const fn role(&self) -> Option<Role> {
        match (&self.server, &self.client) {
            (Some(_), None) => Some(Role::Server),
            (None, Some(_)) => Some(Role::Client),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

/// Its peer opens calls.
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

/// This end opens calls.
pub(crate) struct ClientSide {
    pub(crate) shared: Arc<Shared>,
    /// Its calls send no request, and wait for responses that nobody has requested.
    pub(crate) awaits_unrequested: bool,
}

/// A call that is to be opened.
pub(crate) struct Opening {
    pub(crate) headers: RequestHeaders,
    pub(crate) outbound: Outbound,
    pub(crate) bell: Arc<Bell>,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// A response that is to be begun and that nobody has requested.
pub(crate) struct Unrequested {
    pub(crate) channel: u32,
    pub(crate) path: Arc<str>,
    /// Takes the call. Dropped, the socket is over.
    pub(crate) call: oneshot::Sender<Result<IncomingCall, Status>>,
}

impl ServerSide {
    /// What the server has now, if that has changed.
    pub(super) fn new_services(&mut self) -> Option<Arc<Services>> {
        let (version, services) = self.services.since(self.version)?;
        self.version = Some(version);
        Some(services)
    }
}
