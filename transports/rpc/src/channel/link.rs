//! A connection, as the channel holds it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use headwater_core::{balance::ConnectionId, call::Closed};
use headwater_proto::{Code, Status};
use tokio::sync::Notify;

use super::{Address, Connection, Unopened, usage::InUse};
use crate::transport::{Inbound, Outbound, Received, RequestHeaders};

/// Held by the picker and by each stream, so that the connection lives on until its last stream has ended.
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) address: Address,
    connection: Mutex<Option<Arc<dyn Connection>>>,
    broken: Notify,
}

/// Why there is no stream.
pub(super) enum NotOpened {
    /// Nothing was sent: another connection may take it.
    Again(Unopened),
    /// The channel was stopped meanwhile.
    Stopped,
}

impl Link {
    pub(super) fn new(id: ConnectionId, address: Address, connection: Arc<dyn Connection>) -> Self {
        Self {
            id,
            address,
            connection: Mutex::new(Some(connection)),
            broken: Notify::new(),
        }
    }

    fn connection(&self) -> Option<Arc<dyn Connection>> {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn open(
        &self,
        headers: RequestHeaders,
        outbound: Outbound,
    ) -> Result<Box<dyn Inbound>, NotOpened> {
        // Begun before the connection is looked at, so that nothing is missed.
        let broken = self.broken.notified();
        let Some(connection) = self.connection() else {
            return Err(NotOpened::Again(Unopened {
                status: Status::new(Code::Unavailable, "the connection was dropped"),
                headers,
                outbound,
            }));
        };
        tokio::select! {
            biased;
            opened = connection.open(headers, outbound) => opened.map_err(NotOpened::Again),
            () = broken => Err(NotOpened::Stopped),
        }
    }

    pub(super) fn begin_graceful_shutdown(&self) {
        if let Some(connection) = self.connection() {
            connection.begin_graceful_shutdown();
        }
    }

    /// Drops the connection whatever is open on it.
    pub(super) fn break_off(&self) {
        let connection = self.connection.lock();
        let connection = connection.unwrap_or_else(PoisonError::into_inner).take();
        drop(connection);
        self.broken.notify_waiters();
    }
}

/// The responses of a stream, which holds its connection and counts as a call.
pub(super) struct Stream {
    // First, because fields are dropped in this order.
    inbound: Box<dyn Inbound>,
    _link: Arc<Link>,
    _in_use: InUse,
}

impl Stream {
    pub(super) const fn new(inbound: Box<dyn Inbound>, link: Arc<Link>, in_use: InUse) -> Self {
        Self {
            inbound,
            _link: link,
            _in_use: in_use,
        }
    }
}

impl Inbound for Stream {
    fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Result<(), Closed>> {
        self.inbound.poll_received(cx, received)
    }
}
