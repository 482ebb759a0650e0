//! Metadata as lines of `key: value`.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::{FrameError, LINES_BYTES_MAX};
use crate::{
    Metadata,
    grpc::{timeout, trailers::DETAILS},
    metadata::{self, Value},
};

/// The time that a client gives its call.
const TIMEOUT: &str = "grpc-timeout";

pub(super) fn read(bytes: &[u8]) -> Result<Metadata, FrameError> {
    read_with(bytes, |_, _| Ok(()))
}

/// What a call is opened with.
pub(super) fn read_open(bytes: &[u8]) -> Result<(Metadata, Option<Duration>), FrameError> {
    if bytes.len() > LINES_BYTES_MAX {
        return Err(FrameError::Metadata);
    }
    let mut given = None;
    let metadata = read_with(bytes, |key, value| {
        if key == TIMEOUT {
            given = Some(timeout::parse(value).ok_or(FrameError::Metadata)?);
        }
        Ok(())
    })?;
    if metadata.size() > LINES_BYTES_MAX {
        return Err(FrameError::Metadata);
    }
    Ok((metadata, given))
}

/// What a call ended with, and the details of its status.
pub(super) fn read_status(bytes: &[u8]) -> Result<(Metadata, Bytes), FrameError> {
    let mut details = Bytes::new();
    let metadata = read_with(bytes, |key, value| {
        if key == DETAILS {
            details = metadata::decode_binary(value).map_err(|_| FrameError::Metadata)?;
        }
        Ok(())
    })?;
    Ok((metadata, details))
}

/// Reads the lines, and hands those that are no metadata to `reserved`, which ignores what it does not know.
fn read_with(
    bytes: &[u8],
    mut reserved: impl FnMut(&str, &str) -> Result<(), FrameError>,
) -> Result<Metadata, FrameError> {
    let text = core::str::from_utf8(bytes).map_err(|_| FrameError::NotUtf8)?;
    let mut found = Metadata::new();
    for line in text.split_terminator('\n') {
        let (key, value) = line.split_once(':').ok_or(FrameError::Metadata)?;
        let value = value.trim_matches([' ', '\t']);
        if metadata::is_reserved(key) {
            reserved(key, value)?;
            continue;
        }
        let added = found.append_wire(key, value);
        added.map_err(|_| FrameError::Metadata)?;
    }
    Ok(found)
}

pub(super) fn write(metadata: &Metadata, out: &mut Vec<u8>) {
    for (key, value) in metadata.iter() {
        line(key, &value.to_wire(), out);
    }
}

pub(super) fn write_open(metadata: &Metadata, given: Option<Duration>, out: &mut Vec<u8>) {
    if let Some(given) = given {
        line(TIMEOUT, &timeout::format(given), out);
    }
    write(metadata, out);
}

pub(super) fn write_status(metadata: &Metadata, details: &Bytes, out: &mut Vec<u8>) {
    if !details.is_empty() {
        line(DETAILS, &Value::Binary(details.clone()).to_wire(), out);
    }
    write(metadata, out);
}

fn line(key: &str, value: &str, out: &mut Vec<u8>) {
    for part in [key, ": ", value, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}
