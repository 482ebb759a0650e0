//! What a service holds, and clients and upstreams reach: its hubs and its push channels.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headwater_core::hub::HubConfig;
use headwater_proto::{Code, Status};

use crate::{ServiceConfig, channels::Channels, clock::Clock, hub::HubDriver, random};

/// Why clients are closed when the service leaves.
const LEAVING: &str = "the service is shutting down";

/// The state of one service.
pub(crate) struct ServiceState {
    pub(crate) config: ServiceConfig,
    pub(crate) clock: Clock,
    pub(crate) channels: Arc<Channels>,
    epoch: String,
    hubs: Mutex<Hubs>,
}

#[derive(Default)]
struct Hubs {
    by_name: BTreeMap<String, Arc<HubDriver>>,
    /// The service is leaving, within this time: so do hubs that begin now.
    leaving: Option<Duration>,
}

impl ServiceState {
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) fn start(config: ServiceConfig) -> Arc<Self> {
        let clock = Clock::start();
        Arc::new(Self {
            channels: Channels::start(config.channels.clone(), clock),
            config,
            clock,
            epoch: random::unguessable_id(),
            hubs: Mutex::default(),
        })
    }

    /// The hub of this lower-cased name, which begins now if it is the first time.
    pub(crate) fn hub(&self, name: &str) -> Arc<HubDriver> {
        let mut hubs = self.lock();
        if let Some(hub) = hubs.by_name.get(name) {
            return Arc::clone(hub);
        }
        let hub = HubDriver::start(self.hub_config(name), self.config.outbox, self.clock);
        if let Some(within) = hubs.leaving {
            hub.shut_down(LEAVING, within);
        }
        hubs.by_name.insert(name.to_owned(), Arc::clone(&hub));
        hub
    }

    /// All hubs that there are.
    pub(crate) fn hubs(&self) -> Vec<Arc<HubDriver>> {
        self.lock().by_name.values().cloned().collect()
    }

    /// Begins to shut down all hubs and channels, and those that begin later. Gives the hubs, which are done when they are
    /// idle.
    pub(crate) fn shut_down(&self, within: Duration) -> Vec<Arc<HubDriver>> {
        let hubs: Vec<_> = {
            let mut hubs = self.lock();
            hubs.leaving = Some(within);
            hubs.by_name.values().cloned().collect()
        };
        for hub in &hubs {
            hub.shut_down(LEAVING, within);
        }
        self.channels
            .shut_down(Status::new(Code::Unavailable, LEAVING));
        hubs
    }

    fn hub_config(&self, name: &str) -> HubConfig {
        HubConfig {
            epoch: self.epoch.clone(),
            seed: u64::from_ne_bytes(random::bytes()),
            require_connect: self.config.require_connect.contains(name),
            connect_timeout: self.config.connect_timeout,
            message_timeout: self.config.message_timeout,
            waiting_bytes_max: self.config.waiting_bytes_max,
            commands_max: u32::try_from(self.config.link.commands_max).unwrap_or(u32::MAX),
            ..HubConfig::new(name)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hubs> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
