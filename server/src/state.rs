//! What a service holds, and clients and upstreams reach: its hubs and its push channels.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headwater_core::{
    hub::{Hub, HubConfig},
    link::calls::service::{Target, no_such_event},
};
use headwater_proto::{
    Code, Status,
    v1::{ack::Answer, command::Operation, result::Value},
};
use headwater_services::Health;

use crate::{ServiceConfig, channels::Channels, clock::Clock, hub::HubDriver, random};

/// Why clients are closed when the service leaves.
const LEAVING: &str = "the service is shutting down";

/// The state of one service.
pub(crate) struct ServiceState {
    pub(crate) config: ServiceConfig,
    pub(crate) clock: Clock,
    pub(crate) channels: Arc<Channels>,
    /// What is told of the services for applications.
    pub(crate) health: Health,
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
            health: Health::new(),
            epoch: random::unguessable_id(),
            hubs: Mutex::default(),
        })
    }

    /// The hub of this lower-cased name, which begins now if it is the first time: for who comes to stay.
    ///
    /// # Errors
    ///
    /// [`Code::ResourceExhausted`] if it would be one more than [`ServiceConfig::hubs_max`].
    pub(crate) fn hub(&self, name: &str) -> Result<Arc<HubDriver>, Status> {
        let mut hubs = self.lock();
        if let Some(hub) = hubs.by_name.get(name) {
            return Ok(Arc::clone(hub));
        }
        let max = self.config.hubs_max;
        if hubs.by_name.len() >= max {
            let message = format!("the service has its {max} hubs");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        let hub = HubDriver::start(self.hub_config(name), self.config.outbox, self.clock);
        if let Some(within) = hubs.leaving {
            hub.shut_down(LEAVING, within);
        }
        hubs.by_name.insert(name.to_owned(), Arc::clone(&hub));
        Ok(hub)
    }

    /// Does what an application without a link asks of a hub. One that has not begun answers as it would without anybody
    /// in it, and does not begin by this.
    pub(crate) fn command(&self, hub: &str, operation: Operation) -> Result<Value, Status> {
        match self.begun(hub) {
            Some(hub) => hub.command(operation),
            None => Hub::<(), ()>::new(HubConfig::new(hub)).command(operation, self.clock.now()),
        }
    }

    /// Answers an event that a link in plain calls of this hub was sent: see [`HubDriver::ack`].
    pub(crate) fn ack(&self, hub: &str, target: Target<'_>, answer: Answer) -> Result<(), Status> {
        match self.begun(hub) {
            Some(hub) => hub.ack(target, answer),
            None => Err(no_such_event()),
        }
    }

    fn begun(&self, name: &str) -> Option<Arc<HubDriver>> {
        self.lock().by_name.get(name).cloned()
    }

    /// All hubs that there are.
    pub(crate) fn hubs(&self) -> Vec<Arc<HubDriver>> {
        self.lock().by_name.values().cloned().collect()
    }

    /// Begins to shut down all hubs and channels, and those that begin later. Gives the hubs, which are done when they are
    /// idle.
    pub(crate) fn shut_down(&self, within: Duration) -> Vec<Arc<HubDriver>> {
        self.health.stop();
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

#[cfg(test)]
mod tests {
    use headwater_core::link::calls::service::Kind;
    use headwater_proto::v1;

    use super::*;
    use crate::auth::AccessKey;

    fn service(hubs_max: usize) -> Arc<ServiceState> {
        let key = AccessKey::new("a-key-for-tests-of-32-bytes-or-so").expect("long enough");
        ServiceState::start(ServiceConfig {
            hubs_max,
            ..ServiceConfig::new(key)
        })
    }

    fn questions(hub: &str) -> [Operation; 4] {
        let hub = || hub.to_owned();
        [
            Operation::UserExists(v1::UserExistsRequest {
                hub: hub(),
                user_id: "ada".into(),
            }),
            Operation::CloseAll(v1::CloseAllRequest {
                hub: hub(),
                ..v1::CloseAllRequest::default()
            }),
            Operation::SendToAll(v1::SendToAllRequest {
                hub: hub(),
                ..v1::SendToAllRequest::default()
            }),
            Operation::CloseConnection(v1::CloseConnectionRequest {
                hub: hub(),
                connection_id: "nobody".into(),
                ..v1::CloseConnectionRequest::default()
            }),
        ]
    }

    #[tokio::test]
    async fn a_hub_begins_by_nobodys_mere_question_and_answers_as_an_empty_one() {
        let service = service(8);
        let empty = service.hub("empty").expect("the first");
        for (asked, expected) in questions("never").into_iter().zip(questions("empty")) {
            let answer = service.command("never", asked.clone());
            assert_eq!(answer, empty.command(expected), "{asked:?}");
        }
        let target = || Target {
            connection_id: "nobody",
            event_id: 1,
            kind: Kind::Message,
        };
        let answer = || Answer::Reply(v1::Reply::default());
        let acked = service.ack("never", target(), answer());
        assert_eq!(acked, empty.ack(target(), answer()));
        assert_eq!(service.hubs().len(), 1, "none began");
    }

    #[tokio::test]
    async fn one_more_hub_than_there_may_be_is_refused_and_those_that_are_there_stay() {
        let service = service(2);
        for name in ["a", "b", "a"] {
            service.hub(name).expect("within the bound");
        }
        let refused = service.hub("c").map(|_| ()).expect_err("one too many");
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert_eq!(service.hubs().len(), 2);
    }
}
