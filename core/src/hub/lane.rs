//! The events of one connection, in their one order: connect < connected < messages < disconnected.

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};

use headwater_proto::v1;

use super::{registration::RegistrationKey, upstreams::Kind};
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

    /// What it counts against a window: its payload and a constant for the frame around it.
    pub(super) fn bytes(&self) -> usize {
        const FRAME: usize = 128;
        match self {
            Self::Connect(_) => 4 * FRAME,
            Self::Connected => FRAME,
            Self::Message(message) => {
                FRAME
                    + message
                        .payload
                        .as_ref()
                        .map_or(0, |payload| payload.data.len())
            }
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
    /// Who waits, and until when. `None`: a notice.
    pub(super) waits: Option<(Waits, Time)>,
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

/// The events of one connection.
#[derive(Debug, Default)]
pub(super) struct Lane {
    last_number: u64,
    pub(super) queue: VecDeque<Queued>,
    /// At most [`UNSETTLED_MAX`], in the order of their numbers.
    pub(super) sent: Vec<Sent>,
    /// Which upstream of each app takes the events of this connection, by the app's place.
    pub(super) assigned: Vec<(usize, RegistrationKey)>,
    /// Whether a registration has this lane in its list of those that wait for its window.
    pub(super) blocked: bool,
}

impl Lane {
    /// Appends an event; its number.
    pub(super) fn push(&mut self, body: Body, waits: Option<(Waits, Time)>) -> u64 {
        self.last_number += 1;
        self.queue.push_back(Queued {
            number: self.last_number,
            body,
            waits,
            redelivered: false,
        });
        self.last_number
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty()
    }

    /// Whether an event of this number was ever raised.
    pub(super) fn knows(&self, number: u64) -> bool {
        (1..=self.last_number).contains(&number)
    }

    /// Whether a request with this ack id waits for its answer.
    pub(super) fn awaits_ack(&self, id: u64) -> bool {
        let is_it = |waits: Waits| waits == Waits::Message { ack_id: Some(id) };
        self.queue
            .iter()
            .any(|event| event.waits.is_some_and(|(waits, _)| is_it(waits)))
            || self
                .sent
                .iter()
                .any(|event| matches!(event.state, SentState::Waiting(waits, _) if is_it(waits)))
    }

    pub(super) fn sent_mut(&mut self, number: u64) -> Option<&mut Sent> {
        self.sent.iter_mut().find(|event| event.number == number)
    }

    /// Takes an event of this number out of the queue.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Queued> {
        let place = self.queue.iter().position(|event| event.number == number)?;
        self.queue.remove(place)
    }

    /// Whether what was sent keeps the next event from going to this registration: the one before has to end first, and
    /// an upstream holds at most [`UNSETTLED_MAX`].
    pub(super) fn holds_back(&self, next: RegistrationKey) -> bool {
        self.sent.len() >= UNSETTLED_MAX || self.sent.iter().any(|event| event.registration != next)
    }
}
