//! From messages to bytes and back.

use std::fmt;

use bytes::Bytes;
use headwater_proto::{Code, Status};

/// Makes bytes of messages. Has no state: a codec is a type, chosen where code is generated.
pub trait Serializer<T> {
    /// The message as it travels.
    ///
    /// # Errors
    ///
    /// The format has no way to say this. The call ends with `INTERNAL`, and the peer is told only so.
    fn serialize(message: &T) -> Result<Bytes, CodecError>;

    /// The messages as they travel, in order. A format that can write several into one buffer saves an allocation for
    /// each. Default: [`Serializer::serialize`] for each.
    ///
    /// # Errors
    ///
    /// As [`Serializer::serialize`], if it is so for one of them.
    fn serialize_all(messages: &[T]) -> Result<Vec<Bytes>, CodecError> {
        messages.iter().map(Self::serialize).collect()
    }
}

/// Makes messages of bytes. Has no state: a codec is a type, chosen where code is generated.
pub trait Deserializer<T> {
    /// The message that travelled.
    ///
    /// # Errors
    ///
    /// The bytes are no such message. The call ends with `INTERNAL`, on both sides.
    fn deserialize(bytes: Bytes) -> Result<T, CodecError>;
}

pub(crate) type Serialize<T> = fn(&T) -> Result<Bytes, CodecError>;
pub(crate) type SerializeAll<T> = fn(&[T]) -> Result<Vec<Bytes>, CodecError>;
pub(crate) type Deserialize<T> = fn(Bytes) -> Result<T, CodecError>;

/// Why a codec refused. The text reaches the peer, so it may name what is wrong and must not quote the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError(String);

impl CodecError {
    /// An error with this reason.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    pub(crate) fn sending(&self) -> Status {
        let message = format!("a message could not be encoded: {self}");
        Status::new(Code::Internal, message)
    }

    pub(crate) fn receiving(&self) -> Status {
        let message = format!("a message could not be decoded: {self}");
        Status::new(Code::Internal, message)
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

/// Protocol buffers, by prost.
#[cfg(feature = "prost")]
#[derive(Debug, Clone, Copy, Default)]
pub struct ProstCodec;

#[cfg(feature = "prost")]
impl<T: prost::Message> Serializer<T> for ProstCodec {
    fn serialize(message: &T) -> Result<Bytes, CodecError> {
        Ok(message.encode_to_vec().into())
    }

    fn serialize_all(messages: &[T]) -> Result<Vec<Bytes>, CodecError> {
        let mut encoded = Vec::with_capacity(messages.len());
        let mut rest = messages;
        while !rest.is_empty() {
            let (count, total) = fitting(rest);
            let (now, later) = rest.split_at(count);
            serialize_into_one(now, total, &mut encoded)?;
            rest = later;
        }
        Ok(encoded)
    }
}

/// Bytes of messages that share a buffer: whoever keeps one of them keeps no more than this alive.
#[cfg(feature = "prost")]
const SHARED_BYTES: usize = 16 << 10;

/// How many of the messages share the next buffer, at least one, and their bytes.
#[cfg(feature = "prost")]
fn fitting<T: prost::Message>(messages: &[T]) -> (usize, usize) {
    let mut total = 0;
    for (count, message) in messages.iter().enumerate() {
        let bytes = message.encoded_len();
        if count > 0 && total + bytes > SHARED_BYTES {
            return (count, total);
        }
        total += bytes;
    }
    (messages.len(), total)
}

#[cfg(feature = "prost")]
fn serialize_into_one<T: prost::Message>(
    messages: &[T],
    total: usize,
    encoded: &mut Vec<Bytes>,
) -> Result<(), CodecError> {
    let mut buffer = Vec::with_capacity(total);
    let mut start = 0;
    let mut lengths = Vec::with_capacity(messages.len());
    for message in messages {
        message.encode(&mut buffer).map_err(CodecError::new)?;
        lengths.push(buffer.len() - start);
        start = buffer.len();
    }
    let mut buffer = Bytes::from(buffer);
    encoded.extend(lengths.into_iter().map(|length| buffer.split_to(length)));
    Ok(())
}

#[cfg(feature = "prost")]
impl<T: prost::Message + Default> Deserializer<T> for ProstCodec {
    fn deserialize(bytes: Bytes) -> Result<T, CodecError> {
        T::decode(bytes).map_err(CodecError::new)
    }
}
