//! The open calls of a client or a server: to wait for the last one, or to end them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use crate::shared::Shared;

#[derive(Default)]
pub(crate) struct Registry {
    calls: Mutex<Calls>,
    changed: Notify,
}

#[derive(Default)]
struct Calls {
    next: u64,
    open: BTreeMap<u64, Open>,
    stopping: bool,
}

struct Open {
    call: Weak<Shared>,
    /// The route that it was accepted for; 0 is none.
    route: u64,
}

/// Takes its call out of the registry when it is dropped.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    key: u64,
}

impl Registry {
    /// Adds a call that was accepted for this route, if it has one.
    pub(crate) fn add(self: &Arc<Self>, call: &Arc<Shared>, route: Option<u64>) {
        let mut calls = self.lock();
        let key = calls.next;
        calls.next += 1;
        let open = Open {
            call: Arc::downgrade(call),
            route: route.unwrap_or(0),
        };
        calls.open.insert(key, open);
        let stopping = calls.stopping;
        drop(calls);
        let registry = Arc::clone(self);
        call.set_registration(Registration { registry, key });
        if stopping {
            call.begin_stopping();
        }
    }

    /// Tells every open call, and every later one, that the server is stopping.
    pub(crate) fn begin_stopping(&self) {
        self.lock().stopping = true;
        for call in self.open() {
            call.begin_stopping();
        }
    }

    /// The calls that are open now, in the order in which they were opened.
    pub(crate) fn open(&self) -> Vec<Arc<Shared>> {
        self.lock()
            .open
            .values()
            .filter_map(|open| open.call.upgrade())
            .collect()
    }

    /// Those of them that were accepted for one of these routes.
    pub(crate) fn of_routes(&self, routes: &BTreeSet<u64>) -> Vec<Arc<Shared>> {
        let calls = self.lock();
        let open = calls.open.values();
        open.filter(|open| routes.contains(&open.route))
            .filter_map(|open| open.call.upgrade())
            .collect()
    }

    /// Waits until no call is open.
    pub(crate) async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().open.is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut calls = self.registry.lock();
        calls.open.remove(&self.key);
        let empty = calls.open.is_empty();
        drop(calls);
        if empty {
            self.registry.changed.notify_waiters();
        }
    }
}
