//! Metadata: what a call carries beside its messages, as an ordered multi-map.
//!
//! Keys and values follow gRPC over HTTP/2 (`PROTOCOL-HTTP2.md`, "Custom-Metadata"): keys are lower case, a key that
//! ends in `-bin` holds bytes, any other holds printable ASCII.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use core::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use crate::redacted::Redacted;

/// What gRPC asks for: padding is not written, and is accepted when read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Names that HTTP or gRPC itself uses in the header block, beside all that begin with `grpc-` or `:`.
const RESERVED: [&str; 13] = [
    "alt-svc",
    "connection",
    "content-length",
    "content-type",
    "date",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Keys whose values are credentials.
const SECRET: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
];

/// What of gRPC's own names travels as metadata, so that it is said in the same way on every transport: what retries
/// tell each other (gRFC A6), and what compression is agreed on (`PROTOCOL-HTTP2.md`).
const CARRIED: [&str; 4] = [
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-previous-rpc-attempts",
    "grpc-retry-pushback-ms",
];

/// A value of [`Metadata`].
///
/// Exhaustive, because the wire knows only these two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Printable ASCII (0x20 to 0x7E), under a key that does not end in `-bin`.
    Ascii(String),
    /// Any bytes, under a key that ends in `-bin`.
    Binary(Bytes),
}

/// Why an entry cannot be metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The key is empty or has a character other than `a-z`, `0-9`, `_`, `-` and `.`.
    #[error("metadata key is empty or has a character that is not allowed")]
    Key,
    /// The key belongs to HTTP or to gRPC itself.
    #[error("metadata key is reserved")]
    Reserved,
    /// The value is not printable ASCII, or begins or ends with a space.
    #[error("metadata value is not plain printable ascii")]
    Value,
    /// A key that ends in `-bin` needs bytes, and any other key needs text.
    #[error("metadata keys that end in -bin hold bytes, and others hold text")]
    Kind,
    /// The value of a key that ends in `-bin` is not base64.
    #[error("metadata value is not base64")]
    Base64,
}

/// What an entry costs beside its key and its value.
const ENTRY_BYTES: usize = 32;

/// An ordered multi-map: entries keep the order in which they were added, and one key may come often.
///
/// `Debug` does not show the values of credentials ([`is_secret`]).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
}

impl Metadata {
    /// No entries.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Adds a text entry after those that are there.
    ///
    /// # Errors
    ///
    /// The key is not valid, reserved, or ends in `-bin`; the value is not printable ASCII.
    pub fn append(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), MetadataError> {
        let (key, value) = (key.into(), value.into());
        check_key(&key)?;
        if is_binary(&key) {
            return Err(MetadataError::Kind);
        }
        if !is_plain(&value) {
            return Err(MetadataError::Value);
        }
        self.entries.push((key, Value::Ascii(value)));
        Ok(())
    }

    /// Adds an entry of bytes after those that are there. The key ends in `-bin`.
    ///
    /// # Errors
    ///
    /// The key is not valid, reserved, or does not end in `-bin`.
    pub fn append_bytes(
        &mut self,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Result<(), MetadataError> {
        let key = key.into();
        check_key(&key)?;
        if !is_binary(&key) {
            return Err(MetadataError::Kind);
        }
        self.entries.push((key, Value::Binary(value.into())));
        Ok(())
    }

    /// Adds what a header of this name and text holds: for a `-bin` key one or more base64 values with commas between
    /// them, else one text.
    ///
    /// # Errors
    ///
    /// As [`Metadata::append`]; or the value of a `-bin` key is not base64.
    pub fn append_wire(&mut self, key: &str, text: &str) -> Result<(), MetadataError> {
        if !is_binary(key) {
            return self.append(key, text.trim_matches([' ', '\t']));
        }
        check_key(key)?;
        for part in text.split(',') {
            let bytes = decode_binary(part.trim_matches([' ', '\t']))?;
            let value = Value::Binary(bytes);
            self.entries.push((key.to_string(), value));
        }
        Ok(())
    }

    /// The first text under this key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(name, value)| match value {
            Value::Ascii(text) if name == key => Some(text.as_str()),
            Value::Ascii(_) | Value::Binary(_) => None,
        })
    }

    /// The first bytes under this key, which ends in `-bin`.
    pub fn bytes(&self, key: &str) -> Option<&Bytes> {
        self.iter().find_map(|(name, value)| match value {
            Value::Binary(bytes) if name == key => Some(bytes),
            Value::Binary(_) | Value::Ascii(_) => None,
        })
    }

    /// All values under this key, in order.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Value> {
        self.entries
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Removes all values under this key and says how many there were.
    pub fn remove(&mut self, key: &str) -> usize {
        let before = self.entries.len();
        self.entries.retain(|(name, _)| name != key);
        before - self.entries.len()
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// How much it costs to hold this, in bytes: of each entry its key, its value, and 32 more, as HTTP counts a list of
    /// headers (RFC 9113, 6.5.2). A bound of what is encoded is none of this, for a short entry is held in much more than its
    /// bytes.
    pub fn size(&self) -> usize {
        let size = |(key, value): (&str, &Value)| {
            let value = match value {
                Value::Ascii(text) => text.len(),
                Value::Binary(bytes) => bytes.len(),
            };
            key.len() + value + ENTRY_BYTES
        };
        self.iter().map(size).sum()
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(key, value)| {
            let value: &dyn fmt::Debug = if is_secret(key) { &Redacted } else { value };
            (key, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

impl Value {
    /// The text of this value in a header: base64 without padding for bytes.
    pub fn to_wire(&self) -> String {
        match self {
            Self::Ascii(text) => text.clone(),
            Self::Binary(bytes) => BASE64.encode(bytes),
        }
    }
}

/// The bytes of one base64 value in a header, with or without padding.
///
/// # Errors
///
/// It is not base64.
pub fn decode_binary(text: &str) -> Result<Bytes, MetadataError> {
    let bytes = BASE64.decode(text).map_err(|_| MetadataError::Base64)?;
    Ok(Bytes::from(bytes))
}

/// Whether values under this key are bytes.
pub fn is_binary(key: &str) -> bool {
    key.ends_with("-bin")
}

/// Whether values under this key are credentials, which no log may show: `authorization`, `cookie`,
/// `proxy-authorization` and `set-cookie`, however they are written.
pub fn is_secret(key: &str) -> bool {
    SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(key))
}

/// Whether this key belongs to HTTP or gRPC itself, so that it is never metadata.
pub fn is_reserved(key: &str) -> bool {
    if key.starts_with("grpc-") {
        return !CARRIED.contains(&key);
    }
    key.starts_with(':') || RESERVED.contains(&key)
}

fn check_key(key: &str) -> Result<(), MetadataError> {
    if is_reserved(key) {
        return Err(MetadataError::Reserved);
    }
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
    if key.is_empty() || !key.bytes().all(allowed) {
        return Err(MetadataError::Key);
    }
    Ok(())
}

fn is_plain(value: &str) -> bool {
    let printable = value.bytes().all(|byte| matches!(byte, 0x20..=0x7E));
    printable && !value.starts_with(' ') && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_credentials_and_shows_the_rest() {
        let mut metadata = Metadata::new();
        metadata.append("a", "1").expect("valid");
        for key in SECRET {
            metadata.append(key, "secret").expect("valid");
        }
        let shown = alloc::format!("{metadata:?}");
        assert!(shown.starts_with(r#"{"a": Ascii("1"), "authorization": <redacted>"#));
        assert!(!shown.contains("secret"), "{shown}");
    }

    /// S4-10: an ordered multi-map.
    #[test]
    fn s4_10_entries_keep_their_order_and_repeat() {
        let mut metadata = Metadata::new();
        metadata.append("b", "1").expect("valid");
        metadata.append("a", "2").expect("valid");
        metadata.append("b", "3").expect("valid");
        let keys: Vec<_> = metadata.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["b", "a", "b"]);
        assert_eq!(metadata.text("b"), Some("1"), "the first value counts");
        assert_eq!(metadata.values("b").count(), 2);
        assert_eq!(metadata.remove("b"), 2);
        assert_eq!(metadata.len(), 1);
    }

    /// S4-10: `-bin` keys hold bytes, base64 on the wire.
    #[test]
    fn s4_10_bytes_are_base64_without_padding_on_the_wire() {
        let mut metadata = Metadata::new();
        metadata
            .append_bytes("k-bin", &[0xFF, 0x00, 0x10][..])
            .expect("valid");
        metadata.append_bytes("k-bin", &[1][..]).expect("valid");
        let wire: Vec<_> = metadata.values("k-bin").map(Value::to_wire).collect();
        assert_eq!(wire, ["/wAQ", "AQ"]);
    }

    #[test]
    fn padded_and_joined_base64_is_read() {
        let mut metadata = Metadata::new();
        metadata
            .append_wire("k-bin", "AQ==,Ag, /wAQ")
            .expect("valid");
        let read: Vec<_> = metadata.values("k-bin").cloned().collect();
        let expected = [&[1][..], &[2][..], &[0xFF, 0, 0x10][..]]
            .map(|bytes| Value::Binary(Bytes::from_static(bytes)));
        assert_eq!(read, expected);
    }

    #[test]
    fn bad_entries_are_refused() {
        let mut metadata = Metadata::new();
        assert_eq!(metadata.append("Key", "v"), Err(MetadataError::Key));
        assert_eq!(metadata.append("", "v"), Err(MetadataError::Key));
        assert_eq!(metadata.append("k", "ä"), Err(MetadataError::Value));
        assert_eq!(metadata.append("k", " v"), Err(MetadataError::Value));
        assert_eq!(metadata.append("k-bin", "v"), Err(MetadataError::Kind));
        assert_eq!(
            metadata.append_bytes("k", Bytes::new()),
            Err(MetadataError::Kind)
        );
        assert_eq!(
            metadata.append_wire("k-bin", "!"),
            Err(MetadataError::Base64)
        );
        for key in ["grpc-status", ":path", "te", "content-type"] {
            assert_eq!(metadata.append(key, "v"), Err(MetadataError::Reserved));
        }
        assert!(metadata.is_empty(), "nothing of it was kept");
    }
}
