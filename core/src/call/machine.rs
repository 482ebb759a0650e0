//! The machine of one call.

use alloc::{boxed::Box, collections::VecDeque};

use bytes::Bytes;
use headwater_proto::{Code, Metadata, Status};

use super::{
    compression::{self, Agreement, Encoding},
    config::{CallConfig, Credit, MESSAGE_BYTES_MAX},
    parts::{Closed, Ended, EndedBy, Event, Frame, Input, Output, SendError, Trailers, Violation},
    table::{self, Half, Part},
};
use crate::time::{Deadline, Time, Why};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// One RPC on one stream. See the [module](super).
#[derive(Debug)]
pub struct Call {
    role: Role,
    config: CallConfig,
    compression: Agreement,
    deadline: Option<Time>,
    /// The latest time that was told.
    now: Time,
    outbound: Half,
    inbound: Half,
    sent_any: bool,
    received_any: bool,
    /// Handed out to be transmitted, and not credited yet.
    in_flight: Credit,
    /// A verb was refused with `Blocked`, and `Writable` is owed.
    blocked: bool,
    /// Received, and not consumed yet.
    unread: Credit,
    /// Consumed, and not granted to the peer yet.
    owed: Credit,
    ended: bool,
    outputs: VecDeque<Output>,
}

impl Call {
    /// The client's side of a call whose request headers open the stream.
    pub fn client(config: &CallConfig, now: Time) -> Self {
        Self::new(Role::Client, config, now)
    }

    /// The server's side of a call whose request headers have arrived.
    pub fn server(config: &CallConfig, now: Time) -> Self {
        Self::new(Role::Server, config, now)
    }

    fn new(role: Role, config: &CallConfig, now: Time) -> Self {
        let (outbound, inbound) = match role {
            Role::Client => (Half::Open, Half::Idle),
            Role::Server => (Half::Idle, Half::Open),
        };
        Self {
            role,
            config: CallConfig {
                send_message_bytes_max: config.send_message_bytes_max.min(MESSAGE_BYTES_MAX),
                ..*config
            },
            compression: Agreement::new(config.send_encoding, config.accepted_encodings),
            deadline: config.timeout.map(|timeout| now + timeout),
            now,
            outbound,
            inbound,
            sent_any: false,
            received_any: false,
            in_flight: Credit::default(),
            blocked: false,
            unread: Credit::default(),
            owed: Credit::default(),
            ended: false,
            outputs: VecDeque::new(),
        }
    }

    /// Whether the call is over. Outputs may still wait.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether a send was refused as [`SendError::Blocked`] and [`Event::Writable`] has not come since.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// When the call's time is over, if it has a bound.
    pub const fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Whether a message of this many bytes would not be [`SendError::Blocked`].
    const fn has_credit(&self, message_bytes: usize) -> bool {
        Credit::message(message_bytes).fits(self.in_flight, self.config.send_window)
    }

    /// What this side's messages are compressed with.
    pub const fn send_encoding(&self) -> Encoding {
        self.compression.send
    }

    /// What the peer's compressed messages are to be decompressed with, before they are handed in. Identity: they are not
    /// allowed, and are handed in as they are.
    pub const fn receive_encoding(&self) -> Encoding {
        self.compression.receive
    }

    /// Client: adds what the call itself says in the request's headers. Comes before they are sent.
    pub fn announce(&self, metadata: &mut Metadata) {
        self.compression.announce_request(metadata);
    }

    /// Server: takes out of the request's headers what they say of the call itself. Comes first; if the requests are in
    /// an encoding that is not taken, this ends the call.
    pub fn requested(&mut self, metadata: &mut Metadata) {
        let Err(trailers) = self.compression.requested(metadata) else {
            return;
        };
        self.outputs
            .push_back(Output::Transmit(Frame::end(trailers.clone())));
        self.end(trailers, EndedBy::Violation);
    }

    /// Server: compresses messages with this from now on, if the client takes it, and else not at all.
    ///
    /// # Errors
    ///
    /// The call has ended; or it is the client's side, or headers or a message were sent before.
    pub fn set_send_encoding(&mut self, encoding: Encoding) -> Result<(), SendError> {
        self.check_live()?;
        if self.role == Role::Client || self.outbound != Half::Idle {
            return Err(SendError::Misuse);
        }
        self.compression.choose(encoding);
        Ok(())
    }

    /// Server: sends the initial metadata. Without this the first message sends empty ones.
    ///
    /// # Errors
    ///
    /// The call has ended; or it is the client's side, or headers or a message were sent before.
    pub fn send_headers(&mut self, metadata: Metadata) -> Result<(), SendError> {
        self.check_live()?;
        if self.role == Role::Client {
            return Err(SendError::Misuse);
        }
        self.transmit_headers(metadata)
    }

    /// Says why a message of `message_bytes`, of which `sent_bytes` are left when it is compressed, would be refused now.
    /// If it is with `Blocked`, [`Event::Writable`] follows.
    ///
    /// # Errors
    ///
    /// The window is full, the call has ended, the message is too large, or the method has no further message.
    pub fn check_send(&mut self, message_bytes: usize, sent_bytes: usize) -> Result<(), SendError> {
        self.check_live()?;
        if message_bytes > self.config.send_message_bytes_max {
            return Err(SendError::TooLarge);
        }
        if self.outbound == Half::Closed || (self.sent_any && self.sends_one()) {
            return Err(SendError::Misuse);
        }
        if !self.has_credit(sent_bytes) {
            self.blocked = true;
            return Err(SendError::Blocked);
        }
        Ok(())
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// As [`Call::check_send`].
    pub fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        self.check_send(message.len(), message.len())?;
        self.transmit_message(Frame::Message(message))
    }

    /// [`Call::send`] for a driver that hands the message to the transport itself: the message is counted, and no output
    /// comes for it. If headers have to go first, they are the one output that waits after this, and go before the
    /// message. `false` if outputs wait already; then [`Call::send`] is the way.
    ///
    /// # Errors
    ///
    /// As [`Call::check_send`].
    pub fn send_aside(&mut self, message_bytes: usize) -> Result<bool, SendError> {
        self.check_send(message_bytes, message_bytes)?;
        if !self.outputs.is_empty() {
            return Ok(false);
        }
        if self.outbound == Half::Idle {
            self.transmit_headers(Metadata::new())?;
        }
        self.in_flight = self.in_flight.add(Credit::message(message_bytes));
        self.sent_any = true;
        Ok(true)
    }

    /// [`Call::handle`] of a message for a driver that hands it to the application itself, behind all outputs so far: the
    /// message is counted, and no output comes for it. `false` if outputs wait, or the message is not simply to be
    /// taken; then [`Call::handle`] is the way.
    pub fn receive_aside(&mut self, message_bytes: usize, now: Time) -> bool {
        let now = self.now.max(now);
        let in_time = self.deadline.is_none_or(|deadline| now < deadline);
        let simple = in_time && !self.ended && self.inbound == Half::Open;
        simple
            && self.outputs.is_empty()
            && self.check_received(message_bytes, message_bytes).is_ok()
    }

    /// Sends a message that was compressed with this encoding, and had `message_bytes` before.
    ///
    /// # Errors
    ///
    /// As [`Call::check_send`]; or it is not the call's encoding ([`Call::send_encoding`]).
    pub fn send_compressed(
        &mut self,
        encoding: Encoding,
        compressed: Bytes,
        message_bytes: usize,
    ) -> Result<(), SendError> {
        self.check_send(message_bytes, compressed.len())?;
        if encoding == Encoding::Identity || encoding != self.compression.send {
            return Err(SendError::Misuse);
        }
        self.transmit_message(Frame::Compressed(compressed))
    }

    /// Client: says that no more messages come.
    ///
    /// # Errors
    ///
    /// The call has ended; or it was said before, the method's one message is missing, or it is the server's side.
    pub fn half_close(&mut self) -> Result<(), SendError> {
        self.may_end(true)?;
        if self.role == Role::Server {
            return Err(SendError::Misuse);
        }
        self.transmit(Frame::end(Trailers::ok()))
    }

    /// Server: ends the call with its outcome.
    ///
    /// # Errors
    ///
    /// The call has ended; or it is the client's side, or the outcome is success and the method's one message is missing.
    pub fn finish(&mut self, trailers: Trailers) -> Result<(), SendError> {
        self.may_end(trailers.outcome.is_ok())?;
        if self.role == Role::Client {
            return Err(SendError::Misuse);
        }
        self.transmit(Frame::end(trailers.clone()))?;
        self.end(trailers, EndedBy::Status);
        Ok(())
    }

    /// Whether [`Call::half_close`] or, on the server, [`Call::finish`] with this outcome would go.
    ///
    /// # Errors
    ///
    /// Those that it would have.
    pub const fn may_end(&self, succeeds: bool) -> Result<(), SendError> {
        if self.ended {
            return Err(SendError::Ended);
        }
        let incomplete = succeeds && self.sends_one() && !self.sent_any;
        if incomplete || matches!(self.outbound, Half::Closed) {
            return Err(SendError::Misuse);
        }
        Ok(())
    }

    /// Gives the call up; the peer is told. Does nothing if it has ended.
    pub fn cancel(&mut self, status: Status) {
        if !self.ended {
            self.stop(status, EndedBy::Local);
        }
    }

    /// Says that the application is done with this much of what it received, so that the peer may send more. Only
    /// matters with a [`CallConfig::receive_window`].
    pub fn consumed(&mut self, credit: Credit) {
        let Some(window) = self.config.receive_window else {
            return;
        };
        self.unread = self.unread.less(credit);
        self.owed = self.owed.add(credit);
        let due = self.owed.messages.saturating_mul(2) >= window.messages
            || self.owed.bytes.saturating_mul(2) >= window.bytes;
        if due && !self.ended && self.inbound != Half::Closed && !self.owed.is_zero() {
            self.outputs.push_back(Output::Credit(self.owed));
            self.owed = Credit::default();
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Time) {
        self.now = self.now.max(now);
        if self.ended {
            return;
        }
        if self.deadline.is_some_and(|deadline| deadline <= self.now) {
            let status = Status::new(Code::DeadlineExceeded, "the deadline passed");
            self.stop(status, EndedBy::Deadline);
            return;
        }
        match input {
            Input::Frame(frame) => self.receive(frame),
            Input::Decompressed {
                message,
                sent_bytes,
            } => self.decompressed(message, sent_bytes),
            Input::Credit(credit) => self.credited(credit),
            Input::Closed(closed) => self.closed(closed),
            Input::Timeout => {}
        }
    }

    /// The next thing to do, or `None` if there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// [`Call::poll_output`], if the next thing is one that is `wanted`.
    pub fn poll_output_if(&mut self, wanted: impl FnOnce(&Output) -> bool) -> Option<Output> {
        self.outputs.pop_front_if(|output| wanted(output))
    }

    /// When to call [`Call::handle`] with [`Input::Timeout`]; at once while outputs wait.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if !self.outputs.is_empty() {
            return Some(Deadline {
                at: self.now,
                why: Why::Drain,
            });
        }
        if self.ended {
            return None;
        }
        let why = Why::CallDeadline;
        self.deadline.map(|at| Deadline { at, why })
    }

    fn receive(&mut self, frame: Frame) {
        if let Err(violation) = self.try_receive(frame) {
            self.violated(violation);
        }
    }

    fn try_receive(&mut self, frame: Frame) -> Result<(), Violation> {
        self.advance_inbound(frame.part())?;
        match frame {
            Frame::Headers(mut metadata) => {
                self.compression.responded(&mut metadata)?;
                self.event(Event::Headers(metadata));
                Ok(())
            }
            Frame::Message(message) => {
                self.check_received(message.len(), message.len())?;
                self.event(Event::Message(message));
                Ok(())
            }
            Frame::Compressed(_) => Err(Violation::Compressed),
            Frame::End(trailers) => self.inbound_ended(*trailers),
        }
    }

    fn decompressed(&mut self, message: Result<Bytes, Violation>, sent_bytes: usize) {
        if let Err(violation) = self.try_decompressed(message, sent_bytes) {
            self.violated(violation);
        }
    }

    fn try_decompressed(
        &mut self,
        message: Result<Bytes, Violation>,
        sent_bytes: usize,
    ) -> Result<(), Violation> {
        self.advance_inbound(Part::Message)?;
        if self.compression.receive == Encoding::Identity {
            return Err(Violation::Compressed);
        }
        let message = message?;
        self.check_received(message.len(), sent_bytes)?;
        self.event(Event::Decompressed {
            message,
            sent_bytes,
        });
        Ok(())
    }

    fn advance_inbound(&mut self, part: Part) -> Result<(), Violation> {
        self.inbound = table::next(self.inbound, part).ok_or(Violation::Part(part))?;
        Ok(())
    }

    fn check_received(&mut self, message_bytes: usize, sent_bytes: usize) -> Result<(), Violation> {
        if message_bytes > self.config.receive_message_bytes_max {
            return Err(Violation::TooLarge);
        }
        if self.received_any && self.receives_one() {
            return Err(Violation::Count);
        }
        if let Some(window) = self.config.receive_window {
            let credit = Credit::message(sent_bytes);
            if !credit.fits(self.unread.add(self.owed), window) {
                return Err(Violation::Credit);
            }
            self.unread = self.unread.add(credit);
        }
        self.received_any = true;
        Ok(())
    }

    fn inbound_ended(&mut self, mut trailers: Trailers) -> Result<(), Violation> {
        compression::strip(&mut trailers.metadata);
        // A call that fails need not have its message.
        let complete = self.received_any || !self.receives_one();
        match self.role {
            Role::Server if complete => self.event(Event::HalfClosed),
            Role::Client if complete || trailers.outcome.is_err() => {
                if self.outbound != Half::Closed {
                    self.outputs.push_back(Output::Reset(Code::Cancelled));
                }
                self.end(trailers, EndedBy::Status);
            }
            Role::Client | Role::Server => return Err(Violation::Count),
        }
        Ok(())
    }

    fn credited(&mut self, credit: Credit) {
        self.in_flight = self.in_flight.less(credit);
        if !self.blocked {
            return;
        }
        let window = self.config.send_window;
        let half_free = self.in_flight.messages.saturating_mul(2) <= window.messages
            && self.in_flight.bytes.saturating_mul(2) <= window.bytes;
        if half_free {
            self.blocked = false;
            self.event(Event::Writable);
        }
    }

    fn closed(&mut self, closed: Closed) {
        if closed.by == EndedBy::Violation {
            return self.stop(closed.status, EndedBy::Violation);
        }
        let status = match (self.role, closed.by) {
            // To a handler, a client that is lost has cancelled, as gRPC's servers tell it.
            (Role::Server, EndedBy::Transport) => Closed::cancelled(Code::Cancelled).status,
            _ => closed.status,
        };
        self.end(Trailers::failed(status), closed.by);
    }

    fn violated(&mut self, violation: Violation) {
        self.stop(violation.status(), EndedBy::Violation);
    }

    /// Ends the call from this side. A server says why in the trailers, unless messages wait before them that a slow
    /// reader might never let through.
    fn stop(&mut self, status: Status, by: EndedBy) {
        let says_status = self.role == Role::Server
            && self.in_flight.messages == 0
            && self.outbound != Half::Closed;
        if says_status {
            let trailers = Trailers::failed(status.clone());
            self.outputs
                .push_back(Output::Transmit(Frame::end(trailers)));
        } else {
            let code = match by {
                EndedBy::Violation => status.code,
                // Such as that the server stops, which is no cancel.
                EndedBy::Local if self.role == Role::Server => status.code,
                EndedBy::Status
                | EndedBy::Local
                | EndedBy::Deadline
                | EndedBy::Peer
                | EndedBy::Transport => Code::Cancelled,
            };
            self.outputs.push_back(Output::Reset(code));
        }
        self.end(Trailers::failed(status), by);
    }

    fn end(&mut self, trailers: Trailers, by: EndedBy) {
        self.outbound = Half::Closed;
        self.inbound = Half::Closed;
        self.ended = true;
        self.event(Event::Ended(Box::new(Ended { trailers, by })));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn transmit_headers(&mut self, mut metadata: Metadata) -> Result<(), SendError> {
        self.compression.announce_response(&mut metadata);
        self.transmit(Frame::Headers(metadata))
    }

    fn transmit_message(&mut self, frame: Frame) -> Result<(), SendError> {
        if self.outbound == Half::Idle {
            self.transmit_headers(Metadata::new())?;
        }
        self.in_flight = self.in_flight.add(frame.credit());
        self.sent_any = true;
        self.transmit(frame)
    }

    fn transmit(&mut self, frame: Frame) -> Result<(), SendError> {
        let Some(half) = table::next(self.outbound, frame.part()) else {
            return Err(SendError::Misuse);
        };
        self.outbound = half;
        self.outputs.push_back(Output::Transmit(frame));
        Ok(())
    }

    const fn check_live(&self) -> Result<(), SendError> {
        if self.ended {
            return Err(SendError::Ended);
        }
        Ok(())
    }

    const fn sends_one(&self) -> bool {
        match self.role {
            Role::Client => self.config.shape.one_request(),
            Role::Server => self.config.shape.one_response(),
        }
    }

    const fn receives_one(&self) -> bool {
        match self.role {
            Role::Client => self.config.shape.one_response(),
            Role::Server => self.config.shape.one_request(),
        }
    }
}
