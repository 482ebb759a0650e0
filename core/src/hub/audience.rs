//! Who hears something: a group, a user's connections, or the whole hub; all the same kind of set.

use alloc::{sync::Arc, vec::Vec};

use headwater_proto::subprotocol::Protocol;
use indexmap::IndexSet;

use super::ConnectionKey;
use crate::hash::Hasher;

/// One connection among those that a run goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver<C> {
    /// Which connection it is.
    pub key: ConnectionKey,
    /// The driver's handle of it.
    pub handle: C,
}

/// Those members of an audience who speak one protocol.
#[derive(Debug)]
pub(super) struct Receivers<C> {
    pub(super) protocol: Protocol,
    pub(super) list: Arc<[Receiver<C>]>,
}

/// A set of connections, and the shared list of receivers made from it.
#[derive(Debug)]
pub(super) struct Audience<C> {
    members: IndexSet<ConnectionKey, Hasher>,
    /// Made by the first publish after a change of membership. One list for each protocol that is present.
    receivers: Option<Vec<Receivers<C>>>,
}

impl<C: Clone> Audience<C> {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self {
            members: IndexSet::with_hasher(hasher),
            receivers: None,
        }
    }

    /// Whether that changed anything.
    pub(super) fn insert(&mut self, key: ConnectionKey) -> bool {
        let new = self.members.insert(key);
        if new {
            self.receivers = None;
        }
        new
    }

    /// Whether that changed anything.
    pub(super) fn remove(&mut self, key: ConnectionKey) -> bool {
        let there = self.members.swap_remove(&key);
        if there {
            self.receivers = None;
        }
        there
    }

    pub(super) fn contains(&self, key: ConnectionKey) -> bool {
        self.members.contains(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// In an order that depends on the history of the set alone.
    pub(super) fn members(&self) -> impl Iterator<Item = ConnectionKey> + '_ {
        self.members.iter().copied()
    }

    /// The receivers by protocol. `describe` gives a member's protocol and handle.
    pub(super) fn receivers(
        &mut self,
        describe: impl Fn(ConnectionKey) -> Option<(Protocol, C)>,
    ) -> &[Receivers<C>] {
        let members = &self.members;
        self.receivers
            .get_or_insert_with(|| by_protocol(members.iter().copied(), describe))
    }
}

fn by_protocol<C>(
    members: impl Iterator<Item = ConnectionKey>,
    describe: impl Fn(ConnectionKey) -> Option<(Protocol, C)>,
) -> Vec<Receivers<C>> {
    let mut lists: Vec<(Protocol, Vec<Receiver<C>>)> = Vec::new();
    for key in members {
        let Some((protocol, handle)) = describe(key) else {
            continue;
        };
        let receiver = Receiver { key, handle };
        match lists.iter_mut().find(|(of, _)| *of == protocol) {
            Some((_, list)) => list.push(receiver),
            None => lists.push((protocol, Vec::from([receiver]))),
        }
    }
    lists
        .into_iter()
        .map(|(protocol, list)| Receivers {
            protocol,
            list: list.into(),
        })
        .collect()
}
