//! From messages to bytes and back.

use std::fmt;

#[cfg(feature = "prost")]
use bytes::Buf as _;
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

    /// Appends the message as it travels; what is in `into` already is another's and stays. A format that can write
    /// into a buffer saves an allocation for each message. Default: a copy of [`Serializer::serialize`].
    ///
    /// # Errors
    ///
    /// As [`Serializer::serialize`]. What was appended before is thrown away.
    fn serialize_into(message: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(&Self::serialize(message)?);
        Ok(())
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

    /// Takes the message out of `run`, whose first `length` bytes it is; there are as many. It has to take exactly these,
    /// for what follows is the next one's. A format that can read from a buffer saves a handle of the memory for each message. Default:
    /// [`Deserializer::deserialize`] of what is split off.
    ///
    /// # Errors
    ///
    /// As [`Deserializer::deserialize`]; then it does not matter what was taken.
    fn deserialize_from(run: &mut Bytes, length: usize) -> Result<T, CodecError> {
        Self::deserialize(run.split_to(length))
    }
}

pub(crate) type Serialize<T> = fn(&T) -> Result<Bytes, CodecError>;
pub(crate) type SerializeInto<T> = fn(&T, &mut Vec<u8>) -> Result<(), CodecError>;
pub(crate) type DeserializeFrom<T> = fn(&mut Bytes, usize) -> Result<T, CodecError>;

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

    fn serialize_into(message: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        message.encode(into).map_err(CodecError::new)
    }
}

#[cfg(feature = "prost")]
impl<T: prost::Message + Default> Deserializer<T> for ProstCodec {
    fn deserialize(bytes: Bytes) -> Result<T, CodecError> {
        T::decode(bytes).map_err(CodecError::new)
    }

    fn deserialize_from(run: &mut Bytes, length: usize) -> Result<T, CodecError> {
        // Reads to the end of what it is given.
        T::decode(run.take(length)).map_err(CodecError::new)
    }
}
