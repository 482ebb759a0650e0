//! The parts of the extension as the types that the rest of Headwater uses.

use alloc::string::{String, ToString};
use core::{fmt, time::Duration};

use bytes::Bytes;

use super::wire::{self, Extension, metadata::Entry};
use crate::{
    Metadata,
    metadata::{self, Value},
    redacted::Redacted,
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

impl From<&Metadata> for wire::Metadata {
    fn from(metadata: &Metadata) -> Self {
        let entries = metadata.iter().map(|(key, value)| Entry {
            key: key.to_string(),
            value: match value {
                Value::Ascii(text) => Bytes::copy_from_slice(text.as_bytes()),
                Value::Binary(bytes) => bytes.clone(),
            },
        });
        Self {
            entries: entries.collect(),
        }
    }
}

impl From<wire::Metadata> for Metadata {
    /// What cannot be metadata is left out, as a header that cannot is on other transports.
    fn from(metadata: wire::Metadata) -> Self {
        let mut found = Self::new();
        for Entry { key, value } in metadata.entries {
            if metadata::is_binary(&key) {
                let _ = found.append_bytes(key, value);
            } else if let Ok(text) = String::from_utf8(value.into()) {
                let _ = found.append(key, text);
            }
        }
        found
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value: &dyn fmt::Debug = if metadata::is_secret(&self.key) {
            &Redacted
        } else {
            &self.value
        };
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("value", value)
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
        let wire = wire::Metadata::from(&metadata);
        assert_eq!(Metadata::from(wire), metadata, "in the same order");
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
        let found = Metadata::from(wire::Metadata {
            entries: entries.into(),
        });
        let keys: Vec<_> = found.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["kept"]);
    }

    #[test]
    fn debug_hides_credentials() {
        let mut metadata = Metadata::new();
        metadata.append("authorization", "secret").expect("valid");
        metadata.append("plain", "shown").expect("valid");
        let shown = format!("{:?}", wire::Metadata::from(&metadata));
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("shown"), "{shown}");
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
