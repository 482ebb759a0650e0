//! What goes into the machine and what comes out.

use alloc::{boxed::Box, string::String};
use core::time::Duration;

use headwater_proto::{Code, Status, v1};

use super::{CommandId, Delivery};
use crate::link::{WINDOW_BYTES_DEFAULT, WINDOW_EVENTS_DEFAULT};

/// What a [`Link`](super::Link) registers, and its bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The hub to serve: exact and lower-case. Default: empty, which no service accepts.
    pub hub: String,
    /// The name of the application: registrations with the same name share the work. Default: empty.
    pub app: String,
    /// For people and logs. Default: empty.
    pub app_version: String,
    /// Which events are wanted. Default: `None`, which is all.
    pub events: Option<v1::EventFilter>,
    /// How many events may be unsettled here at once. Default 1024; 0 means the default. More of them share a flush; each costs the
    /// memory of its event and its handler.
    pub window_events: u32,
    /// How many bytes of payload may be unsettled here at once. Default 16 MiB; 0 means the default.
    pub window_bytes: u64,
    /// How long the service may take to answer `register`. Default 10 s.
    pub register_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hub: String::new(),
            app: String::new(),
            app_version: String::new(),
            events: None,
            window_events: WINDOW_EVENTS_DEFAULT,
            window_bytes: WINDOW_BYTES_DEFAULT,
            register_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// With the defaults where 0 stands for them.
    pub(super) const fn window(&self) -> v1::Window {
        window(self.window_events, self.window_bytes)
    }
}

/// A window with the defaults where 0 stands for them.
pub const fn window(events: u32, bytes: u64) -> v1::Window {
    v1::Window {
        events: if events == 0 {
            WINDOW_EVENTS_DEFAULT
        } else {
            events
        },
        bytes: if bytes == 0 {
            WINDOW_BYTES_DEFAULT
        } else {
            bytes
        },
    }
}

/// What happens to a link.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The call is open. Comes first, and again after each [`Input::Closed`].
    Opened,
    /// The service said this.
    Frame(v1::ServiceFrame),
    /// The way by which the command of this number went broke before its result, while the link goes on. Only where a
    /// command has a call of its own.
    Lost {
        /// Of the command.
        seq: u64,
    },
    /// The call is over, whatever ended it.
    Closed,
    /// The moment of [`Link::poll_timeout`](super::Link::poll_timeout) has come, or just time has passed.
    Timeout,
}

/// What the driver is to do. Exhaustive: a driver must handle all.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this.
    Transmit(v1::UpstreamFrame),
    /// The service took the registration: commands may be given from now on.
    Registered {
        /// Whether the registration before the break continues.
        resumed: bool,
    },
    /// Start the handler of this event. No other event of its connection starts before
    /// [`Link::done`](super::Link::done).
    Start {
        /// Names the event in the answers.
        delivery: Delivery,
        /// The event; its `id`, `event` are there.
        event: Box<v1::Event>,
    },
    /// The client of an event whose handler runs has gone. Advice: an answer is still allowed and will be refused.
    Cancelled(Delivery),
    /// An answer had no effect.
    Refused {
        /// What it answered, if that handler still runs.
        delivery: Option<Delivery>,
        /// The number of the answer.
        seq: u64,
        /// Why: `ALREADY_EXISTS`, `DEADLINE_EXCEEDED`, `CANCELLED`, `NOT_FOUND`, `INVALID_ARGUMENT`.
        status: Status,
    },
    /// How a command ended. Comes exactly once for each command.
    Result {
        /// The command.
        command: CommandId,
        /// The value, if the operation has one, or why it failed.
        outcome: Result<Option<v1::result::Value>, CommandFailure>,
    },
    /// Notices of these numbers are lost for good: a connection may be up or gone without a word here.
    Gap {
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// The service is leaving: dial again elsewhere within this time, and drain this link.
    Draining {
        /// Zero if the service does not say.
        reconnect_within: Duration,
    },
    /// After [`Link::drain`](super::Link::drain): no handler runs and no result is missing. The service ends the call once it
    /// agrees; an event that crossed the drain may still come.
    Drained,
    /// End the call: the service broke the protocol.
    Close(Violation),
}

/// Why a command has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandFailure {
    /// The service answered that it failed.
    #[error("the service refused the command: {0}")]
    Failed(Status),
    /// The link broke before the result: whether the command took effect is unknown.
    #[error("the link broke before the result: whether the command took effect is unknown")]
    Unknown,
}

/// Why a command was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No registration is up.
    #[error("no registration is up")]
    NotRegistered,
    /// The service grants no more commands until results come.
    #[error("more commands wait for results than the service grants")]
    TooMany,
    /// Larger than the largest frame that the service takes.
    #[error("the command is larger than the service takes")]
    TooLarge,
}

/// Why an answer was not given. Each but [`LinkLost`](Self::LinkLost) and [`TooLarge`](Self::TooLarge) is a misuse that the code
/// alone shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The link on which the event came is gone; its answer went with it.
    #[error("the link on which the event came is gone")]
    LinkLost,
    /// Larger than the largest frame that the service takes. The event is still unanswered.
    #[error("the answer is larger than the service takes")]
    TooLarge,
    /// The event was answered before.
    #[error("the event was answered before")]
    Answered,
    /// The event waits for an answer and has none yet.
    #[error("the event waits for an answer")]
    Unanswered,
    /// A connect takes accept or reject, a message takes reply or fail, a notice takes none.
    #[error("the answer does not fit the event")]
    Unfit,
    /// No such event runs here.
    #[error("no such event runs here")]
    NotRunning,
}

/// What the service did against the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// More events than the window allows.
    #[error("more events than the window allows")]
    WindowExceeded,
    /// Something else before the answer to `register`, or a second answer.
    #[error("out of order: `registered` comes first and once")]
    OutOfOrder,
    /// No answer to `register` in time.
    #[error("no answer to `register` in time")]
    NoAnswerToRegister,
}

impl Violation {
    /// What the service is told.
    pub fn status(self) -> Status {
        let code = match self {
            Self::WindowExceeded => Code::ResourceExhausted,
            Self::OutOfOrder => Code::FailedPrecondition,
            Self::NoAnswerToRegister => Code::DeadlineExceeded,
        };
        Status::new(code, alloc::format!("{self}"))
    }
}
