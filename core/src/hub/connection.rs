//! What a hub knows of one client connection.

use alloc::{boxed::Box, collections::BTreeSet, string::String, sync::Arc, vec::Vec};

use bytes::Bytes;
use headwater_proto::{subprotocol::Protocol, v1};

use super::{ack_ids::AckIds, lane::Lane, permission::Permissions};

/// Names a connection for the machines and their driver. Minted by the driver, never used twice in one hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// A client that wants to connect, after its token was found good.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewConnection {
    /// The name of the connection that clients and applications see: unguessable and URL-safe. Minted by the driver.
    pub id: String,
    /// The user of the token; `None` is anonymous.
    pub user_id: Option<String>,
    /// The roles of the token.
    pub roles: Vec<String>,
    /// The groups of the token: the connection is a member from the start.
    pub groups: Vec<String>,
    /// What simple frames become, should the connection speak no subprotocol of ours.
    pub simple_mode: SimpleMode,
    /// What the application is shown of the handshake: claims, query, headers, offered subprotocols.
    pub handshake: v1::Connect,
}

/// What the frames of a client without a subprotocol are (`webpubsub_mode`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SimpleMode {
    /// Each is a user event named `message`.
    #[default]
    SendEvent,
    /// Each is published to this group, for which the client needs the permission.
    SendToGroup(String),
}

/// Where a connection stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// Its `connect` is not answered yet.
    Connecting(Box<Pending>),
    /// Let in; the driver has not reported the WebSocket open yet.
    Admitted { groups: Vec<String> },
    /// Connected.
    Open,
    /// Gone; the entry stays until the events of its lane are done with.
    Departed,
}

/// What is kept while `connect` waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pending {
    pub(super) groups: Vec<String>,
    pub(super) offered: Vec<String>,
    pub(super) simple_mode: SimpleMode,
}

/// The entry of one connection.
#[derive(Debug)]
pub(super) struct Connection<C> {
    pub(super) id: Arc<str>,
    pub(super) handle: C,
    pub(super) protocol: Protocol,
    /// As it was negotiated; empty for none.
    pub(super) subprotocol: String,
    pub(super) user_id: Option<Arc<str>>,
    pub(super) permissions: Permissions,
    pub(super) groups: BTreeSet<Arc<str>>,
    /// The application's own; opaque here.
    pub(super) state: Bytes,
    pub(super) phase: Phase,
    pub(super) ack_ids: AckIds,
    pub(super) lane: Lane,
    /// The driver was told to read no more from this client for now.
    pub(super) paused: bool,
}

impl<C> Connection<C> {
    pub(super) fn new(new: NewConnection, handle: C) -> (Self, v1::Connect) {
        let mut permissions = Permissions::default();
        for role in &new.roles {
            permissions.add_role(role);
        }
        let pending = Pending {
            groups: new.groups,
            offered: new.handshake.subprotocols.clone(),
            simple_mode: new.simple_mode,
        };
        let connection = Self {
            id: new.id.into(),
            handle,
            protocol: Protocol::Simple,
            subprotocol: String::new(),
            user_id: new.user_id.map(Into::into),
            permissions,
            groups: BTreeSet::new(),
            state: Bytes::new(),
            phase: Phase::Connecting(Box::new(pending)),
            ack_ids: AckIds::default(),
            lane: Lane::default(),
            paused: false,
        };
        (connection, new.handshake)
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether nothing holds the entry any more.
    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Departed && self.lane.is_empty()
    }

    /// What [`Connection::context`] adds to every event.
    pub(super) fn context_bytes(&self) -> usize {
        let user_id = self.user_id.as_deref().map_or(0, str::len);
        user_id + self.subprotocol.len() + self.state.len()
    }

    pub(super) fn context(&self) -> v1::ConnectionContext {
        v1::ConnectionContext {
            user_id: self.user_id.as_deref().map(Into::into),
            subprotocol: self.subprotocol.clone(),
            state: self.state.clone(),
        }
    }
}
