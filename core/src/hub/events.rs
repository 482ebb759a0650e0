//! From an event to its end: raised, sent to an upstream, answered or failed, settled.
//!
//! Every event ends once: answered, failed at its deadline or with its link, or withdrawn with its client.

use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};
use core::mem;

use headwater_proto::{Code, Status, v1};
use indexmap::IndexSet;

use super::{
    ConnectionKey, Hub, Output,
    connection::Connection,
    lane::{Body, Queued, Sent, SentState, Waits},
    registration::RegistrationKey,
    upstreams::Pick,
};
use crate::{Time, hash::Hasher};

/// What spans the lanes of a hub.
#[derive(Debug)]
pub(super) struct Events {
    deadlines: BTreeSet<(Time, ConnectionKey, u64)>,
    /// Lanes whose next event waits for an upstream to come.
    waiting: IndexSet<ConnectionKey, Hasher>,
    /// The size of all events that were not sent yet.
    queued_bytes: usize,
}

impl Events {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self {
            deadlines: BTreeSet::new(),
            waiting: IndexSet::with_hasher(hasher),
            queued_bytes: 0,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(at, _, _)| at)
    }

    /// The event that fell due first, if its time has come by `now`.
    pub(super) fn take_due(&mut self, now: Time) -> Option<(ConnectionKey, u64)> {
        self.next_deadline().filter(|at| *at <= now)?;
        let (_, key, number) = self.deadlines.pop_first()?;
        Some((key, number))
    }

    /// Nobody waits for this event any more.
    pub(super) fn answered(&mut self, key: ConnectionKey, number: u64, at: Time) {
        self.deadlines.remove(&(at, key, number));
    }

    /// An event waits in its lane.
    pub(super) fn queued(&mut self, key: ConnectionKey, event: &Queued) {
        self.queued_bytes += event.body.bytes();
        self.deadlines.insert((event.until, key, event.number));
    }

    /// An event that waited in its lane is not to be sent.
    pub(super) fn forget(&mut self, key: ConnectionKey, event: &Queued) {
        self.queued_bytes -= event.body.bytes();
        self.answered(key, event.number, event.until);
    }
}

impl<C: Clone, L: Clone> Hub<C, L> {
    /// Puts an event at the end of its lane, and sends what can be sent.
    pub(super) fn raise(&mut self, key: ConnectionKey, body: Body, waits: Option<Waits>) {
        let until = self.now
            + match waits {
                Some(Waits::Connect) => self.config.connect_timeout,
                Some(Waits::Message { .. }) => self.config.message_timeout,
                None => self.config.notice_timeout,
            };
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let event = connection.lane.push(body, waits, until);
        self.events.queued(key, event);
        self.pump(key);
    }

    /// Whether one more event of this size may wait.
    pub(super) fn may_queue(&self, bytes: usize) -> bool {
        self.events.queued_bytes.saturating_add(bytes) <= self.config.waiting_bytes_max
    }

    /// Sends what can be sent of a lane; pauses or resumes its client; forgets the connection when it is done with.
    pub(super) fn pump(&mut self, key: ConnectionKey) {
        while self.send_next(key) {}
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        if connection.is_done() {
            self.events.waiting.swap_remove(&key);
            let line = self.leave_line(key);
            self.members.remove(key);
            if let Some(at) = line {
                self.unblock(at);
            }
            return;
        }
        // A notice alone does not pause: no client can make more of them.
        let pause = connection.is_open() && connection.lane.holds_messages();
        if pause == mem::replace(&mut connection.paused, pause) || !connection.is_open() {
            return;
        }
        let to = connection.handle.clone();
        self.outputs.push_back(if pause {
            Output::Pause(to)
        } else {
            Output::Resume(to)
        });
    }

    /// Deals with the next event of a lane; `false` if it has to wait or there is none.
    fn send_next(&mut self, key: ConnectionKey) -> bool {
        let Some(connection) = self.members.connection_mut(key) else {
            return false;
        };
        let Some(next) = connection.lane.queue.front() else {
            return false;
        };
        let pick = self.upstreams.pick(
            next.body.kind(),
            &connection.id,
            &mut connection.lane.assigned,
        );
        match pick {
            // Who is not here now is not let in any more.
            Pick::Wait if self.closing.is_none() => {
                self.events.waiting.insert(key);
                false
            }
            Pick::Nobody | Pick::Wait => {
                let Some(event) = connection.lane.queue.pop_front() else {
                    return false;
                };
                self.nobody_wants(key, event);
                true
            }
            Pick::To(to) => self.send_to(key, to),
        }
    }

    fn send_to(&mut self, key: ConnectionKey, to: RegistrationKey) -> bool {
        let Some(connection) = self.members.connection_mut(key) else {
            return false;
        };
        let Some(registration) = self.upstreams.registration_mut(to) else {
            return false;
        };
        if connection.lane.holds_back(to) {
            return false;
        }
        let bytes = connection
            .lane
            .queue
            .front()
            .map_or(0, |event| event.body.bytes());
        let sent_bytes = bytes + connection.context_bytes();
        if !registration.has_room(sent_bytes) {
            self.line_up(key, to);
            return false;
        }
        let Some(event) = connection.lane.queue.pop_front() else {
            return false;
        };
        self.events.queued_bytes -= bytes;
        let seq = registration.send(key, event.number, sent_bytes);
        let (state, left) = match event.waits {
            // What has fallen due has failed already: at least a part of a millisecond is left.
            Some(waits) => (
                SentState::Waiting(waits, event.until),
                event.until.since(self.now).as_millis().max(1),
            ),
            None => {
                self.events.answered(key, event.number, event.until);
                (SentState::Notice(event.body.clone()), 0)
            }
        };
        connection.lane.sent.push(Sent {
            number: event.number,
            registration: to,
            state,
        });
        let frame = v1::service_frame::Frame::Event(Box::new(v1::Event {
            seq,
            id: Some(v1::EventId {
                connection_id: connection.id.as_ref().into(),
                number: event.number,
            }),
            redelivered: event.redelivered,
            context: Some(connection.context()),
            time_left_ms: u32::try_from(left).unwrap_or(u32::MAX),
            trace: None,
            event: Some(event.body.into_event()),
        }));
        self.outputs.push_back(Output::Link {
            to: registration.link.clone(),
            frame: frame.into(),
        });
        true
    }

    /// No app wants this event: a client is let in by its token alone, a message fails, a notice is dropped.
    fn nobody_wants(&mut self, key: ConnectionKey, event: Queued) {
        self.events.forget(key, &event);
        match event.waits {
            None => {}
            Some(Waits::Connect) => {
                // A refusal of the groups of the token is the client's to hear.
                let _ = self.admit(key, v1::Accept::default());
            }
            Some(waits @ Waits::Message { .. }) => {
                let status = Status::new(Code::Unimplemented, "no upstream handles this event");
                self.fail(key, waits, status);
            }
        }
    }

    /// Ends an event badly.
    pub(super) fn fail(&mut self, key: ConnectionKey, waits: Waits, status: Status) {
        match waits {
            Waits::Connect => self.refuse(key, status),
            Waits::Message { ack_id } => self.message_done(key, ack_id, Err(status)),
        }
    }

    /// A lane waits for the window of this upstream; it keeps its place, if it has one there.
    fn line_up(&mut self, key: ConnectionKey, to: RegistrationKey) {
        let place = |connection: &Connection<C>| connection.lane.blocked;
        if self
            .members
            .connection(key)
            .and_then(place)
            .is_some_and(|(at, _)| at == to)
        {
            return;
        }
        self.leave_line(key);
        if let Some(connection) = self.members.connection_mut(key)
            && let Some(registration) = self.upstreams.registration_mut(to)
        {
            connection.lane.blocked = Some((to, registration.line_up(key)));
        }
    }

    /// A lane waits for no window any more; for whose it did.
    fn leave_line(&mut self, key: ConnectionKey) -> Option<RegistrationKey> {
        let connection = self.members.connection_mut(key)?;
        let (at, ticket) = connection.lane.blocked.take()?;
        let registration = self.upstreams.registration_mut(at)?;
        registration.blocked.remove(&ticket);
        Some(at)
    }

    /// Lanes that waited for an upstream may have one now.
    pub(super) fn pump_waiting(&mut self) {
        let waiting: Vec<_> = self.events.waiting.drain(..).collect();
        for key in waiting {
            self.pump(key);
        }
    }
}
