//! The parts of the extension as the types that the rest of Headwater uses.

use alloc::string::{String, ToString};
use core::{fmt, time::Duration};

use bytes::Bytes;
use prost::Message;

use super::{
    packet::Undecodable,
    wire::{self, Extension, metadata::Entry},
};
use crate::{
    Metadata,
    metadata::{self, Value},
};

impl Extension {
    /// How long the client gives the call, if it says so.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_nanos.map(Duration::from_nanos)
    }

    /// Sets how long the client gives the call. More than 584 years is that.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        let nanos = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.timeout_nanos = timeout.map(nanos);
    }
}

/// Metadata as the extension has them.
pub fn encode_metadata(metadata: &Metadata) -> Bytes {
    let entries = metadata.iter().map(|(key, value)| Entry {
        key: key.to_string(),
        value: match value {
            Value::Ascii(text) => Bytes::copy_from_slice(text.as_bytes()),
            Value::Binary(bytes) => bytes.clone(),
        },
    });
    let entries = entries.collect();
    wire::Metadata { entries }.encode_to_vec().into()
}

/// Reads the metadata of an extension. An entry that cannot be one is left out, as a header that cannot is on other
/// transports. In memory they take up to some 30 times as much as encoded.
///
/// # Errors
///
/// The bytes are not metadata.
pub fn decode_metadata(encoded: Bytes) -> Result<Metadata, Undecodable> {
    let decoded = wire::Metadata::decode(encoded).map_err(|_| Undecodable)?;
    let mut metadata = Metadata::new();
    for Entry { key, value } in decoded.entries {
        if metadata::is_binary(&key) {
            let _ = metadata.append_bytes(key, value);
        } else if let Ok(text) = String::from_utf8(value.into()) {
            let _ = metadata.append(key, text);
        }
    }
    Ok(metadata)
}

/// Metadata may hold credentials: of them only the size is shown.
impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field, so that a new one is not forgotten.
        let Self {
            has_message,
            compressed,
            half_close,
            path,
            timeout_nanos,
            headers,
            trailers,
            status_message,
            status_details,
            credit,
            refused,
            going_away,
        } = self;
        f.debug_struct("Extension")
            .field("has_message", has_message)
            .field("compressed", compressed)
            .field("half_close", half_close)
            .field("path", path)
            .field("timeout_nanos", timeout_nanos)
            .field("headers_bytes", &headers.as_ref().map(Bytes::len))
            .field("trailers_bytes", &trailers.len())
            .field("status_message", status_message)
            .field("status_details", status_details)
            .field("credit", credit)
            .field("refused", refused)
            .field("going_away", going_away)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec, vec::Vec};

    use super::*;

    #[test]
    fn metadata_survive_the_wire() {
        let mut metadata = Metadata::new();
        metadata.append("b", "1").expect("valid");
        metadata.append_bytes("a-bin", vec![0, 255]).expect("valid");
        metadata.append("b", "2").expect("valid");
        let read = decode_metadata(encode_metadata(&metadata));
        assert_eq!(read, Ok(metadata), "in the same order");
        let none = decode_metadata(Bytes::new());
        assert_eq!(none, Ok(Metadata::new()));
    }

    #[test]
    fn what_cannot_be_metadata_is_left_out() {
        let entries = [
            ("Upper", &b"x"[..]),
            ("grpc-status", b"0"),
            ("text", b"\xff"),
            ("text", b"new\nline"),
            ("kept", b"yes"),
        ];
        let entries = entries.map(|(key, value)| Entry {
            key: key.into(),
            value: Bytes::from_static(value),
        });
        let encoded = wire::Metadata {
            entries: entries.into(),
        };
        let found = decode_metadata(encoded.encode_to_vec().into()).expect("metadata");
        let keys: Vec<_> = found.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["kept"]);
        let broken = decode_metadata(Bytes::from_static(b"\x0a\x05x"));
        assert_eq!(broken, Err(Undecodable));
    }

    #[test]
    fn debug_shows_no_credentials() {
        let mut metadata = Metadata::new();
        metadata.append("authorization", "secret").expect("valid");
        let encoded = encode_metadata(&metadata);
        let extension = Extension {
            headers: Some(encoded.clone()),
            trailers: encoded,
            ..Extension::default()
        };
        let shown = format!("{extension:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(!shown.contains("115, 101"), "nor as numbers: {shown}");
    }

    #[test]
    fn a_timeout_saturates() {
        let mut extension = Extension::default();
        for (given, read) in [
            (None, None),
            (Some(Duration::ZERO), Some(Duration::ZERO)),
            (Some(Duration::MAX), Some(Duration::from_nanos(u64::MAX))),
        ] {
            extension.set_timeout(given);
            assert_eq!(extension.timeout(), read, "{given:?}");
        }
    }
}
