//! One link: reads what the upstream says, and tells its hub in turns.

use std::{future::pending, sync::Arc};

use headwater_core::{
    hub::{Input, LinkKey},
    link::service::{Input as Said, Output, ServiceLink},
};
use headwater_proto::{Status, v1};
use headwater_rpc::{Cancellation, IncomingCall, Metadata, Receiver};
use tokio::time::sleep_until;

use super::{authenticate, authorize, server_stops, stopping, verify};
use crate::{
    auth::UpstreamToken,
    hub::{HubDriver, HubInput, Link},
    random::unguessable_id,
    state::ServiceState,
};

/// Handles one call of `headwater.v1.Upstream/Link`.
pub(super) async fn run(service: Arc<ServiceState>, call: IncomingCall) {
    let token = match authenticate(&service, &call.metadata) {
        Ok(token) => token,
        Err(status) => {
            // An ended call has told its peer already.
            let _ = call.sender.finish(Err(status), Metadata::new());
            return;
        }
    };
    tracing::debug!(peer = %call.peer, "an upstream dialled in");
    let machine = ServiceLink::new(service.config.link, service.clock.now());
    let link = Arc::new(Link::new(call.sender));
    let reading = Reading {
        service,
        token,
        link,
        machine,
        hub: None,
        ended: false,
    };
    reading.read(call.receiver, &call.cancellation).await;
}

/// What the reading task owns.
struct Reading {
    service: Arc<ServiceState>,
    token: UpstreamToken,
    link: Arc<Link>,
    machine: ServiceLink,
    /// Once it has registered.
    hub: Option<(Arc<HubDriver>, LinkKey)>,
    ended: bool,
}

impl Drop for Reading {
    /// However the task ends, the hub hears of it; it ignores what it knows.
    fn drop(&mut self) {
        if let Some((hub, key)) = &self.hub {
            hub.last_turn(Input::LinkEnded(*key));
            tracing::info!(
                hub = hub.name(),
                skipped = self.machine.skipped(),
                "an upstream has left"
            );
        }
    }
}

impl Reading {
    async fn read(mut self, mut receiver: Receiver, cancellation: &Cancellation) {
        let clock = self.service.clock;
        let mut batch = Vec::new();
        let mut stops = false;
        while !self.ended {
            let due = self
                .machine
                .poll_timeout()
                .map(|deadline| clock.instant(deadline.at));
            let timeout = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.link.ended() => return,
                () = stopping(cancellation), if !stops => {
                    stops = true;
                    self.stop();
                }
                received = receiver.next_batch(&mut batch) => match received {
                    Ok(0) => self.tell([Said::HalfClosed]),
                    Ok(_) => self.tell(batch.drain(..).map(Said::Message)),
                    // The call is over: nobody is there to be told.
                    Err(_) => return,
                },
                () = timeout => self.tell([Said::Timeout]),
            }
        }
    }

    /// Hands in what came together, and does what comes of it in one turn of the hub. What follows the end has no effect.
    fn tell(&mut self, said: impl IntoIterator<Item = Said>) {
        let now = self.service.clock.now();
        let mut inputs = Vec::new();
        for input in said {
            self.machine.handle(input, now);
            while !self.ended
                && let Some(output) = self.machine.poll_output()
            {
                self.perform(output, &mut inputs);
            }
            if self.ended {
                break;
            }
        }
        self.turn(inputs);
    }

    fn perform(&mut self, output: Output, inputs: &mut Vec<HubInput>) {
        let key = self.hub.as_ref().map(|(_, key)| *key);
        match (output, key) {
            (Output::Register(register), _) => self.register(*register, inputs),
            (Output::Authenticate(token), _) => self.authenticate(&token, inputs),
            // Between results of the hub: the turn before goes first.
            (Output::Transmit(frame), _) => {
                self.turn(std::mem::take(inputs));
                let hub = self.hub.as_ref().map_or("", |(hub, _)| hub.name());
                self.link.send(hub, vec![crate::hub::encode(*frame)]);
            }
            (Output::End(outcome), _) => {
                self.turn(std::mem::take(inputs));
                self.end(outcome);
            }
            (Output::Ack(ack), Some(key)) => inputs.push(Input::Ack(key, ack)),
            (Output::Command(command), Some(key)) => inputs.push(Input::Command(key, command)),
            (Output::Settled(settled), Some(key)) => inputs.push(Input::Settled(key, settled)),
            (Output::Drain, Some(key)) => inputs.push(Input::Drain(key)),
            // Refused at its register: what follows is for no hub.
            (Output::Ack(_) | Output::Command(_) | Output::Settled(_) | Output::Drain, None) => {}
        }
    }

    fn register(&mut self, register: v1::Register, inputs: &mut Vec<HubInput>) {
        if let Err(status) = authorize(&self.token, &register.hub) {
            return self.end(Err(status));
        }
        tracing::info!(
            hub = register.hub,
            app = register.app,
            version = register.app_version,
            "an upstream registers"
        );
        let hub = match self.service.hub(&register.hub) {
            Ok(hub) => hub,
            Err(status) => return self.end(Err(status)),
        };
        let key = hub.new_link_key();
        inputs.push(Input::Register {
            link: key,
            handle: Arc::clone(&self.link),
            register: Box::new(register),
            registration: unguessable_id(),
            resume_token: unguessable_id().into_bytes().into(),
        });
        self.hub = Some((hub, key));
    }

    /// A fresh token is good if it allows the hub that this link serves. Else the link ends; what was said before was said
    /// with a good one, and counts.
    fn authenticate(&mut self, token: &str, inputs: &mut Vec<HubInput>) {
        let hub = self.hub.as_ref().map(|(hub, _)| hub.name().to_owned());
        let checked = verify(&self.service, token).and_then(|token| {
            let allowed = hub.map_or(Ok(()), |hub| authorize(&token, &hub));
            allowed.map(|()| token)
        });
        match checked {
            Ok(token) => self.token = token,
            Err(status) => {
                self.turn(std::mem::take(inputs));
                self.end(Err(status));
            }
        }
    }

    /// The server stops: the upstream may still settle what it was sent, and hears of nothing new.
    fn stop(&mut self) {
        match &self.hub {
            Some((hub, key)) => hub.turn([Input::Drain(*key)]),
            None => self.end(Err(server_stops())),
        }
    }

    fn turn(&self, inputs: Vec<HubInput>) {
        if let Some((hub, _)) = &self.hub
            && !inputs.is_empty()
        {
            hub.turn(inputs);
        }
    }

    fn end(&mut self, outcome: Result<(), Status>) {
        if let Err(status) = &outcome {
            tracing::warn!(%status, "a link was ended");
        }
        self.ended = true;
        self.link.end(outcome);
    }
}
