//! The connections of a hub, and the sets that they are in.

use alloc::{sync::Arc, vec::Vec};

use indexmap::IndexMap;

use super::{
    ConnectionKey,
    audience::{Audience, Receivers},
    connection::Connection,
    publish::AudienceKey,
};
use crate::hash::Hasher;

/// The connections of a hub by key, by id, by user, and by group.
#[derive(Debug)]
pub(super) struct Members<C> {
    connections: IndexMap<ConnectionKey, Connection<C>, Hasher>,
    ids: IndexMap<Arc<str>, ConnectionKey, Hasher>,
    everyone: Audience<C>,
    users: IndexMap<Arc<str>, Audience<C>, Hasher>,
    groups: IndexMap<Arc<str>, Audience<C>, Hasher>,
    hasher: Hasher,
}

impl<C: Clone> Members<C> {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self {
            connections: IndexMap::with_hasher(hasher),
            ids: IndexMap::with_hasher(hasher),
            everyone: Audience::new(hasher),
            users: IndexMap::with_hasher(hasher),
            groups: IndexMap::with_hasher(hasher),
            hasher,
        }
    }

    pub(super) fn add(&mut self, key: ConnectionKey, connection: Connection<C>) {
        let id = Arc::clone(&connection.id);
        assert!(
            self.connections.insert(key, connection).is_none(),
            "the driver mints a new key for each connection"
        );
        assert!(
            self.ids.insert(id, key).is_none(),
            "the driver mints a new id for each connection"
        );
    }

    /// Forgets a connection that is in no set any more.
    pub(super) fn remove(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.swap_remove(&key) {
            self.ids.swap_remove(&connection.id);
        }
    }

    pub(super) fn connection(&self, key: ConnectionKey) -> Option<&Connection<C>> {
        self.connections.get(&key)
    }

    pub(super) fn connection_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection<C>> {
        self.connections.get_mut(&key)
    }

    /// The connection of this id, whatever its phase.
    pub(super) fn key_of(&self, id: &str) -> Option<ConnectionKey> {
        self.ids.get(id).copied()
    }

    /// The connection of this id, if it is open.
    pub(super) fn open_key_of(&self, id: &str) -> Option<ConnectionKey> {
        self.key_of(id).filter(|key| self.everyone.contains(*key))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        self.everyone.len()
    }

    pub(super) fn all_keys(&self) -> Vec<ConnectionKey> {
        self.connections.keys().copied().collect()
    }

    /// Makes an open connection findable by its user and for everyone.
    pub(super) fn enter(&mut self, key: ConnectionKey) {
        self.everyone.insert(key);
        let user = self
            .connections
            .get(&key)
            .and_then(|connection| connection.user_id.clone());
        let Some(user) = user else { return };
        self.users
            .entry(user)
            .or_insert_with(|| Audience::new(self.hasher))
            .insert(key);
    }

    /// Takes a connection out of every set.
    pub(super) fn leave_all(&mut self, key: ConnectionKey) {
        self.everyone.remove(key);
        self.leave_all_groups(key);
        let user = self
            .connections
            .get(&key)
            .and_then(|connection| connection.user_id.clone());
        let Some(user) = user else { return };
        remove_from(&mut self.users, &user, key);
    }

    /// Whether that changed anything.
    pub(super) fn join(&mut self, key: ConnectionKey, group: &str) -> bool {
        let Some(connection) = self.connections.get_mut(&key) else {
            return false;
        };
        if connection.groups.contains(group) {
            return false;
        }
        let name = match self.groups.get_key_value(group) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(group),
        };
        connection.groups.insert(Arc::clone(&name));
        self.groups
            .entry(name)
            .or_insert_with(|| Audience::new(self.hasher))
            .insert(key)
    }

    /// Whether that changed anything.
    pub(super) fn leave(&mut self, key: ConnectionKey, group: &str) -> bool {
        let Some(connection) = self.connections.get_mut(&key) else {
            return false;
        };
        connection.groups.remove(group) && remove_from(&mut self.groups, group, key)
    }

    /// How many groups it was in.
    pub(super) fn leave_all_groups(&mut self, key: ConnectionKey) -> usize {
        let Some(connection) = self.connections.get_mut(&key) else {
            return 0;
        };
        let groups = core::mem::take(&mut connection.groups);
        for group in &groups {
            remove_from(&mut self.groups, group, key);
        }
        groups.len()
    }

    pub(super) fn group(&self, name: &str) -> Option<&Audience<C>> {
        self.groups.get(name)
    }

    pub(super) fn user(&self, id: &str) -> Option<&Audience<C>> {
        self.users.get(id)
    }

    pub(super) const fn everyone(&self) -> &Audience<C> {
        &self.everyone
    }

    /// The shared name of a group that has members.
    pub(super) fn group_key(&self, name: &str) -> Option<AudienceKey> {
        self.groups
            .get_key_value(name)
            .map(|(name, _)| AudienceKey::Group(Arc::clone(name)))
    }

    /// The shared name of a user who has connections.
    pub(super) fn user_key(&self, id: &str) -> Option<AudienceKey> {
        self.users
            .get_key_value(id)
            .map(|(id, _)| AudienceKey::User(Arc::clone(id)))
    }

    pub(super) fn audience(&self, key: &AudienceKey) -> Option<&Audience<C>> {
        match key {
            AudienceKey::Everyone => Some(&self.everyone),
            AudienceKey::Group(name) => self.groups.get(name),
            AudienceKey::User(id) => self.users.get(id),
        }
    }

    /// The shared lists of those who receive what this audience hears.
    pub(super) fn receivers(&mut self, key: &AudienceKey) -> &[Receivers<C>] {
        let audience = match key {
            AudienceKey::Everyone => Some(&mut self.everyone),
            AudienceKey::Group(name) => self.groups.get_mut(name),
            AudienceKey::User(id) => self.users.get_mut(id),
        };
        let Some(audience) = audience else { return &[] };
        let connections = &self.connections;
        audience.receivers(|key| {
            connections
                .get(&key)
                .map(|found| (found.protocol, found.handle.clone()))
        })
    }
}

/// Removes a member, and the set with its last one; whether that changed anything.
fn remove_from<C: Clone>(
    sets: &mut IndexMap<Arc<str>, Audience<C>, Hasher>,
    name: &str,
    key: ConnectionKey,
) -> bool {
    let Some(set) = sets.get_mut(name) else {
        return false;
    };
    let there = set.remove(key);
    if set.is_empty() {
        sets.swap_remove(name);
    }
    there
}
