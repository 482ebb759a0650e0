//! What goes into a call and what comes out of it.

use alloc::boxed::Box;

use bytes::Bytes;
use headwater_proto::{Code, Metadata, Status};

use super::{config::Credit, table::Part};

/// How a call ended, as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailers {
    /// Success, or why not.
    pub outcome: Result<(), Status>,
    /// The trailing metadata.
    pub metadata: Metadata,
}

impl Trailers {
    /// Success without metadata. Also stands for the end of the requests, which carries nothing.
    pub const fn ok() -> Self {
        Self {
            outcome: Ok(()),
            metadata: Metadata::new(),
        }
    }

    /// Failure without metadata.
    pub const fn failed(status: Status) -> Self {
        Self {
            outcome: Err(status),
            metadata: Metadata::new(),
        }
    }
}

/// What a stream carries, in either direction.
///
/// Exhaustive: a transport has to carry all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The metadata at the beginning of the responses. Those of the request open the stream and are no frame.
    Headers(Metadata),
    /// One message.
    Message(Bytes),
    /// One message, compressed as the headers of this direction say (`grpc-encoding`).
    Compressed(Bytes),
    /// Responses: the status. Requests: the half-close; the trailers say nothing. Boxed, because it comes once a call and
    /// would make every message move as much as it takes.
    End(Box<Trailers>),
}

impl Frame {
    /// The end, with these trailers.
    pub fn end(trailers: Trailers) -> Self {
        Self::End(Box::new(trailers))
    }

    /// Which part of the legality table this is.
    pub const fn part(&self) -> Part {
        match self {
            Self::Headers(_) => Part::Headers,
            Self::Message(_) | Self::Compressed(_) => Part::Message,
            Self::End(_) => Part::End,
        }
    }

    /// What this uses of a window: nothing, if it is not a message.
    pub const fn credit(&self) -> Credit {
        match self {
            Self::Message(bytes) | Self::Compressed(bytes) => Credit::message(bytes.len()),
            Self::Headers(_) | Self::End(_) => Credit {
                messages: 0,
                bytes: 0,
            },
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The peer sent this. A [`Frame::Compressed`] is decompressed first, if [`super::Call::receive_encoding`] says how.
    Frame(Frame),
    /// The peer sent a compressed message.
    Decompressed {
        /// The message; or [`Violation::TooLarge`], which a driver finds without holding more than the limit, or
        /// [`Violation::Corrupt`].
        message: Result<Bytes, Violation>,
        /// Its bytes as they came.
        sent_bytes: usize,
    },
    /// The transport took this much of what was to be transmitted, or the peer gave it back.
    Credit(Credit),
    /// The stream is gone: nothing more comes, and nothing more goes out.
    Closed(Closed),
    /// The time that [`super::Call::poll_timeout`] named has come.
    Timeout,
}

/// Why a stream is gone without a regular end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// What the application is told.
    pub status: Status,
    /// Whether the peer did it, or the way to the peer broke.
    pub by: EndedBy,
    /// How far the call is known to have come.
    pub reached: Reached,
}

/// How far a call is known to have come before its stream was gone: what never came to a handler may be sent again
/// without asking anybody (gRFC A6, "Transparent Retries").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reached {
    /// Nothing of it left this side.
    Nothing,
    /// It may have come to the peer's library, and surely not to a handler: the stream was refused, or is above the last
    /// one that the peer says it has seen.
    Library,
    /// It may have come to a handler.
    #[default]
    Handler,
}

impl Closed {
    /// The peer reset the stream.
    pub fn cancelled(code: Code) -> Self {
        Self {
            status: Status::new(code, "the peer cancelled the call"),
            by: EndedBy::Peer,
            reached: Reached::Handler,
        }
    }

    /// The way to the peer broke. A server's call tells its handler that it was cancelled.
    pub fn broken(message: &str) -> Self {
        Self {
            status: Status::new(Code::Unavailable, message),
            by: EndedBy::Transport,
            reached: Reached::Handler,
        }
    }

    /// The responses ended without a status.
    pub fn without_status() -> Self {
        Self::violation(Violation::NoStatus)
    }

    /// What the peer sent cannot be read.
    pub fn violation(violation: Violation) -> Self {
        Self {
            status: violation.status(),
            by: EndedBy::Violation,
            reached: Reached::Handler,
        }
    }

    /// The same, of a call that is known to have come only so far.
    pub fn having_reached(self, reached: Reached) -> Self {
        Self { reached, ..self }
    }
}

/// What to do. The order of all outputs of a call is the order in which they are to be done.
///
/// Exhaustive: a driver has to handle all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this to the peer.
    Transmit(Frame),
    /// Tell the peer that it may send this much more. Only with a [`super::CallConfig::receive_window`].
    Credit(Credit),
    /// Reset the stream in both directions; what still waits to be sent is void.
    Reset(Code),
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Client: the initial metadata. Does not come if the server answers with a status only.
    Headers(Metadata),
    /// The next message. Give its credit back with [`super::Call::consumed`] when it is done with.
    Message(Bytes),
    /// The next message, which came compressed. Its credit is what was sent.
    Decompressed {
        /// The message.
        message: Bytes,
        /// Its bytes as they came.
        sent_bytes: usize,
    },
    /// Server: the client sends no more messages.
    HalfClosed,
    /// After [`SendError::Blocked`]: at least half of the window is free again.
    Writable,
    /// The call is over. Comes once, and last.
    Ended(Box<Ended>),
}

/// How a call ended, and who ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome.
    pub trailers: Trailers,
    /// Who ended it.
    pub by: EndedBy,
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndedBy {
    /// The server said its status: the regular end.
    Status,
    /// The application on this side cancelled it, or its client or server was stopped.
    Local,
    /// The deadline passed.
    Deadline,
    /// The peer reset the stream.
    Peer,
    /// The way to the peer broke. A server's call tells its handler that it was cancelled.
    Transport,
    /// The peer did what it may not.
    Violation,
}

/// Why a verb was refused. The call is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The window is used up; [`Event::Writable`] follows.
    #[error("the send window is full")]
    Blocked,
    /// The call is over.
    #[error("the call has ended")]
    Ended,
    /// The message is over [`super::CallConfig::send_message_bytes_max`].
    #[error("the message is over the limit")]
    TooLarge,
    /// The caller's mistake: a message after the end, a second end, more or fewer messages than the method has, a
    /// message in another encoding than the call's, or a verb of the other side.
    #[error("the call does not allow this here")]
    Misuse,
}

/// What a peer did that it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// A part at a place where the legality table has none.
    Part(Part),
    /// More messages than the method has, or none where it has one.
    Count,
    /// A message over the limit.
    TooLarge,
    /// More messages than it had credit for.
    Credit,
    /// The responses ended without a status.
    NoStatus,
    /// Bytes that are no frames, or that ended inside a frame.
    Undecodable,
    /// A compressed message, and its headers announced no encoding.
    Compressed,
    /// Responses in an encoding that was not offered.
    Encoding,
    /// A compressed message that cannot be decompressed.
    Corrupt,
}

impl Violation {
    /// What the application is told, and, by a server, the peer.
    pub fn status(self) -> Status {
        let (code, message) = match self {
            Self::Part(Part::Headers) => (Code::Internal, "headers came twice or late"),
            Self::Part(Part::Message) => (Code::Internal, "a message came before headers or late"),
            Self::Part(Part::End) => (Code::Internal, "the end came twice"),
            // "Request cardinality violation" and "Response cardinality violation" in gRPC's statuscodes.md.
            Self::Count => (
                Code::Unimplemented,
                "the number of messages is wrong for the method",
            ),
            Self::TooLarge => (Code::ResourceExhausted, "a message is over the limit"),
            Self::Credit => (Code::ResourceExhausted, "more messages than credit"),
            Self::NoStatus => (Code::Internal, "the stream ended without a status"),
            Self::Undecodable => (Code::Internal, "the stream is not valid"),
            Self::Compressed => (
                Code::Internal,
                "a compressed message came without an encoding",
            ),
            Self::Encoding => (Code::Internal, "the responses' encoding was not offered"),
            Self::Corrupt => (Code::Internal, "a message cannot be decompressed"),
        };
        Status::new(code, message)
    }
}
