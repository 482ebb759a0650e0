//! From an event to its end: raised, sent to an upstream, answered or failed, settled.
//!
//! Every event ends once: answered, failed at its deadline or with its link, or withdrawn with its client.

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::mem;

use headwater_proto::{Code, Status, v1};
use indexmap::IndexSet;

use super::{
    ConnectionKey, Hub, Output,
    answers::Reply,
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

    /// Nobody waits for this event any more.
    pub(super) fn answered(&mut self, key: ConnectionKey, number: u64, at: Time) {
        self.deadlines.remove(&(at, key, number));
    }

    /// An event that was sent goes back to its lane.
    pub(super) fn queue_again(&mut self, body: &Body) {
        self.queued_bytes += body.bytes();
    }

    fn forget(&mut self, key: ConnectionKey, event: &Queued) {
        self.queued_bytes -= event.body.bytes();
        if let Some((_, at)) = event.waits {
            self.answered(key, event.number, at);
        }
    }
}

impl<C: Clone, L: Clone> Hub<C, L> {
    /// Puts an event at the end of its lane, and sends what can be sent.
    pub(super) fn raise(&mut self, key: ConnectionKey, body: Body, waits: Option<(Waits, Time)>) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        self.events.queued_bytes += body.bytes();
        let number = connection.lane.push(body, waits);
        if let Some((_, at)) = waits {
            self.events.deadlines.insert((at, key, number));
        }
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
            self.members.remove(key);
            return;
        }
        let pause = connection.is_open() && !connection.lane.queue.is_empty();
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
            Pick::Nobody => {
                let Some(event) = connection.lane.queue.pop_front() else {
                    return false;
                };
                self.nobody_wants(key, event);
                true
            }
            Pick::Wait => {
                self.events.waiting.insert(key);
                false
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
        if !registration.has_room(bytes) {
            if !mem::replace(&mut connection.lane.blocked, true) {
                registration.blocked.push_back(key);
            }
            return false;
        }
        let Some(event) = connection.lane.queue.pop_front() else {
            return false;
        };
        self.events.queued_bytes -= bytes;
        let seq = registration.send(key, event.number, bytes);
        let left = event.waits.map_or(0, |(waits, _)| match waits {
            Waits::Connect => self.config.connect_timeout.as_millis(),
            Waits::Message { .. } => self.config.message_timeout.as_millis(),
        });
        let state = match event.waits {
            Some((waits, at)) => SentState::Waiting(waits, at),
            None => SentState::Notice(event.body.clone()),
        };
        connection.lane.sent.push(Sent {
            number: event.number,
            registration: to,
            state,
        });
        let frame = v1::service_frame::Frame::Event(v1::Event {
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
        });
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
            Some((Waits::Connect, _)) => self.admit(key, v1::Accept::default()),
            Some((waits @ Waits::Message { .. }, _)) => {
                let status = Status::new(Code::Unimplemented, "no upstream handles this event");
                self.conclude(key, waits, Err(status));
            }
        }
    }

    /// Ends an event badly or, for a message, well.
    pub(super) fn conclude(
        &mut self,
        key: ConnectionKey,
        waits: Waits,
        outcome: Result<Reply, Status>,
    ) {
        match (waits, outcome) {
            (Waits::Connect, Err(status)) => self.refuse(key, status),
            (Waits::Connect, Ok(_)) => self.admit(key, v1::Accept::default()),
            (Waits::Message { ack_id }, outcome) => self.message_done(key, ack_id, outcome),
        }
    }

    /// Lanes that waited for an upstream may have one now.
    pub(super) fn pump_waiting(&mut self) {
        let waiting: Vec<_> = self.events.waiting.drain(..).collect();
        for key in waiting {
            self.pump(key);
        }
    }

    /// Fails what has fallen due.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(&(at, key, number)) = self.events.deadlines.first() {
            if at > now {
                return;
            }
            self.events.deadlines.pop_first();
            self.expire_one(key, number);
            self.pump(key);
        }
    }

    fn expire_one(&mut self, key: ConnectionKey, number: u64) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        if let Some(event) = connection.lane.withdraw(number) {
            self.events.forget(key, &event);
            if let Some((waits, _)) = event.waits {
                let status = Status::new(Code::Unavailable, "no upstream was there to handle this");
                self.conclude(key, waits, Err(status));
            }
            return;
        }
        let Some(sent) = connection.lane.sent_mut(number) else {
            return;
        };
        if let SentState::Waiting(waits, _) = mem::replace(&mut sent.state, SentState::Expired) {
            let status = Status::new(
                Code::DeadlineExceeded,
                "the upstream did not answer in time",
            );
            self.conclude(key, waits, Err(status));
        }
    }

    /// The client of this lane has gone: what waits for an answer is told so, and an unsent `connect` is dropped.
    pub(super) fn cancel_lane(&mut self, key: ConnectionKey) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let connect = connection
            .lane
            .queue
            .pop_front_if(|event| matches!(event.body, Body::Connect(_)));
        if let Some(event) = connect {
            self.events.forget(key, &event);
        }
        let mut cancelled = Vec::new();
        for sent in &mut connection.lane.sent {
            let SentState::Waiting(waits, at) = sent.state else {
                continue;
            };
            cancelled.push((sent.registration, sent.number));
            if waits == Waits::Connect {
                sent.state = SentState::Withdrawn;
                self.events.answered(key, sent.number, at);
            }
        }
        let id: String = connection.id.as_ref().into();
        for (registration, number) in cancelled {
            let Some(registration) = self.upstreams.registration_mut(registration) else {
                continue;
            };
            let id = v1::EventId {
                connection_id: id.clone(),
                number,
            };
            let frame = v1::service_frame::Frame::Cancel(v1::Cancel { id: Some(id) });
            self.outputs.push_back(Output::Link {
                to: registration.link.clone(),
                frame: frame.into(),
            });
        }
    }
}
