//! Zstandard.

use std::cell::RefCell;

use headwater_core::call::Violation;
use zstd_safe::{CCtx, CLEVEL_DEFAULT, DCtx, zstd_sys::ZSTD_ErrorCode};

/// What is reserved at first for a message that does not say how long it is.
const GUESS_BYTES: usize = 4 << 10;
/// How much more each further time: what was decompressed before is done again, a third at most of the whole.
const GROWTH: usize = 4;

thread_local! {
    /// Up to some MiB, by the largest message so far: one a thread, made when it is first needed.
    static COMPRESS: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    /// Some 100 KiB.
    static DECOMPRESS: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// `None` if it is not smaller.
pub(super) fn compress(message: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len().checked_sub(1)?);
    let compressed =
        COMPRESS.with_borrow_mut(|context| context.compress(&mut out, message, CLEVEL_DEFAULT));
    // The one error there is: no room, which is to say that it is not smaller.
    compressed.ok()?;
    Some(out)
}

pub(super) fn decompress(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
    let told = zstd_safe::get_frame_content_size(compressed).map_err(|_| Violation::Corrupt)?;
    let mut room = match told.map(usize::try_from) {
        Some(Ok(told)) if told <= bytes_max => told,
        Some(_) => return Err(Violation::TooLarge),
        None => GUESS_BYTES.max(compressed.len()).min(bytes_max),
    };
    // At once into a buffer of its own, so that no window has to be kept: its size would be the sender's choice.
    loop {
        let mut out = Vec::with_capacity(room);
        let result = DECOMPRESS.with_borrow_mut(|context| context.decompress(&mut out, compressed));
        match result {
            Ok(_) => return Ok(out),
            Err(error) if !is_no_room(error) => return Err(Violation::Corrupt),
            Err(_) if room == bytes_max => return Err(Violation::TooLarge),
            Err(_) => room = room.max(GUESS_BYTES).saturating_mul(GROWTH).min(bytes_max),
        }
    }
}

/// Errors are negative numbers in an unsigned one.
const fn is_no_room(error: usize) -> bool {
    error.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize
}
