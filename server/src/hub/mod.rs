//! Drives one [hub machine](headwater_core::hub) by turns, and writes what comes of them.
//!
//! Locks, in the order in which they may be taken: the hub's, then one of a client's (its outbox, its socket's handle) or of
//! a link's. Under a client's or a link's no other is taken but that of the link's call. No socket is written under any.

mod calls;
mod client;
mod flush;
mod link;
mod presence;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use headwater_core::{
    Time,
    hub::{ConnectionKey, Hub, HubConfig, Input, LinkKey, Output},
    link::calls::service::Input as Heard,
    outbox::OutboxLimits,
};
use headwater_proto::{
    Status,
    v1::{command::Operation, result::Value},
};
use tokio::sync::Notify;

use self::{calls::Refusal, client::Signal, flush::Flusher};
pub(crate) use self::{
    client::Client,
    link::{Link, encode},
    presence::Presence,
};
use crate::{
    clock::Clock,
    timer::{Alarmed, Timer},
};

/// What happens to a hub, in this service.
pub(crate) type HubInput = Input<Arc<Client>, Arc<Link>>;

/// One hub and its driver.
pub(crate) struct HubDriver {
    name: String,
    turns: Mutex<Turns>,
    clock: Clock,
    outbox_limits: OutboxLimits,
    flusher: Flusher,
    timer: Timer,
    /// Clients from their knock to the end of their socket.
    present: AtomicUsize,
    idle: Notify,
    last_key: AtomicU64,
}

/// What turns share, one at a time.
struct Turns {
    hub: Machine,
    /// Its links in plain calls, in the order in which they came.
    calls: Vec<Arc<Link>>,
}

type Machine = Hub<Arc<Client>, Arc<Link>>;

/// A turn under way.
struct Turn<'a> {
    hub: &'a mut Machine,
    calls: &'a mut Vec<Arc<Link>>,
    leftover: &'a mut Leftover,
    now: Time,
}

/// What a turn leaves to be done.
#[derive(Default)]
struct Leftover {
    /// Outboxes that nobody else flushes.
    dirty: Vec<Arc<Client>>,
    /// Clients that were cut for being slow.
    slow: Vec<ConnectionKey>,
    /// Messages for upstreams, so that each is handed over once.
    links: Vec<(Arc<Link>, Vec<Bytes>)>,
    /// What links in plain calls say to the hub of what they were told.
    said: Vec<(Arc<Link>, HubInput)>,
    /// Acks in plain calls that had no effect.
    refused: Vec<Refusal>,
    /// When a link in plain calls has something to do.
    due: Option<Time>,
}

impl HubDriver {
    /// Starts a hub: its timer and its flusher run until the last handle is dropped.
    pub(crate) fn start(config: HubConfig, outbox_limits: OutboxLimits, clock: Clock) -> Arc<Self> {
        let driver = Arc::new(Self {
            name: config.name.clone(),
            turns: Mutex::new(Turns {
                hub: Hub::new(config),
                calls: Vec::new(),
            }),
            clock,
            outbox_limits,
            flusher: Flusher::start(),
            timer: Timer::new(),
            present: AtomicUsize::new(0),
            idle: Notify::new(),
            last_key: AtomicU64::new(0),
        });
        driver.timer.start(Arc::downgrade(&driver), clock);
        driver
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// A key that no connection of this hub had.
    pub(crate) fn new_connection_key(&self) -> ConnectionKey {
        ConnectionKey(self.last_key.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A key that no link of this hub had.
    pub(crate) fn new_link_key(&self) -> LinkKey {
        LinkKey(self.last_key.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Hands in all that was found together.
    pub(crate) fn turn(&self, inputs: impl IntoIterator<Item = HubInput>) {
        self.with(|turn| {
            for input in inputs {
                turn.hub.handle(input, turn.now);
            }
        });
    }

    /// [`HubDriver::turn`] for one who leaves, perhaps because a turn panicked: a second panic stays here, and does not
    /// end the process.
    pub(crate) fn last_turn(&self, input: HubInput) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.turn([input])));
    }

    /// Does what an application without a link asks for.
    pub(crate) fn command(&self, operation: Operation) -> Result<Value, Status> {
        self.with(|turn| turn.hub.command(operation, turn.now))
    }

    /// Closes every connection, and tells upstreams to leave.
    pub(crate) fn shut_down(&self, reason: &str, reconnect_within: std::time::Duration) {
        self.with(|turn| turn.hub.shut_down(reason, reconnect_within, turn.now));
    }

    /// Waits until no connection, no event and no client's socket is left.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.lock().hub.is_idle() && self.present.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// The name of the hub.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many connections are open, and how many upstreams are registered.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let turns = self.lock();
        (turns.hub.connections(), turns.hub.registrations())
    }

    /// One turn: under the hub's lock the machine acts, and the outboxes and links get what it says; the sockets are
    /// written after it.
    fn with<T>(&self, act: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        self.with_refusals(act).0
    }

    /// [`HubDriver::with`], and the acks in plain calls that the turn refused.
    fn with_refusals<T>(&self, act: impl FnOnce(&mut Turn<'_>) -> T) -> (T, Vec<Refusal>) {
        let mut leftover = Leftover::default();
        let result = {
            let turns = &mut *self.lock();
            let mut turn = Turn {
                hub: &mut turns.hub,
                calls: &mut turns.calls,
                leftover: &mut leftover,
                now: self.clock.now(),
            };
            let result = act(&mut turn);
            self.drain(&mut turn);
            let due = turn.hub.poll_timeout().map(|deadline| deadline.at);
            for at in due.into_iter().chain(turn.leftover.due) {
                self.timer.arm(at);
            }
            if turn.hub.is_idle() {
                self.idle.notify_waiters();
            }
            result
        };
        self.flusher.flush(leftover.dirty);
        (result, leftover.refused)
    }

    fn drain(&self, turn: &mut Turn<'_>) {
        loop {
            while let Some(output) = turn.hub.poll_output() {
                self.perform(output, turn.leftover, turn.now);
            }
            turn.leftover.send(&self.name);
            if turn.hear_calls() {
                continue;
            }
            let Some(key) = turn.leftover.slow.pop() else {
                return;
            };
            turn.hub.handle(
                Input::Gone {
                    key,
                    reason: "the client reads too slowly".into(),
                },
                turn.now,
            );
        }
    }

    fn perform(&self, output: Output<Arc<Client>, Arc<Link>>, leftover: &mut Leftover, now: Time) {
        match output {
            Output::Admit { to, admission } => to.answer(Ok(*admission)),
            Output::Refuse { to, status } => to.answer(Err(status)),
            Output::Send { to, run } => self.push(&to, run, leftover),
            Output::Deliver { to, excluded, run } => {
                for receiver in to
                    .iter()
                    .filter(|receiver| excluded.binary_search(&receiver.key).is_err())
                {
                    self.push(&receiver.handle, run.clone(), leftover);
                }
            }
            Output::Close { to, code, reason } => {
                if to.finish(code, &reason) {
                    leftover.dirty.push(to);
                }
            }
            Output::Pause(to) => to.signal(Signal::Pause),
            Output::Resume(to) => to.signal(Signal::Resume),
            Output::Link { to, frame } => match to.calls() {
                None => leftover.add_message(&to, link::encode(*frame)),
                Some(calls) => leftover.tell_calls(&to, calls, Heard::Frame(*frame), now),
            },
            Output::EndLink { to, outcome } => {
                // What was said before the end goes before it.
                leftover.send(&self.name);
                to.end(outcome);
            }
        }
    }

    fn push(&self, to: &Arc<Client>, run: headwater_core::outbox::Run, leftover: &mut Leftover) {
        use headwater_core::outbox::Pushed;
        match to.push(run, &self.outbox_limits) {
            Pushed::Dirty => leftover.dirty.push(Arc::clone(to)),
            Pushed::Waiting | Pushed::Ended => {}
            Pushed::Overflow => {
                leftover.slow.push(to.key());
                if to.cut("the client reads too slowly") {
                    leftover.dirty.push(Arc::clone(to));
                }
            }
        }
    }

    /// Writes an outbox that [`Client::push`] and its like found at rest.
    pub(crate) fn flush(&self, client: Arc<Client>) {
        self.flusher.flush(vec![client]);
    }

    pub(crate) const fn outbox_limits(&self) -> &OutboxLimits {
        &self.outbox_limits
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        // A panic in a turn is a bug of ours; the other connections of the hub are served on.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarmed for HubDriver {
    fn ring(&self) {
        self.with(|turn| {
            turn.hub.handle(Input::Timeout, turn.now);
            for link in turn.calls.iter() {
                if let Some(calls) = link.calls() {
                    turn.leftover
                        .tell_calls(link, calls, Heard::Timeout, turn.now);
                }
            }
        });
    }
}

impl Leftover {
    fn add_message(&mut self, to: &Arc<Link>, bytes: Bytes) {
        match self
            .links
            .iter_mut()
            .find(|(link, _)| Arc::ptr_eq(link, to))
        {
            Some((_, messages)) => messages.push(bytes),
            None => self.links.push((Arc::clone(to), vec![bytes])),
        }
    }

    fn send(&mut self, hub: &str) {
        for (link, messages) in self.links.drain(..) {
            link.send(hub, messages);
        }
    }
}
