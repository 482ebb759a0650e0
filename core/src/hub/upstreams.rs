//! The upstreams of a hub, and which of them an event goes to.

use alloc::{string::String, vec::Vec};
use core::hash::BuildHasher;

use headwater_proto::{Code, Status, v1};
use indexmap::IndexMap;

use super::registration::{Filter, Registration, RegistrationKey};
use crate::hash::Hasher;

/// Names a link for the machines and their driver. Minted by the driver, never used twice in one hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey(pub u64);

/// Apps that one hub knows; one more is refused.
const APPS_MAX: usize = 64;
/// Upstreams that one hub has at a time; one more is refused.
const REGISTRATIONS_MAX: usize = 1024;
/// User-event names in one filter.
const FILTER_NAMES_MAX: usize = 256;

/// What an event is, as far as filters look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Connect,
    Connected,
    Message(&'a str),
    Disconnected,
}

/// Where an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    To(RegistrationKey),
    /// An app wants it and none of its upstreams is there: it may come back.
    Wait,
    /// No app wants it.
    Nobody,
}

/// Upstreams that share the work.
#[derive(Debug)]
struct App {
    name: String,
    /// What its last upstream wanted: outlives them all, so that a hub whose guard is away fails closed.
    filter: Filter,
}

/// The upstreams of a hub.
#[derive(Debug)]
pub(super) struct Upstreams<L> {
    /// In the order in which they first registered; never shrinks.
    apps: Vec<App>,
    registrations: IndexMap<RegistrationKey, Registration<L>, Hasher>,
    links: IndexMap<LinkKey, RegistrationKey, Hasher>,
    last_key: u64,
    hasher: Hasher,
    /// Nobody gets in without an answer to `connect`: configured so, or an upstream has once stood guard.
    require_connect: bool,
}

impl<L> Upstreams<L> {
    pub(super) fn new(hasher: Hasher, require_connect: bool) -> Self {
        Self {
            apps: Vec::new(),
            registrations: IndexMap::with_hasher(hasher),
            links: IndexMap::with_hasher(hasher),
            last_key: 0,
            hasher,
            require_connect,
        }
    }

    pub(super) fn register(
        &mut self,
        key: LinkKey,
        link: L,
        register: v1::Register,
    ) -> Result<(), Status> {
        assert!(
            !self.links.contains_key(&key),
            "the driver mints a new key for each link"
        );
        let names = register
            .events
            .as_ref()
            .map_or(0, |filter| filter.messages.len());
        if names > FILTER_NAMES_MAX {
            return Err(Status::new(
                Code::InvalidArgument,
                "the filter names more than 256 events",
            ));
        }
        if self.registrations.len() >= REGISTRATIONS_MAX {
            return Err(Status::new(
                Code::ResourceExhausted,
                "the hub has 1024 upstreams already",
            ));
        }
        let app = self.app(&register.app)?;
        self.last_key += 1;
        let registration = RegistrationKey(self.last_key);
        let entry = Registration::new(link, app, register);
        self.apps[app].filter = entry.filter.clone();
        self.require_connect |= entry.filter.wants(Kind::Connect);
        self.registrations.insert(registration, entry);
        self.links.insert(key, registration);
        Ok(())
    }

    /// The place of the app of this name; a new one if it is not known.
    fn app(&mut self, name: &str) -> Result<usize, Status> {
        if let Some(place) = self.apps.iter().position(|app| app.name == name) {
            return Ok(place);
        }
        if self.apps.len() >= APPS_MAX {
            return Err(Status::new(
                Code::ResourceExhausted,
                "the hub knows 64 apps already",
            ));
        }
        self.apps.push(App {
            name: name.into(),
            filter: Filter::new(None),
        });
        Ok(self.apps.len() - 1)
    }

    pub(super) fn of_link(
        &mut self,
        link: LinkKey,
    ) -> Option<(RegistrationKey, &mut Registration<L>)> {
        let key = *self.links.get(&link)?;
        let registration = self.registrations.get_mut(&key)?;
        Some((key, registration))
    }

    pub(super) fn registration_mut(
        &mut self,
        key: RegistrationKey,
    ) -> Option<&mut Registration<L>> {
        self.registrations.get_mut(&key)
    }

    pub(super) fn remove(&mut self, link: LinkKey) -> Option<(RegistrationKey, Registration<L>)> {
        let key = self.links.shift_remove(&link)?;
        Some((key, self.registrations.shift_remove(&key)?))
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &L> {
        self.registrations
            .values()
            .map(|registration| &registration.link)
    }

    pub(super) fn len(&self) -> usize {
        self.registrations.len()
    }

    /// The first app whose filter matches, and of its upstreams the one that this connection was given.
    ///
    /// An upstream keeps its connections until it leaves: a new one affects new connections only (rendezvous hashing,
    /// remembered in `assigned`).
    pub(super) fn pick(
        &self,
        kind: Kind<'_>,
        id: &str,
        assigned: &mut Vec<(usize, RegistrationKey)>,
    ) -> Pick {
        for (place, app) in self.apps.iter().enumerate() {
            let takes = |registration: &Registration<L>| {
                registration.app == place && !registration.draining
            };
            let kept = assigned
                .iter()
                .find(|(app, _)| *app == place)
                .map(|&(_, key)| key);
            if let Some(key) = kept
                && let Some(registration) = self.registrations.get(&key)
                && takes(registration)
                && registration.filter.wants(kind)
            {
                return Pick::To(key);
            }
            let there = || {
                self.registrations
                    .iter()
                    .filter(|(_, registration)| takes(registration))
            };
            let best = there()
                .filter(|(_, registration)| registration.filter.wants(kind))
                .max_by_key(|&(&key, _)| self.hasher.hash_one((id, key)));
            if let Some((&key, _)) = best {
                // One that is there and does not want this kind keeps the connection for the kinds that it wants.
                let keeps = kept.is_some_and(|kept| there().any(|(&key, _)| key == kept));
                if !keeps {
                    assigned.retain(|(app, _)| *app != place);
                    assigned.push((place, key));
                }
                return Pick::To(key);
            }
            if app.filter.wants(kind) && there().next().is_none() {
                return Pick::Wait;
            }
        }
        if self.require_connect && kind == Kind::Connect {
            Pick::Wait
        } else {
            Pick::Nobody
        }
    }
}
