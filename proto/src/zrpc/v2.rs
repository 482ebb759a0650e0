//! The frames of `zrpc.v2`: each has a call id, so that many calls share a socket.
//!
//! A frame is one binary message: a byte for its kind, the call id as unsigned 32 bit little-endian, and what the kind has.
//! *Text* is a length as unsigned 32 bit little-endian and so many bytes of UTF-8, as the original's name; *lines* are
//! metadata, each `key: value` and a line feed, with base64 where the key ends in `-bin`.
//!
//! | kind | name | sent by | then |
//! |---|---|---|---|
//! | 1 | `CALL` | client | text name, blob: a call whose only request is the blob, the original's frame with an id |
//! | 2 | `OPEN` | client | text name, lines: a call whose requests follow |
//! | 3 | `MESSAGE` | both | blob |
//! | 4 | `COMPRESSED` | both | blob, compressed as `grpc-encoding` among the lines says |
//! | 5 | `END` | client | nothing: no more requests |
//! | 6 | `CANCEL` | client | nothing: the call is void, and nothing more of it comes |
//! | 7 | `CREDIT` | both | bytes as unsigned 32 bit little-endian |
//! | 8 | `HEADERS` | server | lines: the metadata before the first reply |
//! | 9 | `STATUS` | server | number of the code in one byte, 0 for OK; text message; lines: the end of the call |
//!
//! The client chooses the ids, from 1 on; one may be used again once its call has ended. Every call ends with exactly one
//! `STATUS`, unless the client cancels it or the socket goes. `END` and `HEADERS` come at most once in a call. A `STATUS` with id 0 is about the socket: the client broke the
//! protocol, every call is void, and a close frame follows. What comes for a call that is not there is ignored, for it may
//! have crossed the end.
//!
//! **Credit.** A call that was opened with `OPEN` has [`WINDOW_BYTES`] each way. A message takes its length plus
//! [`MESSAGE_COST_BYTES`]; it may be sent while any credit is left, so that one message may overdraw. `CREDIT` gives back
//! what was read. Requests without credit end their call with `RESOURCE_EXHAUSTED`. The replies of a `CALL` need no credit:
//! the socket alone holds them back, which is all that a simple client wants.
//!
//! Among the lines of `OPEN`, `grpc-timeout` is the time that the client gives the call, and in a `STATUS`
//! `grpc-status-details-bin` are the details of its status; both are as in gRPC.

mod lines;

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::request::{FrameError, NAME_BYTES_MAX, read_text, write_text};
use crate::{Code, Metadata, Status};

/// The credit of each direction of a call that was opened with `OPEN`, in bytes.
pub const WINDOW_BYTES: u32 = 256 * 1024;
/// What a message takes of the credit beside its length, so that empty ones have a bound too.
pub const MESSAGE_COST_BYTES: u32 = 64;
/// The longest lines of an `OPEN`, all together, in bytes; and the largest metadata that they may hold
/// ([`Metadata::size`]).
pub const LINES_BYTES_MAX: usize = 16 * 1024;

/// The kind and the call id.
const HEAD_BYTES: usize = 5;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which call it is of; 0 is the socket itself.
    pub call: u32,
    /// What it says.
    pub body: Body<'a>,
}

/// What a frame says. Exhaustive: either side must handle all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// A call with its only request.
    Call {
        /// The method, by the rules of [`super::path_of`].
        method: &'a str,
        /// The request.
        blob: Bytes,
    },
    /// A call whose requests follow.
    Open {
        /// The method, by the rules of [`super::path_of`].
        method: &'a str,
        /// How long the client gives the call.
        timeout: Option<Duration>,
        /// The metadata of the request.
        metadata: Metadata,
    },
    /// One message.
    Message(Bytes),
    /// One message, compressed.
    Compressed(Bytes),
    /// The client sends no more messages.
    End,
    /// The client does not want the call any more.
    Cancel,
    /// The other side may send this many bytes more.
    Credit(u32),
    /// The metadata before the first reply.
    Headers(Metadata),
    /// The call has ended. Boxed, because it comes once a call.
    Status(alloc::boxed::Box<Ended>),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Success, or why not.
    pub outcome: Result<(), Status>,
    /// The trailing metadata.
    pub metadata: Metadata,
}

/// Which call a frame is of, whatever else is wrong with it. `None` if it is too short to say.
pub fn call_of(message: &[u8]) -> Option<u32> {
    let head = message.first_chunk::<HEAD_BYTES>()?;
    let [_, id @ ..] = *head;
    Some(u32::from_le_bytes(id))
}

impl<'a> Frame<'a> {
    /// Reads a message. Blobs share its memory.
    ///
    /// # Errors
    ///
    /// What is wrong with it. [`call_of`] says whose it would have been.
    pub fn decode(message: &'a Bytes) -> Result<Self, FrameError> {
        let call = call_of(message).ok_or(FrameError::Short)?;
        let body = match message[0] {
            1 => {
                let (method, at) = read_name(message)?;
                let blob = message.slice(at..);
                Body::Call { method, blob }
            }
            2 => {
                let (method, at) = read_name(message)?;
                let (metadata, timeout) = lines::read_open(&message[at..])?;
                Body::Open {
                    method,
                    timeout,
                    metadata,
                }
            }
            3 => Body::Message(message.slice(HEAD_BYTES..)),
            4 => Body::Compressed(message.slice(HEAD_BYTES..)),
            5 => nothing(message, Body::End)?,
            6 => nothing(message, Body::Cancel)?,
            7 => Body::Credit(read_credit(message)?),
            8 => Body::Headers(lines::read(&message[HEAD_BYTES..])?),
            9 => Body::Status(read_status(message)?.into()),
            _ => return Err(FrameError::Kind),
        };
        // Only the end of the socket is of no call.
        if call == 0 && !matches!(body, Body::Status(_)) {
            return Err(FrameError::Id);
        }
        Ok(Self { call, body })
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.body.kind());
        out.extend_from_slice(&self.call.to_le_bytes());
        match &self.body {
            Body::Call { method, blob } => {
                write_text(method, out);
                out.extend_from_slice(blob);
            }
            Body::Open {
                method,
                timeout,
                metadata,
            } => {
                write_text(method, out);
                lines::write_open(metadata, *timeout, out);
            }
            Body::Message(blob) | Body::Compressed(blob) => out.extend_from_slice(blob),
            Body::End | Body::Cancel => {}
            Body::Credit(bytes) => out.extend_from_slice(&bytes.to_le_bytes()),
            Body::Headers(metadata) => lines::write(metadata, out),
            Body::Status(ended) => write_status(ended, out),
        }
    }
}

impl Body<'_> {
    const fn kind(&self) -> u8 {
        match self {
            Self::Call { .. } => 1,
            Self::Open { .. } => 2,
            Self::Message(_) => 3,
            Self::Compressed(_) => 4,
            Self::End => 5,
            Self::Cancel => 6,
            Self::Credit(_) => 7,
            Self::Headers(_) => 8,
            Self::Status(_) => 9,
        }
    }
}

/// What a message of so many bytes takes of the credit.
pub fn cost(message_bytes: usize) -> i64 {
    let bytes = i64::try_from(message_bytes).unwrap_or(i64::MAX);
    bytes.saturating_add(i64::from(MESSAGE_COST_BYTES))
}

fn read_name(message: &Bytes) -> Result<(&str, usize), FrameError> {
    let (name, at) = read_text(message, HEAD_BYTES)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(FrameError::NameTooLong);
    }
    Ok((name, at))
}

fn nothing<'a>(message: &[u8], body: Body<'a>) -> Result<Body<'a>, FrameError> {
    if message.len() > HEAD_BYTES {
        return Err(FrameError::Long);
    }
    Ok(body)
}

fn read_credit(message: &[u8]) -> Result<u32, FrameError> {
    let (bytes, rest) = message[HEAD_BYTES..]
        .split_first_chunk::<4>()
        .ok_or(FrameError::Short)?;
    if !rest.is_empty() {
        return Err(FrameError::Long);
    }
    Ok(u32::from_le_bytes(*bytes))
}

fn read_status(message: &[u8]) -> Result<Ended, FrameError> {
    let number = *message.get(HEAD_BYTES).ok_or(FrameError::Short)?;
    let (text, at) = read_text(message, HEAD_BYTES + 1)?;
    let (metadata, details) = lines::read_status(&message[at..])?;
    let outcome = match Code::from_number(i64::from(number)) {
        None => Ok(()),
        Some(code) => Err(Status {
            details,
            ..Status::new(code, text)
        }),
    };
    Ok(Ended { outcome, metadata })
}

fn write_status(ended: &Ended, out: &mut Vec<u8>) {
    match &ended.outcome {
        Ok(()) => {
            out.push(0);
            write_text("", out);
            lines::write(&ended.metadata, out);
        }
        Err(status) => {
            out.push(status.code.number());
            write_text(&status.message, out);
            lines::write_status(&ended.metadata, &status.details, out);
        }
    }
}

#[cfg(test)]
mod tests;
