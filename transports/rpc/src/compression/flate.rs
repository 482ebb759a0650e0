//! Gzip and zlib, which differ in what stands around the same deflate.

use std::{cell::RefCell, io::Read};

use flate2::{
    Compress, Compression, Crc, FlushCompress, Status,
    bufread::{MultiGzDecoder, ZlibDecoder},
};
use headwater_core::call::Violation;

/// RFC 1952, 2.3: deflate, no name, no time, an unknown system.
const GZIP_HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
/// The checksum and the length.
const GZIP_TRAILER_BYTES: usize = 8;
/// Deflate makes nothing more than this many times smaller (one bit for 258 bytes, twice over), so no length that says so
/// is believed.
const RATIO_MAX: usize = 1032;

thread_local! {
    /// Some 300 KiB each, and dear to set up: one a thread, made when it is first needed.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
    static ZLIB: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), true));
}

/// `None` if it is not smaller.
pub(super) fn gzip(message: &[u8]) -> Option<Vec<u8>> {
    let room = message.len().checked_sub(GZIP_TRAILER_BYTES)?;
    let mut out = Vec::with_capacity(message.len());
    out.extend_from_slice(&GZIP_HEADER);
    DEFLATE.with_borrow_mut(|context| deflate(context, message, &mut out))?;
    if out.len() >= room {
        return None;
    }
    let mut crc = Crc::new();
    crc.update(message);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Some(out)
}

/// `None` if it is not smaller.
pub(super) fn zlib(message: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len().checked_sub(1)?);
    ZLIB.with_borrow_mut(|context| deflate(context, message, &mut out))?;
    Some(out)
}

/// Appends to `out` as much as it has room for; `None` if that is not enough.
fn deflate(context: &mut Compress, message: &[u8], out: &mut Vec<u8>) -> Option<()> {
    context.reset();
    let status = context.compress_vec(message, out, FlushCompress::Finish);
    matches!(status, Ok(Status::StreamEnd)).then_some(())
}

pub(super) fn ungzip(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
    let plausible = compressed.len().saturating_mul(RATIO_MAX);
    let told = compressed
        .last_chunk()
        .map_or(0, |length| u32::from_le_bytes(*length));
    let told = usize::try_from(told).unwrap_or(usize::MAX).min(plausible);
    read(MultiGzDecoder::new(compressed), told, bytes_max)
}

pub(super) fn unzlib(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
    let guess = compressed.len().saturating_mul(4);
    let mut decoder = ZlibDecoder::new(compressed);
    let message = read(&mut decoder, guess, bytes_max)?;
    if !decoder.get_ref().is_empty() {
        return Err(Violation::Corrupt);
    }
    Ok(message)
}

/// Reads to the end, in steps that never reserve more than `bytes_max`.
fn read(mut from: impl Read, guess: usize, bytes_max: usize) -> Result<Vec<u8>, Violation> {
    let mut out = Vec::new();
    let mut len = 0;
    grow(&mut out, guess.min(bytes_max));
    loop {
        // Only a read can tell whether a full buffer is the end.
        let mut more = [0; 64];
        let full = len == out.len();
        let room = if full { &mut more[..] } else { &mut out[len..] };
        let count = from.read(room).map_err(|_| Violation::Corrupt)?;
        if count == 0 {
            out.truncate(len);
            return Ok(out);
        }
        if full {
            if count > bytes_max - len {
                return Err(Violation::TooLarge);
            }
            grow(
                &mut out,
                len.saturating_mul(2).max(len + count).min(bytes_max),
            );
            out[len..len + count].copy_from_slice(&more[..count]);
        }
        len += count;
    }
}

fn grow(out: &mut Vec<u8>, bytes: usize) {
    out.reserve_exact(bytes - out.len());
    out.resize(bytes, 0);
}
