//! What upstreams say of the events that they were sent: their answers, and that they are done with them.

use alloc::{boxed::Box, vec::Vec};

use bytes::Bytes;
use headwater_proto::{Code, Status, subprotocol::Payload, v1};

use super::{
    ConnectionKey, Hub, LinkKey,
    connection::Phase,
    lane::{SentState, Waits},
    registration::{RegistrationKey, Ticket},
};

impl<C: Clone, L: Clone> Hub<C, L> {
    /// An upstream answers an event.
    pub(super) fn ack(&mut self, link: LinkKey, ack: v1::Ack) {
        let Some((registration, _)) = self.upstreams.of_link(link) else {
            return;
        };
        let key = ack
            .id
            .as_ref()
            .and_then(|id| self.members.key_of(&id.connection_id));
        if let Err(status) = self.take_ack(registration, ack.id, ack.answer) {
            let refused = v1::Refused {
                seq: ack.seq,
                status: Some(status.into()),
            };
            self.send_to_link(link, v1::service_frame::Frame::Refused(refused));
        }
        // What has ended holds back no event for another upstream any more.
        if let Some(key) = key {
            self.pump(key);
        }
    }

    fn take_ack(
        &mut self,
        from: RegistrationKey,
        id: Option<v1::EventId>,
        answer: Option<v1::ack::Answer>,
    ) -> Result<(), Status> {
        let id = id.unwrap_or_default();
        let unknown = || Status::new(Code::NotFound, "there is no such event");
        let key = self.members.key_of(&id.connection_id).ok_or_else(unknown)?;
        let connection = self.members.connection_mut(key).ok_or_else(unknown)?;
        let departed = connection.phase == Phase::Departed;
        let has_ended = connection.lane.has_ended(id.number);
        let Some(sent) = connection.lane.sent_mut(id.number) else {
            return Err(if has_ended {
                Status::new(Code::AlreadyExists, "the event has ended")
            } else {
                unknown()
            });
        };
        if sent.registration != from {
            return Err(unknown());
        }
        let (waits, at) = match &sent.state {
            SentState::Waiting(waits, at) => (*waits, *at),
            SentState::Notice(_) => return Err(misfit()),
            SentState::Answered => {
                return Err(Status::new(
                    Code::AlreadyExists,
                    "the event was answered before",
                ));
            }
            SentState::Expired => {
                return Err(Status::new(
                    Code::DeadlineExceeded,
                    "the answer came too late",
                ));
            }
            SentState::Withdrawn => {
                return Err(Status::new(Code::Cancelled, "the client has gone"));
            }
        };
        let answer = Answer::new(waits, answer)?;
        sent.state = SentState::Answered;
        self.events.answered(key, id.number, at);
        if departed {
            return Err(Status::new(Code::Cancelled, "the client has gone"));
        }
        match answer {
            Answer::Accept(accept) => return self.admit(key, *accept),
            Answer::Reject(status) => self.refuse(key, status),
            Answer::Message(ack_id, Err(status)) => self.message_done(key, ack_id, Err(status)),
            Answer::Message(ack_id, Ok(reply)) => return self.reply(key, ack_id, reply),
        }
        Ok(())
    }

    fn reply(
        &mut self,
        key: ConnectionKey,
        ack_id: Option<u64>,
        reply: v1::Reply,
    ) -> Result<(), Status> {
        match Reply::try_from(reply) {
            Ok(reply) => {
                self.message_done(key, ack_id, Ok(reply));
                Ok(())
            }
            Err(status) => {
                let told = Status::new(Code::Internal, "the upstream's reply is not valid");
                self.message_done(key, ack_id, Err(told));
                Err(status)
            }
        }
    }

    /// An upstream is done with events. Those of its lanes that have waited for its window longest go first.
    pub(super) fn settled(&mut self, link: LinkKey, settled: &v1::Settled) {
        let Some((at, registration)) = self.upstreams.of_link(link) else {
            return;
        };
        // What is sent in the course of this is not what it speaks of.
        let last_seq = registration.last_seq();
        let mut touched = Vec::new();
        for range in &settled.ranges {
            let range = range.from..=range.to.min(last_seq);
            while let Some((_, registration)) = self.upstreams.of_link(link)
                && let Some(event) = registration.settle(&range)
            {
                self.settle_one(event.connection, event.number);
                if touched.last() != Some(&event.connection) {
                    touched.push(event.connection);
                }
            }
        }
        self.unblock(at);
        for key in touched {
            self.pump(key);
        }
        self.end_if_drained(link);
    }

    fn settle_one(&mut self, key: ConnectionKey, number: u64) {
        let Some(connection) = self.members.connection_mut(key) else {
            return;
        };
        let Some(sent) = connection.lane.take_sent(number) else {
            return;
        };
        if let SentState::Waiting(waits, at) = sent.state {
            // Settled without an answer: the upstream gave it up.
            self.events.answered(key, number, at);
            self.fail(
                key,
                waits,
                Status::new(Code::Internal, "the upstream gave no answer"),
            );
        }
    }

    /// Gives the lanes that wait for the window of this upstream their turn, one after the other. The first one whose
    /// event does not fit keeps its place, and those behind it wait too: else a large event would wait for ever.
    pub(super) fn unblock(&mut self, at: RegistrationKey) {
        while let Some(registration) = self.upstreams.registration_mut(at)
            && let Some((ticket, key)) = registration.blocked.pop_first()
        {
            let seq = registration.last_seq();
            let Some(connection) = self.members.connection_mut(key) else {
                continue;
            };
            connection.lane.blocked = None;
            self.pump(key);
            if self.keeps_place(key, at, ticket, seq) {
                return;
            }
        }
    }

    /// Whether a lane that had its turn sent nothing for want of room; it gets its old place back.
    fn keeps_place(
        &mut self,
        key: ConnectionKey,
        at: RegistrationKey,
        ticket: Ticket,
        seq: u64,
    ) -> bool {
        let Some(connection) = self.members.connection_mut(key) else {
            return false;
        };
        let Some((_, new)) = connection.lane.blocked.filter(|&(place, _)| place == at) else {
            return false;
        };
        let Some(registration) = self
            .upstreams
            .registration_mut(at)
            .filter(|registration| registration.last_seq() == seq)
        else {
            return false;
        };
        connection.lane.blocked = Some((at, ticket));
        registration.blocked.remove(&new);
        registration.blocked.insert(ticket, key);
        true
    }
}

/// The largest state that an upstream may store for a connection, in bytes: 64 KiB. Each event of the connection carries
/// it, beside what a client said, and must fit a frame.
pub const STATE_BYTES_MAX: usize = 64 << 10;

/// Whether a state that an upstream wants to store is small enough.
pub(super) fn state_fits(state: Option<&Bytes>) -> bool {
    state.is_none_or(|state| state.len() <= STATE_BYTES_MAX)
}

/// What an upstream answers to a message.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) payload: Option<Payload>,
    pub(super) state: Option<Bytes>,
}

impl TryFrom<v1::Reply> for Reply {
    type Error = Status;

    fn try_from(reply: v1::Reply) -> Result<Self, Status> {
        if !state_fits(reply.state.as_ref()) {
            return Err(Status::new(
                Code::InvalidArgument,
                "the state is over 64 KiB",
            ));
        }
        let payload = reply.payload.map(Payload::try_from).transpose()?;
        Ok(Self {
            payload,
            state: reply.state,
        })
    }
}

/// An answer that fits its event.
enum Answer {
    Accept(Box<v1::Accept>),
    Reject(Status),
    Message(Option<u64>, Result<v1::Reply, Status>),
}

impl Answer {
    fn new(waits: Waits, answer: Option<v1::ack::Answer>) -> Result<Self, Status> {
        use v1::ack::Answer as Wire;
        match (waits, answer.ok_or_else(misfit)?) {
            (Waits::Connect, Wire::Accept(accept)) => Ok(Self::Accept(Box::new(accept))),
            (Waits::Connect, Wire::Reject(reject)) => {
                Ok(Self::Reject(reject.status.unwrap_or_default().into()))
            }
            (Waits::Connect, Wire::Error(status)) => Ok(Self::Reject(status.into())),
            (Waits::Message { ack_id }, Wire::Reply(reply)) => Ok(Self::Message(ack_id, Ok(reply))),
            (Waits::Message { ack_id }, Wire::Error(status)) => {
                Ok(Self::Message(ack_id, Err(status.into())))
            }
            (Waits::Connect, Wire::Reply(_))
            | (Waits::Message { .. }, Wire::Accept(_) | Wire::Reject(_)) => Err(misfit()),
        }
    }
}

fn misfit() -> Status {
    Status::new(Code::InvalidArgument, "the answer does not fit the event")
}
