//! Header sections as bytes, and back, by `h3`: QPACK without a dynamic table (RFC 9204), and HTTP's rules of headers.
//!
//! Encoding depends on nothing but what is encoded, and so does decoding. So both are done by a request that is never
//! sent, in memory, whatever stream the section is of.

mod client;
mod memo;
mod memory;
mod scan;
mod server;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

pub(crate) use self::{
    client::ClientSections, memo::Memo, memory::Memory, scan::Unfit, server::ServerSections,
};

/// The largest section that can be configured: what it holds at most has room in an [`HeaderMap`].
pub(crate) const SECTION_BYTES_MAX: u64 = 512 << 10;

/// Headers that are about one connection of HTTP/1.1, and have no place here (RFC 9114, 4.2).
const CONNECTION_HEADERS: [header::HeaderName; 3] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// The same, of names that nobody has standardized.
const CONNECTION_HEADER_NAMES: [&str; 2] = ["keep-alive", "proxy-connection"];

/// How a section of bytes of a HEADERS frame may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The peer takes no section so large.
    TooLarge,
    /// It cannot be encoded.
    Impossible,
}

impl Unsent {
    fn of(error: &h3::error::StreamError) -> Self {
        if matches!(error, h3::error::StreamError::HeaderTooBig { .. }) {
            return Self::TooLarge;
        }
        Self::Impossible
    }
}

/// Checks what `h3` leaves to the application.
fn check_fields(headers: &HeaderMap) -> Result<(), Unfit> {
    let misplaced = CONNECTION_HEADERS
        .iter()
        .any(|name| headers.contains_key(name))
        || CONNECTION_HEADER_NAMES
            .iter()
            .any(|name| headers.contains_key(*name));
    let trailers = |value: &HeaderValue| value == "trailers";
    if misplaced || !headers.get_all(header::TE).iter().all(trailers) {
        return Err(Unfit::Malformed);
    }
    content_length(headers).map(|_| ())
}

/// How many bytes of DATA are announced.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Unfit> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|value| value != first) {
        return Err(Unfit::Malformed);
    }
    let text = first.to_str().map_err(|_| Unfit::Malformed)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unfit::Malformed);
    }
    text.parse().map(Some).map_err(|_| Unfit::Malformed)
}

fn unfit(error: &h3::error::StreamError) -> Unfit {
    if matches!(error, h3::error::StreamError::HeaderTooBig { .. }) {
        return Unfit::TooLarge;
    }
    if matches!(error, h3::error::StreamError::StreamError { .. }) {
        return Unfit::Malformed;
    }
    Unfit::Undecodable
}

/// A frame of HEADERS, as `h3` reads it.
fn framed(section: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(section.len() + crate::frames::HEAD_BYTES_MAX);
    crate::frames::write_head(crate::frames::HEADERS, section.len(), &mut frame);
    frame.extend_from_slice(section);
    frame.into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A section that made `h3` panic would leave the others as they are.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
