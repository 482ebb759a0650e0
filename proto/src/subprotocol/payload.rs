//! What a payload's bytes must be, and what may go with them.

use serde_json::value::RawValue;

use super::{DataType, Metadata, Payload};

/// How deep arrays and objects of a JSON payload may nest. `serde_json` stops there too, as do other parsers that
/// receivers use; it does not count inside a raw value itself.
const JSON_DEPTH_MAX: usize = 128;

/// The longest name in [`Metadata`], in bytes.
const METADATA_NAME_BYTES_MAX: usize = 256;
/// The longest value in [`Metadata`], in bytes.
const METADATA_VALUE_BYTES_MAX: usize = 1024;
/// All names and values in [`Metadata`] together, in bytes.
const METADATA_BYTES_MAX: usize = 8 * 1024;

impl Payload {
    /// Checks that the bytes are what the type says: UTF-8 for text; for JSON one well-formed value that nests at most
    /// 128 deep. Payloads from [`Protocol::decode`](super::Protocol::decode) are; those of an application need it, or
    /// one of them could break the messages of others.
    ///
    /// # Errors
    ///
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.data_type {
            DataType::Binary | DataType::Protobuf => Ok(()),
            DataType::Text => match core::str::from_utf8(&self.data) {
                Ok(_) => Ok(()),
                Err(_) => Err("the text is not UTF-8"),
            },
            DataType::Json => {
                let text = core::str::from_utf8(&self.data).map_err(|_| "the JSON is not UTF-8")?;
                let Ok(value) = serde_json::from_str::<&RawValue>(text) else {
                    return Err("the JSON is not well-formed");
                };
                if !json_depth_is_valid(value.get()) {
                    return Err("the JSON nests too deeply");
                }
                Ok(())
            }
        }
    }
}

/// Checks application metadata: names of 1 to 256 bytes with the characters of an HTTP header name, values of at most
/// 1024 bytes of printable ASCII, 8 KiB in all.
///
/// # Errors
///
/// What is wrong, for people.
pub fn check_metadata(metadata: &Metadata) -> Result<(), &'static str> {
    let mut bytes = 0;
    for (name, value) in metadata {
        if name.is_empty() || name.len() > METADATA_NAME_BYTES_MAX {
            return Err("a metadata name is empty or longer than 256 bytes");
        }
        if !name.bytes().all(is_token) {
            return Err("a metadata name has a character that is not allowed");
        }
        if value.len() > METADATA_VALUE_BYTES_MAX {
            return Err("a metadata value is longer than 1024 bytes");
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("a metadata value is not printable ASCII");
        }
        bytes += name.len() + value.len();
    }
    if bytes > METADATA_BYTES_MAX {
        return Err("the metadata is longer than 8 KiB");
    }
    Ok(())
}

/// `tchar` of RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether well-formed JSON nests no deeper than a receiver can stand.
pub(super) fn json_depth_is_valid(json: &str) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json.bytes() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return false;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::String};
    use bytes::Bytes;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    fn check(data_type: DataType, data: &[u8]) -> Result<(), &'static str> {
        Payload {
            data_type,
            data: Bytes::copy_from_slice(data),
        }
        .check()
    }

    #[test]
    fn r5_21_json_nests_at_most_128_deep() {
        assert!(json_depth_is_valid(&nested(128)));
        assert!(!json_depth_is_valid(&nested(129)));
        assert!(!json_depth_is_valid(&nested(1_000_000)));
        let side_by_side = format!("[{}0]", "[{}],".repeat(1000));
        assert!(json_depth_is_valid(&side_by_side), "closing counts");
        let quoted = format!(r#"["\"{}\\","{}"]"#, "[".repeat(200), "{".repeat(200));
        assert!(
            json_depth_is_valid(&quoted),
            "brackets in strings do not count"
        );
        let behind_a_string = format!(r#"["\\",{}]"#, nested(128));
        assert!(
            !json_depth_is_valid(&behind_a_string),
            "the string has ended"
        );
    }

    #[test]
    fn a_payload_is_what_its_type_says() {
        assert_eq!(check(DataType::Text, "ü".as_bytes()), Ok(()));
        assert!(check(DataType::Text, b"\xff").is_err());
        assert_eq!(check(DataType::Binary, b"\xff"), Ok(()));
        assert_eq!(check(DataType::Protobuf, b"\xff"), Ok(()));
        for json in ["null", " {\"a\":[1]} ", "\"\"", "-1e5"] {
            assert_eq!(check(DataType::Json, json.as_bytes()), Ok(()), "{json}");
        }
        for json in [
            &b""[..],
            b" ",
            b"{",
            b"1 2",
            b"nul",
            b"\"\xff\"",
            b"\"a\nb\"",
            b"{\"a\":1},\"from\":\"server\"",
        ] {
            assert!(check(DataType::Json, json).is_err(), "{json:?}");
        }
        assert!(check(DataType::Json, nested(129).as_bytes()).is_err());
    }

    #[test]
    fn metadata_keeps_its_limits() {
        let metadata = |name: &str, value: &str| Metadata::from([(name.into(), value.into())]);
        for (name, value) in [
            ("a", ""),
            ("!#$%&'*+-.^_`|~09azAZ", " ~"),
            (&"n".repeat(256), &"v".repeat(1024)),
        ] {
            assert_eq!(check_metadata(&metadata(name, value)), Ok(()), "{name}");
        }
        for (name, value) in [
            ("", "v"),
            ("a b", "v"),
            ("a:", "v"),
            ("ä", "v"),
            ("a", "ü"),
            ("a", "\r\nx: y"),
            (&"n".repeat(257), "v"),
            ("a", &"v".repeat(1025)),
        ] {
            assert!(check_metadata(&metadata(name, value)).is_err(), "{name:?}");
        }

        let total = |last: usize| {
            let mut metadata: Metadata =
                (0..7).map(|i| (format!("{i}"), "v".repeat(1023))).collect();
            metadata.insert("7".into(), "v".repeat(last));
            check_metadata(&metadata)
        };
        assert_eq!(total(1023), Ok(()));
        assert!(total(1024).is_err(), "8 KiB and one byte");
    }
}
