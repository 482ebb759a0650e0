//! One client connection's manners: messages in, keep-alive, bad input, closing.
//!
//! A [`Session`] belongs to the task that reads the connection. It turns what the WebSocket decoder found into requests for
//! the [hub](crate::hub), and owns what needs no hub: pings and pongs, the close handshake, silence. User, permissions
//! and membership live in the hub, where a grant or a removal can reach them; so do the ack ids, because a
//! request's outcome is known there.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use headwater_proto::{
    subprotocol::{Operation, Protocol, Request, Response},
    websocket::{self, Incoming, Violation},
};

use crate::{Deadline, Time, Why, hub::SimpleMode};

/// The patience of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// A client that says nothing for so long is sent a WebSocket ping. Default: 30 s.
    pub ping_after: Duration,
    /// A client that says nothing for so long is dropped. Default: 75 s.
    pub silence_max: Duration,
    /// How long a client has for its part of the close handshake. Default: 5 s.
    pub close_timeout: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            ping_after: Duration::from_secs(30),
            silence_max: Duration::from_secs(75),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// What happens to a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The decoder found something.
    Incoming(Incoming),
    /// The decoder found what RFC 6455 forbids.
    Violation(Violation),
    /// The connection broke, or was closed without a close frame.
    Lost,
    /// The hub closed the connection; its close frame is on the way.
    Closed,
    /// The driver reads no more for now (`true`), or again (`false`): silence means nothing meanwhile.
    Paused(bool),
    /// The time of [`Session::poll_timeout`] has come.
    Timeout,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Tell the hub.
    Request(Request),
    /// Write this.
    Transmit(Bytes),
    /// Tell the hub that the client has gone, and let `last` be what is written last. Comes at most once.
    End {
        /// Why.
        reason: String,
        /// The last words; empty if nobody hears them.
        last: Bytes,
    },
    /// Close the socket now. Comes once, and last.
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open {
        pinged: bool,
    },
    Paused,
    /// The last words are on the way; the client's close frame or the end of the stream is awaited.
    Closing {
        until: Time,
    },
    Dropped,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct Session {
    protocol: Protocol,
    simple_mode: SimpleMode,
    config: SessionConfig,
    state: State,
    heard_at: Time,
    outputs: VecDeque<Output>,
}

impl Session {
    /// The session of a WebSocket that has just opened.
    pub fn new(
        protocol: Protocol,
        simple_mode: SimpleMode,
        config: SessionConfig,
        now: Time,
    ) -> Self {
        let state = State::Open { pinged: false };
        Self {
            protocol,
            simple_mode,
            config,
            state,
            heard_at: now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input, now: Time) {
        match input {
            Input::Incoming(incoming) => self.incoming(incoming, now),
            Input::Violation(Violation { close_code, reason }) => {
                self.fail(close_code, reason, now)
            }
            Input::Lost => {
                self.end("the connection was lost", Bytes::new(), now);
                self.drop_socket();
            }
            Input::Closed if self.is_live() => {
                self.state = State::Closing {
                    until: now + self.config.close_timeout,
                }
            }
            Input::Closed => {}
            Input::Paused(paused) if self.is_live() => {
                self.heard_at = now;
                self.state = if paused {
                    State::Paused
                } else {
                    State::Open { pinged: false }
                };
            }
            Input::Paused(_) => {}
            Input::Timeout => self.timeout(now),
        }
    }

    /// What to do next; `None` when drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to say [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Deadline> {
        match self.state {
            State::Open { pinged: false } => Some(Deadline {
                at: self.heard_at + self.config.ping_after,
                why: Why::KeepAlive,
            }),
            State::Open { pinged: true } => Some(Deadline {
                at: self.heard_at + self.config.silence_max,
                why: Why::Silence,
            }),
            State::Closing { until } => Some(Deadline {
                at: until,
                why: Why::Close,
            }),
            State::Paused | State::Dropped => None,
        }
    }

    fn incoming(&mut self, incoming: Incoming, now: Time) {
        match self.state {
            State::Dropped => return,
            State::Closing { .. } => {
                if matches!(incoming, Incoming::Close { .. }) {
                    self.drop_socket();
                }
                return;
            }
            State::Open { .. } => self.state = State::Open { pinged: false },
            State::Paused => {}
        }
        self.heard_at = now;
        match incoming {
            Incoming::Message { kind, data } => match self.protocol.decode(kind, data) {
                Ok(request) => {
                    let request = self.in_simple_mode(request);
                    self.outputs.push_back(Output::Request(request));
                }
                Err(malformed) => self.fail(malformed.close_code, &malformed.reason, now),
            },
            Incoming::Ping(payload) => {
                let mut pong = Vec::new();
                websocket::encode_pong(&payload, &mut pong);
                self.outputs.push_back(Output::Transmit(pong.into()));
            }
            Incoming::Close { code, .. } => {
                let mut last = Vec::new();
                // RFC 6455, section 5.5.1: the answer usually repeats the code; without one it is a normal end.
                websocket::encode_close(code.unwrap_or(1000), "", &mut last);
                self.end("the client closed the connection", last.into(), now);
            }
            // It has said all by coming.
            Incoming::Pong(_) => {}
        }
    }

    /// Ends the session for what the client did wrong: it is told, then the close frame follows.
    fn fail(&mut self, close_code: u16, reason: &str, now: Time) {
        let mut last = Vec::new();
        self.protocol
            .encode(&Response::Disconnected { reason }, &mut last);
        websocket::encode_close(close_code, reason, &mut last);
        self.end(reason, last.into(), now);
    }

    fn end(&mut self, reason: &str, last: Bytes, now: Time) {
        if !self.is_live() {
            return;
        }
        self.state = State::Closing {
            until: now + self.config.close_timeout,
        };
        self.outputs.push_back(Output::End {
            reason: reason.into(),
            last,
        });
    }

    fn timeout(&mut self, now: Time) {
        if self.poll_timeout().is_none_or(|deadline| deadline.at > now) {
            return;
        }
        match self.state {
            State::Open { pinged: false } => {
                let mut ping = Vec::new();
                websocket::encode_ping(&[], &mut ping);
                self.outputs.push_back(Output::Transmit(ping.into()));
                self.state = State::Open { pinged: true };
            }
            State::Open { pinged: true } => {
                self.end("the client fell silent", Bytes::new(), now);
                self.drop_socket();
            }
            State::Closing { .. } => self.drop_socket(),
            State::Paused | State::Dropped => {}
        }
    }

    fn drop_socket(&mut self) {
        if self.state != State::Dropped {
            self.state = State::Dropped;
            self.outputs.push_back(Output::Drop);
        }
    }

    const fn is_live(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Paused)
    }

    /// What a frame of a client without a subprotocol is.
    fn in_simple_mode(&self, request: Request) -> Request {
        let (Protocol::Simple, SimpleMode::SendToGroup(group)) = (self.protocol, &self.simple_mode)
        else {
            return request;
        };
        let Operation::Event {
            payload, metadata, ..
        } = request.operation
        else {
            return request;
        };
        let operation = Operation::SendToGroup {
            group: group.clone(),
            payload,
            no_echo: false,
            metadata,
        };
        Request {
            ack_id: request.ack_id,
            operation,
        }
    }
}

#[cfg(test)]
mod tests;
