//! How a call's outcome stands in the trailers: `grpc-status`, `grpc-message`, and what an HTTP status means without
//! them.

use alloc::{string::String, vec::Vec};

use crate::Code;

/// The trailer that holds the number of the code; 0 is OK.
pub const STATUS: &str = "grpc-status";
/// The trailer that holds the message, percent-encoded.
pub const MESSAGE: &str = "grpc-message";
/// The trailer that holds the encoded `google.rpc.Status`, in base64.
pub const DETAILS: &str = "grpc-status-details-bin";

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Reads `grpc-status`: `Ok` for 0, the code for any other number, [`Code::Unknown`] for what is no number.
///
/// # Errors
///
/// The call failed, with this code.
pub fn parse_status(text: &str) -> Result<(), Code> {
    let Ok(number) = text.parse::<u32>() else {
        return Err(Code::Unknown);
    };
    Code::from_number(i64::from(number)).map_or(Ok(()), Err)
}

/// Percent-encodes a message for `grpc-message`: all but printable ASCII, and `%` itself.
pub fn encode_message(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, 0x20..=0x7E) && byte != b'%' {
            text.push(char::from(byte));
            continue;
        }
        text.push('%');
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 0x0F)]));
    }
    text
}

/// Reads a `grpc-message`. Nothing in it is an error: an escape that is none stays as it is, and bytes that are not
/// UTF-8 become U+FFFD, for the specification forbids to lose the status over its message.
pub fn decode_message(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if let (b'%', Some(byte)) = (first, escaped(after)) {
            bytes.push(byte);
            rest = &after[2..];
            continue;
        }
        bytes.push(first);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escaped(after: &[u8]) -> Option<u8> {
    let high = char::from(*after.first()?).to_digit(16)?;
    let low = char::from(*after.get(1)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// What an HTTP status other than 200 means for a call that has no `grpc-status` (gRPC's
/// `http-grpc-status-mapping.md`). 200 without `grpc-status` is [`Code::Unknown`].
pub const fn code_of_http_status(status: u16) -> Code {
    match status {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_round_trip() {
        for message in ["", "plain", "100 % sure", "\t\n\u{1F680} ünï\r", "%41"] {
            let text = encode_message(message);
            assert!(text.bytes().all(|byte| matches!(byte, 0x20..=0x7E)));
            assert_eq!(decode_message(text.as_bytes()), message, "{text}");
        }
    }

    #[test]
    fn a_broken_message_is_kept_as_it_is() {
        assert_eq!(decode_message(b"a%zz%4"), "a%zz%4");
        assert_eq!(decode_message(b"%"), "%");
        assert_eq!(decode_message(b"%FF"), "\u{FFFD}");
        assert_eq!(decode_message(b"%e4%BD%a0"), "你");
    }

    #[test]
    fn a_status_is_never_ok_by_mistake() {
        assert_eq!(parse_status("0"), Ok(()));
        assert_eq!(parse_status("5"), Err(Code::NotFound));
        for text in ["", "x", "-1", "99", "4294967296", "0x0"] {
            assert_eq!(parse_status(text), Err(Code::Unknown), "{text:?}");
        }
    }

    #[test]
    fn http_statuses_map_by_the_table() {
        assert_eq!(code_of_http_status(404), Code::Unimplemented);
        assert_eq!(code_of_http_status(503), Code::Unavailable);
        assert_eq!(code_of_http_status(200), Code::Unknown);
        assert_eq!(code_of_http_status(302), Code::Unknown);
    }
}
