//! What goes into an endpoint and what comes out of it.

use alloc::{boxed::Box, sync::Arc};
use core::time::Duration;

use bytes::Bytes;
use headwater_proto::{
    Code, Metadata,
    pw_rpc::{RpcPacket, StreamId},
};

use super::Run;
use crate::call::{Closed, Frame, Shape};

/// One call of an endpoint: a number that no other call of it ever has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The peer sent this packet.
    Packet(Bytes),
    /// The peer sent a packet for each of these messages, one after the other. It is as if each had come by itself, but
    /// their call is looked up once.
    Run {
        /// What the packets have in common.
        id: StreamId,
        /// The messages.
        run: Run,
    },
    /// What carries this channel's packets does not take any for now. Nothing is transmitted, and sends fail with
    /// [`SendError::Output`], until [`Input::OutputWorks`].
    OutputFailed {
        /// Which.
        channel: u32,
    },
    /// It takes packets again.
    OutputWorks {
        /// Which.
        channel: u32,
    },
    /// What carries the packets is gone, for all channels.
    Closed(Closed),
    /// The time that [`super::Endpoint::poll_timeout`] named has come.
    Timeout,
}

/// What to do. The order of all outputs is the order in which they are to be done.
///
/// Exhaustive: a driver has to handle all of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this to the peer.
    Transmit(RpcPacket),
    /// Send each of these messages to the peer, in a packet of its own. Only what came with
    /// [`super::Endpoint::send_run`] goes so.
    TransmitRun {
        /// What the packets have in common.
        id: StreamId,
        /// The messages.
        run: Run,
    },
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Server: the peer has started a call.
    Opened {
        /// The call.
        key: CallKey,
        /// What opens it.
        opened: Box<Opened>,
    },
    /// The peer sent this. At a client [`Frame::Headers`] comes before the first message, and [`Frame::End`] ends the
    /// call: it comes once, and last. Give the credit of a message back with [`super::Endpoint::consumed`].
    Frame {
        /// The call.
        key: CallKey,
        /// What.
        frame: Frame,
    },
    /// The peer sent these messages, which came as an [`Input::Run`]: as a [`Frame::Message`] each.
    Run {
        /// The call.
        key: CallKey,
        /// The messages.
        run: Run,
    },
    /// Server: the client would like the call to end, whose requests have ended. A hint; nothing needs to be done.
    CompletionRequested {
        /// The call.
        key: CallKey,
    },
    /// The call is over without a status. It comes once, and last. A server's call whose end waits to be sent may still
    /// be closed; then the client does not hear of that end.
    Closed {
        /// The call.
        key: CallKey,
        /// How.
        closed: Box<Closed>,
    },
    /// After [`super::Endpoint::is_writable`] was false: at least half of the queue is free again.
    Writable {
        /// The call.
        key: CallKey,
    },
    /// The peer refuses new calls on this channel from now on. Those that run go on.
    GoingAway {
        /// Which.
        channel: u32,
    },
    /// A packet was not processed.
    Rejected(Rejection),
}

/// A call that the peer has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Where.
    pub channel: u32,
    /// The method, such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// How many messages it has each way; `None` if it is not registered ([`super::Services::accepts_unknown`]).
    pub shape: Option<Shape>,
    /// The metadata of the request.
    pub metadata: Metadata,
    /// How long the client gives the call.
    pub timeout: Option<Duration>,
}

/// What starts a call of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// How many messages it has each way, which a peer without the extension has to be told in the right packets.
    pub shape: Shape,
    /// The metadata of the request.
    pub metadata: Metadata,
    /// How long the call may take from now on. The peer is told; the time is kept by who made the call.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A request without metadata and without a time limit.
    pub fn new(path: impl Into<Arc<str>>, shape: Shape) -> Self {
        Self {
            path: path.into(),
            shape,
            metadata: Metadata::new(),
            timeout: None,
        }
    }
}

/// Why a packet was not processed. None of these is answered, but a channel that is not there if that is
/// [configured](super::EndpointConfig::answers_unknown_channels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// It is not a packet.
    Undecodable,
    /// It names no channel, no service or no method.
    NoId,
    /// It is for a role that this endpoint does not have.
    Role,
    /// There is no such channel.
    NoChannel,
    /// There is no such type of packet.
    UnknownType,
}

impl Rejection {
    /// What pw_rpc's `ProcessPacket` returns then. `None` if it returns OK.
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Undecodable | Self::NoId => Some(Code::DataLoss),
            Self::Role => Some(Code::InvalidArgument),
            Self::NoChannel => Some(Code::Unavailable),
            Self::UnknownType => None,
        }
    }
}

/// Why a verb was refused. Unless it says otherwise, the call is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The queue is full; [`Event::Writable`] follows.
    #[error("the send queue is full")]
    Blocked,
    /// The call is over.
    #[error("the call has ended")]
    Ended,
    /// The message needs a larger packet than the channel has.
    #[error("the message does not fit a packet")]
    TooLarge,
    /// There is no such channel.
    #[error("the channel is not open")]
    NoChannel,
    /// What carries the channel's packets does not take any. After [`super::Endpoint::finish`] the call is over all the
    /// same.
    #[error("the channel's output does not work")]
    Output,
    /// The peer refuses new calls.
    #[error("the peer is going away")]
    GoingAway,
    /// A compressed message, and the peer is not known to have the extension.
    #[error("the peer takes no compressed messages")]
    Compressed,
    /// The caller's mistake: a path that is none, a frame of the other side or after the end, or a second message where a
    /// plain peer can be told one.
    #[error("the call does not allow this here")]
    Misuse,
}

impl SendError {
    /// What pw_rpc's `Write` and `Finish` return then. It has no queue and no extension, and so no word for what these
    /// two refuse.
    pub const fn code(self) -> Code {
        match self {
            Self::Ended => Code::FailedPrecondition,
            Self::TooLarge => Code::Internal,
            Self::NoChannel | Self::GoingAway => Code::Unavailable,
            Self::Output => Code::Unknown,
            Self::Blocked => Code::ResourceExhausted,
            Self::Compressed => Code::Unimplemented,
            Self::Misuse => Code::InvalidArgument,
        }
    }
}

/// Why a channel was not opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// 0 is no channel.
    #[error("0 is not a channel id")]
    Unassigned,
    /// It is open already.
    #[error("the channel is open already")]
    AlreadyExists,
    /// There are as many as [`super::EndpointConfig::channels_max`].
    #[error("there are too many channels")]
    ResourceExhausted,
    /// It is not open.
    #[error("the channel is not open")]
    NotFound,
}
