//! The events of one connection, in their one order: connect < connected < messages < disconnected.

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};

use headwater_proto::v1;
use prost::Message as _;

use super::{
    registration::{RegistrationKey, Ticket},
    upstreams::Kind,
};
use crate::time::Time;

/// How many events of one connection may be sent and unsettled.
pub(super) const UNSETTLED_MAX: usize = 8;

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Connect(Box<v1::Connect>),
    Connected,
    Message(Box<v1::Message>),
    Disconnected { reason: String },
}

impl Body {
    pub(super) fn kind(&self) -> Kind<'_> {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::Connected => Kind::Connected,
            Self::Message(message) => Kind::Message(&message.name),
            Self::Disconnected { .. } => Kind::Disconnected,
        }
    }

    /// What it counts while it waits: all that a client can make large, and a constant for the frame around it. Against a
    /// window, the context of its connection counts too, which goes with each.
    pub(super) fn bytes(&self) -> usize {
        const FRAME: usize = 128;
        match self {
            Self::Connect(connect) => FRAME + connect.encoded_len(),
            Self::Connected => FRAME,
            Self::Message(message) => FRAME + message.encoded_len(),
            Self::Disconnected { reason } => FRAME + reason.len(),
        }
    }

    pub(super) fn into_event(self) -> v1::event::Event {
        match self {
            Self::Connect(connect) => v1::event::Event::Connect(*connect),
            Self::Connected => v1::event::Event::Connected(v1::Connected {}),
            Self::Message(message) => v1::event::Event::Message(*message),
            Self::Disconnected { reason } => {
                v1::event::Event::Disconnected(v1::Disconnected { reason })
            }
        }
    }
}

/// Who waits for the answer of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The handshake of the client.
    Connect,
    /// The client, which may want an ack.
    Message { ack_id: Option<u64> },
}

/// An event that no upstream was sent yet.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) number: u64,
    pub(super) body: Body,
    /// Who waits. `None`: a notice.
    pub(super) waits: Option<Waits>,
    /// Until when: then it fails, or is dropped.
    pub(super) until: Time,
    pub(super) redelivered: bool,
}

/// An event that an upstream was sent and has not settled.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) registration: RegistrationKey,
    pub(super) state: SentState,
}

#[derive(Debug, PartialEq)]
pub(super) enum SentState {
    /// The answer is awaited until then.
    Waiting(Waits, Time),
    /// Nothing is awaited but that it is settled; kept for another upstream, should this one be lost.
    Notice(Body),
    /// It was answered.
    Answered,
    /// The client has heard of failure: the deadline came first.
    Expired,
    /// The client of a `connect` has gone.
    Withdrawn,
}

impl SentState {
    /// Whether nobody waits for anything but that it is settled.
    const fn has_ended(&self) -> bool {
        match self {
            Self::Waiting(..) | Self::Notice(_) => false,
            Self::Answered | Self::Expired | Self::Withdrawn => true,
        }
    }
}

/// The events of one connection.
#[derive(Debug, Default)]
pub(super) struct Lane {
    last_number: u64,
    pub(super) queue: VecDeque<Queued>,
    /// At most [`UNSETTLED_MAX`], in the order of their numbers.
    pub(super) sent: Vec<Sent>,
    /// Which upstream of each app takes the events of this connection, by the app's place.
    pub(super) assigned: Vec<(usize, RegistrationKey)>,
    /// Its place in the line of the one registration for whose window it waits.
    pub(super) blocked: Option<(RegistrationKey, Ticket)>,
}

impl Lane {
    /// Appends an event.
    pub(super) fn push(&mut self, body: Body, waits: Option<Waits>, until: Time) -> &Queued {
        self.last_number += 1;
        self.queue.push_back(Queued {
            number: self.last_number,
            body,
            waits,
            until,
            redelivered: false,
        });
        &self.queue[self.queue.len() - 1]
    }

    /// Puts an event where its number belongs.
    pub(super) fn put_back(&mut self, event: Queued) {
        let place = self
            .queue
            .partition_point(|other| other.number < event.number);
        self.queue.insert(place, event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty()
    }

    /// Whether an event of this number was raised, and is neither waiting nor unsettled.
    pub(super) fn has_ended(&self, number: u64) -> bool {
        (1..=self.last_number).contains(&number)
            && self.queue.iter().all(|event| event.number != number)
            && self.sent.iter().all(|event| event.number != number)
    }

    /// Whether a request with this ack id waits for its answer.
    pub(super) fn awaits_ack(&self, id: u64) -> bool {
        let is_it = |waits: Waits| waits == Waits::Message { ack_id: Some(id) };
        self.queue
            .iter()
            .any(|event| event.waits.is_some_and(is_it))
            || self
                .sent
                .iter()
                .any(|event| matches!(event.state, SentState::Waiting(waits, _) if is_it(waits)))
    }

    pub(super) fn sent_mut(&mut self, number: u64) -> Option<&mut Sent> {
        self.sent.iter_mut().find(|event| event.number == number)
    }

    /// Takes an event of this number out of those that were sent.
    pub(super) fn take_sent(&mut self, number: u64) -> Option<Sent> {
        let place = self.sent.iter().position(|event| event.number == number)?;
        Some(self.sent.remove(place))
    }

    /// Takes an event of this number out of the queue.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Queued> {
        let place = self.queue.iter().position(|event| event.number == number)?;
        self.queue.remove(place)
    }

    /// Whether messages of the client wait here. They come last in the queue of a client that is there.
    pub(super) fn holds_messages(&self) -> bool {
        self.queue
            .back()
            .is_some_and(|event| matches!(event.body, Body::Message(_)))
    }

    /// Whether what was sent keeps the next event from going to this registration: what another one was sent has to end
    /// first, and at most [`UNSETTLED_MAX`] are unsettled.
    pub(super) fn holds_back(&self, next: RegistrationKey) -> bool {
        self.sent.len() >= UNSETTLED_MAX
            || self
                .sent
                .iter()
                .any(|event| event.registration != next && !event.state.has_ended())
    }
}
