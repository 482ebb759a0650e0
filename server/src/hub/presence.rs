//! Counts the clients of a hub that have a socket, so that leaving can wait for their last words.

use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering},
};

use super::HubDriver;

/// The hub of one client, from its knock to the end of its socket.
pub(crate) struct Presence {
    hub: Arc<HubDriver>,
}

impl Presence {
    pub(crate) fn new(hub: Arc<HubDriver>) -> Self {
        hub.present.fetch_add(1, Ordering::AcqRel);
        Self { hub }
    }
}

impl Deref for Presence {
    type Target = HubDriver;

    fn deref(&self) -> &HubDriver {
        &self.hub
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.hub.present.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.hub.idle.notify_waiters();
        }
    }
}
