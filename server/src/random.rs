//! What nobody can guess.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// 128 bits of the system's randomness, URL-safe: 22 characters.
///
/// # Panics
///
/// As [`bytes`].
pub(crate) fn unguessable_id() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}

/// The system's randomness.
///
/// # Panics
///
/// If the system has none: then no id or key is safe.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
