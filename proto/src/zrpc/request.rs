//! The frame of the original: a name with its length, and a blob.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{Code, Status};

/// The longest name of a method, in bytes. (The original has no bound; a status that repeats the name has to have one.)
pub const NAME_BYTES_MAX: usize = 1024;

/// A call, as one binary message of the client. Its blob is opaque, and shares the message's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The name as it was sent, dotted by convention; may be empty.
    pub method: &'a str,
    /// The only request; may be empty.
    pub blob: Bytes,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than what every frame of its kind begins with.
    #[error("the frame is too short")]
    Short,
    /// A length says more than there is.
    #[error("the frame ends before the length that it says")]
    Length,
    /// A name or a message that is not UTF-8.
    #[error("the text is not utf-8")]
    NotUtf8,
    /// A name over [`NAME_BYTES_MAX`].
    #[error("the name of the method is too long")]
    NameTooLong,
    /// No kind of frame that there is, or one that the other side sends.
    #[error("the frame is of no known kind")]
    Kind,
    /// Bytes where the frame has none.
    #[error("the frame is too long")]
    Long,
    /// Call id 0, which is the socket itself.
    #[error("the call id is 0")]
    Id,
    /// Metadata that are not lines of a key and a value, or over their bound.
    #[error("the metadata are not valid")]
    Metadata,
}

impl FrameError {
    /// What the peer is told.
    pub fn status(self) -> Status {
        use alloc::string::ToString as _;
        Status::new(Code::InvalidArgument, self.to_string())
    }
}

impl<'a> Request<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// It is shorter than 4 bytes, or than its name; or the name is too long or not UTF-8.
    pub fn decode(message: &'a Bytes) -> Result<Self, FrameError> {
        let (method, at) = read_text(message, 0)?;
        if method.len() > NAME_BYTES_MAX {
            return Err(FrameError::NameTooLong);
        }
        let blob = message.slice(at..);
        Ok(Self { method, blob })
    }
}

/// The message of a call.
///
/// A name of 4 GiB and more is cut, and refused by every server.
pub fn encode_request(method: &str, blob: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + method.len() + blob.len());
    write_text(method, &mut out);
    out.extend_from_slice(blob);
    out
}

/// The text at `at`, and where it ends.
pub(super) fn read_text(bytes: &[u8], at: usize) -> Result<(&str, usize), FrameError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(FrameError::Short)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| FrameError::Length)?;
    let text = rest.get(..len).ok_or(FrameError::Length)?;
    let text = core::str::from_utf8(text).map_err(|_| FrameError::NotUtf8)?;
    Ok((text, at + 4 + len))
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    let max = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let text = &text[..text.floor_char_boundary(max)];
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    const ECHO_WORLD: [u8; 13] = [
        0x04, 0x00, 0x00, 0x00, 0x65, 0x63, 0x68, 0x6f, 0x77, 0x6f, 0x72, 0x6c, 0x64,
    ];

    fn decoded(bytes: &[u8]) -> Result<(alloc::string::String, Bytes), FrameError> {
        let message = Bytes::copy_from_slice(bytes);
        Request::decode(&message).map(|request| (request.method.into(), request.blob))
    }

    #[test]
    fn s2_01_echo_world_has_the_golden_bytes() {
        assert_eq!(encode_request("echo", b"world"), ECHO_WORLD);
        let world = Bytes::from_static(b"world");
        assert_eq!(decoded(&ECHO_WORLD), Ok(("echo".into(), world)));
    }

    /// S2-08: whatever the bytes are, they pass.
    #[test]
    fn s2_08_a_blob_is_opaque() {
        for blob in [&b""[..], &[0xff, 0x00, 0xfe], &[0x80; 300]] {
            let frame = encode_request("dispatch.create_person", blob);
            let expected = (
                "dispatch.create_person".into(),
                Bytes::copy_from_slice(blob),
            );
            assert_eq!(decoded(&frame), Ok(expected));
        }
    }

    #[test]
    fn s2_40_a_frame_shorter_than_its_length_field_is_refused() {
        for len in 0..4 {
            assert_eq!(decoded(&ECHO_WORLD[..len]), Err(FrameError::Short));
        }
        assert_eq!(FrameError::Short.status().code, Code::InvalidArgument);
    }

    #[test]
    fn s2_41_a_name_longer_than_the_rest_is_refused() {
        assert_eq!(decoded(&[5, 0, 0, 0, b'e']), Err(FrameError::Length));
        let most = [0xff, 0xff, 0xff, 0xff, b'e', b'c', b'h', b'o'];
        assert_eq!(decoded(&most), Err(FrameError::Length));
        assert_eq!(FrameError::Length.status().code, Code::InvalidArgument);
    }

    #[test]
    fn s2_42_a_name_that_is_not_utf8_is_refused() {
        assert_eq!(decoded(&[1, 0, 0, 0, 0xff]), Err(FrameError::NotUtf8));
        assert_eq!(FrameError::NotUtf8.status().code, Code::InvalidArgument);
    }

    #[test]
    fn a_name_has_a_bound() {
        let longest = "a".repeat(NAME_BYTES_MAX);
        assert!(decoded(&encode_request(&longest, b"")).is_ok());
        let longer = encode_request(&(longest + "a"), b"");
        assert_eq!(decoded(&longer), Err(FrameError::NameTooLong));
    }

    /// S2-43: no name is a frame; that there is no such method is for the server to say.
    #[test]
    fn s2_43_an_empty_name_is_read() {
        let frame = vec![0, 0, 0, 0, 7];
        assert_eq!(decoded(&frame), Ok(("".into(), Bytes::from_static(&[7]))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_written_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            len in 0_u8..8,
        ) {
            let mut short = vec![len, 0, 0, 0];
            short.extend_from_slice(&bytes);
            for bytes in [bytes, short] {
                if let Ok((method, blob)) = decoded(&bytes) {
                    prop_assert_eq!(encode_request(&method, &blob), bytes);
                }
            }
        }
    }
}
