//! The service's end of one `register` call: the events that it sent, and the acks that come in calls of their own.
//!
//! To the [hub](crate::hub) it is a link like any other: it takes the hub's frames, and it numbers the acks and settles the
//! events, as an upstream on a Link would. An event is settled once it is answered, its deadline has passed, or its client
//! has gone; a notice at once when it is transmitted, for nothing says that it arrived.
//!
//! An ack names a connection, and perhaps an event. Without an event it is for the oldest of the connection that waits for
//! an ack of its kind. So several messages of one connection can be answered out of order only by naming the events.
//!
//! What waits is bounded by the window of the registration. How the last [`ENDED_MAX`] events ended is remembered, so that a
//! late or second ack can be told.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use headwater_proto::{
    Code, Status,
    v1::{self, ack::Answer, event::Event, service_frame::Frame},
    wps_rpc::{RegisterMessage, StreamingRequest},
};

use super::translate;
use crate::{Deadline, Time, Why, link::service::check};

/// Of how many events a [`ServiceCalls`] remembers how they ended. An ack for one before them is NOT_FOUND.
pub const ENDED_MAX: usize = 1024;

/// What happens to the call.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The hub says something to this upstream.
    Frame(Frame),
    /// The time of [`ServiceCalls::poll_timeout`] has come.
    Timeout,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The registration is taken, under this name: send the headers of the response.
    Registered(String),
    /// Send this on the stream.
    Transmit(Box<StreamingRequest>),
    /// Tell the hub.
    Ack(Box<v1::Ack>),
    /// Tell the hub.
    Settled(v1::Settled),
    /// The service leaves, and everything was sent: tell the hub that this upstream wants nothing new.
    Drain,
    /// The ack of this number had no effect.
    Refused {
        /// What [`ServiceCalls::ack`] gave.
        seq: u64,
        /// Why; for the caller.
        status: Status,
    },
}

/// Which call an ack comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`ACK_CONNECT`](super::ACK_CONNECT).
    Connect,
    /// [`ACK_MESSAGE`](super::ACK_MESSAGE).
    Message,
}

/// The event that an ack is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Whose event.
    pub connection_id: &'a str,
    /// The number of the event; 0 for the oldest that waits.
    pub event_id: u64,
    /// Which answer it gets.
    pub kind: Kind,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct ServiceCalls {
    hub: String,
    /// By connection, in the order in which they were sent.
    waiting: BTreeMap<Arc<str>, Vec<Waiting>>,
    /// With the number of the event.
    deadlines: BTreeMap<(Time, u64), (Arc<str>, u64)>,
    /// The latest last.
    ended: VecDeque<Ended>,
    last_ack: u64,
    skipped: u64,
    outputs: VecDeque<Output>,
}

/// An event that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    number: u64,
    seq: u64,
    kind: Kind,
    until: Time,
}

#[derive(Debug)]
struct Ended {
    connection: Arc<str>,
    number: u64,
    kind: Kind,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Answered,
    Expired,
    Withdrawn,
}

impl ServiceCalls {
    /// The end of a call, and the registration that the hub is to be told of.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] if no valid, lower-case hub is named, or `app` or `app_version` is too long: for the call
    /// to end with.
    pub fn new(message: RegisterMessage) -> Result<(Self, v1::Register), Status> {
        let register = translate::register(message);
        check(&register)?;
        let machine = Self {
            hub: register.hub.clone(),
            waiting: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            ended: VecDeque::new(),
            last_ack: 0,
            skipped: 0,
            outputs: VecDeque::new(),
        };
        Ok((machine, register))
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input, now: Time) {
        match input {
            Input::Frame(Frame::Registered(registered)) => {
                let registered = Output::Registered(registered.registration);
                self.outputs.push_back(registered);
            }
            Input::Frame(Frame::Event(event)) => self.event(*event, now),
            Input::Frame(Frame::Cancel(cancel)) => self.cancel(&cancel.id.unwrap_or_default()),
            Input::Frame(Frame::Refused(refused)) => self.outputs.push_back(Output::Refused {
                seq: refused.seq,
                status: refused.status.unwrap_or_default().into(),
            }),
            Input::Frame(Frame::Drain(_)) => self.outputs.push_back(Output::Drain),
            // There are no words for a gap, and commands come in calls of their own.
            Input::Frame(Frame::Gap(_) | Frame::Result(_)) => self.skipped += 1,
            Input::Timeout => self.expire(now),
        }
    }

    /// Answers an event; the number of the ack. [`Output::Refused`] follows if the hub finds that it has no effect.
    ///
    /// # Errors
    ///
    /// As [`ServiceCalls::find`]; nothing changes then.
    pub fn ack(&mut self, target: Target<'_>, answer: Answer) -> Result<u64, Status> {
        let number = self.find(target)?;
        let (connection, event) = self
            .take(target.connection_id, number)
            .ok_or_else(no_such_event)?;
        self.last_ack += 1;
        let ack = v1::Ack {
            seq: self.last_ack,
            id: Some(v1::EventId {
                connection_id: target.connection_id.into(),
                number,
            }),
            answer: Some(answer),
        };
        self.outputs.push_back(Output::Ack(ack.into()));
        self.end(connection, event, How::Answered);
        Ok(self.last_ack)
    }

    /// The number of the event that an ack would answer.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] if no connection is named, or the event waits for the other kind of ack;
    /// [`Code::AlreadyExists`], [`Code::DeadlineExceeded`] or [`Code::Cancelled`] for an event that was answered, was not
    /// answered in time, or whose client has gone, as long as that is remembered; else [`Code::NotFound`]. If no event is
    /// named, this is said of the latest one that waited for an ack of this kind.
    pub fn find(&self, target: Target<'_>) -> Result<u64, Status> {
        if target.connection_id.is_empty() {
            let message = "the ack names no connection";
            return Err(Status::new(Code::InvalidArgument, message));
        }
        if let Some(number) = self.waits(target) {
            return Ok(number);
        }
        let is_misfit = |event: &Waiting| event.number == target.event_id;
        if self.waiting_of(target).iter().any(is_misfit) {
            let message = "the answer does not fit the event";
            return Err(Status::new(Code::InvalidArgument, message));
        }
        Err(self.why_not(target))
    }

    /// [`ServiceCalls::find`] without a word on why there is no such event, which is cheaper to ask of many.
    pub fn waits(&self, target: Target<'_>) -> Option<u64> {
        let is_it = |event: &&Waiting| {
            event.kind == target.kind && [0, event.number].contains(&target.event_id)
        };
        let event = self.waiting_of(target).iter().find(is_it)?;
        Some(event.number)
    }

    /// What to do next; `None` when drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to say [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let (&(at, _), _) = self.deadlines.first_key_value()?;
        Some(Deadline {
            at,
            why: Why::EventAnswer,
        })
    }

    /// Frames and events that this version could not say on the stream.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn event(&mut self, event: v1::Event, now: Time) {
        let (seq, left) = (event.seq, event.time_left_ms);
        let id = event.id.clone().unwrap_or_default();
        let kind = match &event.event {
            Some(Event::Connect(_)) => Some(Kind::Connect),
            Some(Event::Message(_)) => Some(Kind::Message),
            Some(Event::Connected(_) | Event::Disconnected(_)) | None => None,
        };
        let Ok(Some(request)) = translate::streaming_request(event, &self.hub) else {
            // Given up, lest it hold the window for ever.
            self.skipped += 1;
            return self.settle(seq);
        };
        self.outputs.push_back(Output::Transmit(request.into()));
        let Some(kind) = kind else {
            return self.settle(seq);
        };
        let connection: Arc<str> = id.connection_id.into();
        let waiting = Waiting {
            number: id.number,
            seq,
            kind,
            // By then the deadline of the hub has passed, whose time left was rounded: it says how the event ended.
            until: now + Duration::from_millis(u64::from(left) + 1),
        };
        let named = (Arc::clone(&connection), id.number);
        self.deadlines.insert((waiting.until, seq), named);
        self.waiting.entry(connection).or_default().push(waiting);
    }

    /// The client of an event has gone: nobody waits for the answer.
    fn cancel(&mut self, id: &v1::EventId) {
        if let Some((connection, event)) = self.take(&id.connection_id, id.number) {
            self.end(connection, event, How::Withdrawn);
        }
    }

    fn expire(&mut self, now: Time) {
        while let Some(due) = self.deadlines.first_entry()
            && due.key().0 <= now
        {
            let (connection, number) = due.remove();
            if let Some((connection, event)) = self.take(&connection, number) {
                self.end(connection, event, How::Expired);
            }
        }
    }

    /// Takes an event out of those that wait.
    fn take(&mut self, connection_id: &str, number: u64) -> Option<(Arc<str>, Waiting)> {
        let (connection, _) = self.waiting.get_key_value(connection_id)?;
        let connection = Arc::clone(connection);
        let events = self.waiting.get_mut(connection_id)?;
        let place = events.iter().position(|event| event.number == number)?;
        let event = events.remove(place);
        if events.is_empty() {
            self.waiting.remove(connection_id);
        }
        self.deadlines.remove(&(event.until, event.seq));
        Some((connection, event))
    }

    /// Nothing more comes of an event.
    fn end(&mut self, connection: Arc<str>, event: Waiting, how: How) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended {
            connection,
            number: event.number,
            kind: event.kind,
            how,
        });
        self.settle(event.seq);
    }

    fn settle(&mut self, seq: u64) {
        let range = v1::Range { from: seq, to: seq };
        let settled = v1::Settled {
            ranges: Vec::from([range]),
        };
        self.outputs.push_back(Output::Settled(settled));
    }

    /// The events of its connection that wait, the oldest first.
    fn waiting_of(&self, target: Target<'_>) -> &[Waiting] {
        let waiting = self.waiting.get(target.connection_id);
        waiting.map_or(&[], Vec::as_slice)
    }

    /// Why no event waits for this ack.
    fn why_not(&self, target: Target<'_>) -> Status {
        let is_it = |event: &&Ended| {
            &*event.connection == target.connection_id
                && event.kind == target.kind
                && [0, event.number].contains(&target.event_id)
        };
        // The latest first: an ack that names no event is rather for that.
        let Some(ended) = self.ended.iter().rev().find(is_it) else {
            return no_such_event();
        };
        match ended.how {
            How::Answered => Status::new(Code::AlreadyExists, "the event was answered before"),
            How::Expired => Status::new(Code::DeadlineExceeded, "the answer came too late"),
            How::Withdrawn => Status::new(Code::Cancelled, "the client has gone"),
        }
    }
}

/// What an ack is told for which no call has an event, nor remembers one.
pub fn no_such_event() -> Status {
    let message = "the connection has no such event here that waits for its answer";
    Status::new(Code::NotFound, message)
}

#[cfg(test)]
mod tests;
