//! What clients and applications say to each other.

use bytes::Bytes;
use headwater_proto::v1;

pub use headwater_proto::subprotocol::DataType;

/// Bytes and what they are. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What the bytes are.
    pub data_type: DataType,
    /// UTF-8 for [`DataType::Text`], one JSON value for [`DataType::Json`]. The service refuses what is not.
    pub data: Bytes,
}

impl Payload {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            data_type: DataType::Text,
            data: text.into().into(),
        }
    }

    /// A JSON value that is written already.
    pub fn json(written: impl Into<Bytes>) -> Self {
        Self {
            data_type: DataType::Json,
            data: written.into(),
        }
    }

    /// Bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self {
            data_type: DataType::Binary,
            data: bytes.into(),
        }
    }

    /// The bytes as text, whatever the type says; `None` if they are not UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        core::str::from_utf8(&self.data).ok()
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<v1::Payload> for Payload {
    fn from(payload: v1::Payload) -> Self {
        let data_type = match payload.r#type() {
            v1::DataType::Text => DataType::Text,
            v1::DataType::Json => DataType::Json,
            v1::DataType::Binary | v1::DataType::Unspecified => DataType::Binary,
            v1::DataType::Protobuf => DataType::Protobuf,
        };
        Self {
            data_type,
            data: payload.data,
        }
    }
}

impl From<Payload> for v1::Payload {
    fn from(payload: Payload) -> Self {
        let data_type = match payload.data_type {
            DataType::Text => v1::DataType::Text,
            DataType::Json => v1::DataType::Json,
            DataType::Binary => v1::DataType::Binary,
            DataType::Protobuf => v1::DataType::Protobuf,
        };
        Self {
            r#type: data_type.into(),
            data: payload.data,
        }
    }
}
