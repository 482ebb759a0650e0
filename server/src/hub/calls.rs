//! Links in plain calls: each has a machine between the hub and its call, and acks come to the hub from outside.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headwater_core::{
    Time,
    hub::{Input, LinkKey},
    link::calls::{
        REGISTRATION,
        service::{Input as Heard, Output as Says, ServiceCalls, Target, no_such_event},
    },
};
use headwater_proto::{Code, Metadata, Status, v1::ack::Answer};
use prost::Message as _;

use super::{HubDriver, HubInput, Leftover, Link, Turn};

/// What a link in plain calls has besides its call.
pub(crate) struct Calls {
    key: LinkKey,
    machine: Mutex<ServiceCalls>,
}

impl Calls {
    pub(super) const fn new(key: LinkKey, machine: ServiceCalls) -> Self {
        let machine = Mutex::new(machine);
        Self { key, machine }
    }

    fn lock(&self) -> MutexGuard<'_, ServiceCalls> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An ack that had no effect.
pub(super) struct Refusal {
    link: LinkKey,
    seq: u64,
    status: Status,
}

impl HubDriver {
    /// Registers a link in plain calls, so that acks find it.
    pub(crate) fn enter_calls(&self, link: &Arc<Link>, register: HubInput) {
        self.with(|turn| {
            turn.calls.push(Arc::clone(link));
            turn.hub.handle(register, turn.now);
        });
    }

    /// A link in plain calls is no more. Like [`HubDriver::last_turn`], for one whose turn may have panicked.
    pub(crate) fn leave_calls(&self, link: &Arc<Link>) {
        let Some(calls) = link.calls() else {
            return;
        };
        let leave = || {
            self.with(|turn| {
                turn.calls.retain(|other| !Arc::ptr_eq(other, link));
                turn.hub.handle(Input::LinkEnded(calls.key), turn.now);
            });
        };
        let _ = catch_unwind(AssertUnwindSafe(leave));
        let skipped = calls.lock().skipped();
        tracing::info!(hub = self.name(), skipped, "an upstream has left");
    }

    /// Answers an event that a link in plain calls was sent. `Ok` says that it took effect.
    ///
    /// # Errors
    ///
    /// As [`ServiceCalls::find`], and what the hub says.
    pub(crate) fn ack(&self, target: Target<'_>, answer: Answer) -> Result<(), Status> {
        let (acked, refused) = self.with_refusals(|turn| turn.ack(target, answer));
        let (link, seq) = acked?;
        let is_it = |refusal: &Refusal| (refusal.link, refusal.seq) == (link, seq);
        match refused.into_iter().find(is_it) {
            Some(refusal) => Err(refusal.status),
            None => Ok(()),
        }
    }
}

impl Turn<'_> {
    /// Has the hub hear what links in plain calls say. Whether they said anything.
    pub(super) fn hear_calls(&mut self) -> bool {
        let mut heard = false;
        for (link, input) in self.leftover.said.drain(..) {
            // What a call that has ended was to bring did not arrive: the hub will lose it with the link.
            if !link.has_ended() {
                self.hub.handle(input, self.now);
                heard = true;
            }
        }
        heard
    }

    fn ack(&mut self, target: Target<'_>, answer: Answer) -> Result<(LinkKey, u64), Status> {
        let (link, calls) = holder(self.calls, target)?;
        let mut machine = calls.lock();
        let seq = machine.ack(target, answer)?;
        self.leftover.take_calls(link, calls.key, &mut machine);
        Ok((calls.key, seq))
    }
}

/// Which of these links was sent the event: if none is named, the one that has the oldest.
fn holder<'a>(links: &'a [Arc<Link>], target: Target<'_>) -> Result<Holder<'a>, Status> {
    let live = || {
        let live = links.iter().filter(|link| !link.has_ended());
        live.filter_map(|link| Some((link, link.calls()?)))
    };
    let waits = |holder: Holder<'a>| Some((holder.1.lock().waits(target)?, holder));
    let oldest = live().filter_map(waits).min_by_key(|(number, _)| *number);
    if let Some((_, holder)) = oldest {
        return Ok(holder);
    }
    // Only now is it worth to ask what has become of it.
    let mut why_not = live().filter_map(|(_, calls)| calls.lock().find(target).err());
    let told = why_not.rfind(|status| status.code != Code::NotFound);
    Err(told.unwrap_or_else(no_such_event))
}

type Holder<'a> = (&'a Arc<Link>, &'a Calls);

impl Leftover {
    /// Tells a link in plain calls what happens.
    pub(super) fn tell_calls(&mut self, to: &Arc<Link>, calls: &Calls, heard: Heard, now: Time) {
        let mut machine = calls.lock();
        machine.handle(heard, now);
        self.take_calls(to, calls.key, &mut machine);
        if let Some(deadline) = machine.poll_timeout() {
            self.due = Some(self.due.map_or(deadline.at, |due| due.min(deadline.at)));
        }
    }

    fn take_calls(&mut self, of: &Arc<Link>, key: LinkKey, machine: &mut ServiceCalls) {
        while let Some(says) = machine.poll_output() {
            let input = match says {
                Says::Registered(name) => {
                    of.send_headers(registration(&name));
                    continue;
                }
                Says::Transmit(request) => {
                    self.add_message(of, request.encode_to_vec().into());
                    continue;
                }
                Says::Refused { seq, status } => {
                    let link = key;
                    self.refused.push(Refusal { link, seq, status });
                    continue;
                }
                Says::Ack(ack) => Input::Ack(key, ack),
                Says::Settled(settled) => Input::Settled(key, settled),
                Says::Drain => Input::Drain(key),
            };
            self.said.push((Arc::clone(of), input));
        }
    }
}

fn registration(name: &str) -> Metadata {
    let mut metadata = Metadata::new();
    // The names that are minted here can stand in metadata.
    let _ = metadata.append(REGISTRATION, name);
    metadata
}
