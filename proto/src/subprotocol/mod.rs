//! What a WebSocket client and the service say to each other, above the frames of [`crate::websocket`].
//!
//! [`Protocol::decode`] turns one WebSocket message into a [`Request`]; [`Protocol::encode`] appends one [`Response`],
//! complete with its WebSocket frame header, to a buffer, so that what many clients receive is encoded once.

mod json;
mod names;
mod payload;
mod simple;

use alloc::{string::String, vec::Vec};

use bytes::Bytes;

pub use names::{event_name_is_valid, group_name_is_valid, hub_name};
pub use payload::check_metadata;

use crate::websocket::MessageKind;

/// The subprotocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// No subprotocol, or one of the application's own: frames are payloads.
    Simple,
    /// `json.webpubsub.azure.v1`.
    Json,
}

/// What the bytes of a [`Payload`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// UTF-8 text.
    Text,
    /// One JSON value, passed through as it is written.
    Json,
    /// Bytes.
    Binary,
    /// An encoded `google.protobuf.Any`.
    Protobuf,
}

/// What clients and applications send each other. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What the bytes are.
    pub data_type: DataType,
    /// The bytes: UTF-8 for [`DataType::Text`], one well-formed JSON value for [`DataType::Json`].
    pub data: Bytes,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Asks for an ack, and makes the request idempotent within its connection.
    pub ack_id: Option<u64>,
    /// What is asked for.
    pub operation: Operation,
}

/// The operations of a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Become a member of a group.
    JoinGroup {
        /// The group: 1 to 1024 characters, not only white space.
        group: String,
    },
    /// Be no longer a member of a group.
    LeaveGroup {
        /// The group.
        group: String,
    },
    /// Publish to a group.
    SendToGroup {
        /// The group.
        group: String,
        /// What is published.
        payload: Payload,
        /// Leaves the sender out.
        no_echo: bool,
        /// Application metadata, carried along.
        metadata: Metadata,
    },
    /// An event for the application.
    Event {
        /// Its name.
        name: String,
        /// Its payload.
        payload: Payload,
        /// Application metadata, carried along.
        metadata: Metadata,
    },
    /// Answered by [`Response::Pong`].
    Ping,
    /// Well-formed, and nothing to do here, such as `sequenceAck` on a connection that is not reliable.
    Nothing,
    /// Well-formed, and not offered by this service yet, such as `invoke`: acked as failed, never fatal.
    Unsupported {
        /// The `type` of the request, or `stream` for a `sendToGroup` that opens one.
        kind: &'static str,
    },
    /// Well-formed, and not to be served as it is, such as a group name that is not valid: acked as
    /// [`AckErrorName::BadRequest`], never fatal.
    Invalid {
        /// Why, for people.
        reason: &'static str,
    },
}

impl Request {
    const fn unacked(operation: Operation) -> Self {
        Self {
            ack_id: None,
            operation,
        }
    }
}

impl DataType {
    /// The name that the JSON subprotocols have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Binary => "binary",
            Self::Protobuf => "protobuf",
        }
    }
}

/// Application metadata of a message: ASCII names and values, in the order of their names.
pub type Metadata = alloc::collections::BTreeMap<String, String>;

/// What the service tells a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// The first message of a connection. Nothing on a simple connection.
    Connected {
        /// The name of this connection.
        connection_id: &'a str,
        /// The user; `None` is anonymous.
        user_id: Option<&'a str>,
    },
    /// The last message of a connection. Nothing on a simple connection.
    Disconnected {
        /// Why, for people.
        reason: &'a str,
    },
    /// Answers a request that carried an `ackId`. Nothing on a simple connection.
    Ack {
        /// The id of the request.
        ack_id: u64,
        /// How it went.
        outcome: Result<(), AckError<'a>>,
    },
    /// Answers [`Operation::Ping`].
    Pong,
    /// Something published to a group.
    GroupMessage {
        /// The group.
        group: &'a str,
        /// Who published it; `None` when anonymous or the application.
        from_user_id: Option<&'a str>,
        /// What was published.
        payload: &'a Payload,
        /// Application metadata; left out when empty.
        metadata: &'a Metadata,
    },
    /// Something that the application sent.
    ServerMessage {
        /// What was sent.
        payload: &'a Payload,
        /// Application metadata; left out when empty.
        metadata: &'a Metadata,
    },
}

/// Why a request failed, as its ack says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckError<'a> {
    /// What programs branch on.
    pub name: AckErrorName,
    /// For people.
    pub message: &'a str,
}

/// The error names of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckErrorName {
    /// The `ackId` was used before; the request was not executed again.
    Duplicate,
    /// The permission is missing.
    Forbidden,
    /// The request cannot be served as it is.
    BadRequest,
    /// Anything else, a failing application included.
    InternalServerError,
}

impl AckErrorName {
    /// The name as clients read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate",
            Self::Forbidden => "Forbidden",
            Self::BadRequest => "BadRequest",
            Self::InternalServerError => "InternalServerError",
        }
    }
}

/// A message that the subprotocol does not allow: the connection ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The WebSocket close code: 1003 for a wrong kind of frame, 1007 for wrong content.
    pub close_code: u16,
    /// For people; tells no more than the client sent.
    pub reason: String,
}

impl Malformed {
    fn frame(reason: &str) -> Self {
        Self {
            close_code: 1003,
            reason: reason.into(),
        }
    }

    fn content(reason: &str) -> Self {
        Self {
            close_code: 1007,
            reason: reason.into(),
        }
    }

    /// Tells where, and not what: the text of the parser could repeat the message.
    fn json(error: serde_json::Error) -> Self {
        Self {
            close_code: 1007,
            reason: alloc::format!(
                "not a request in JSON: line {}, column {}",
                error.line(),
                error.column()
            ),
        }
    }
}

impl Protocol {
    /// The subprotocol of this name, exactly as offered in `Sec-WebSocket-Protocol`.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == json::NAME).then_some(Self::Json)
    }

    /// The name to echo in `Sec-WebSocket-Protocol`; `None` for [`Protocol::Simple`].
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Simple => None,
            Self::Json => Some(json::NAME),
        }
    }

    /// Reads one whole WebSocket message of a client. Payloads share its bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the subprotocol does not allow the message.
    pub fn decode(self, kind: MessageKind, message: Bytes) -> Result<Request, Malformed> {
        match self {
            Self::Simple => simple::decode(kind, message),
            Self::Json => json::decode(kind, message),
        }
    }

    /// Appends the WebSocket frame that carries `response` to `out`; nothing where the subprotocol has no words for it.
    pub fn encode(self, response: &Response<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Simple => simple::encode(response, out),
            Self::Json => json::encode(response, out),
        }
    }
}
