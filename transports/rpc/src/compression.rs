//! Compresses and decompresses what the core has decided on, outside of a call's mutex.

#[cfg(feature = "gzip")]
mod flate;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

use std::{collections::VecDeque, mem};

use bytes::Bytes;
use headwater_core::call::{Call, Closed, Encoding, Encodings, Frame, Input, SendError, Violation};

use crate::shared::Shared;

/// Decompressed bytes after which one batch takes no more: what came in one read may hold a thousand times as much.
const BATCH_BYTES: usize = 64 << 10;

/// What this build can do: `gzip` and `zstd` are features of the crate, and deflate comes with gzip.
pub const SUPPORTED_ENCODINGS: Encodings = supported();

const fn supported() -> Encodings {
    let mut encodings = Encodings::NONE;
    if cfg!(feature = "gzip") {
        encodings = encodings.with(Encoding::Gzip).with(Encoding::Deflate);
    }
    if cfg!(feature = "zstd") {
        encodings = encodings.with(Encoding::Zstd);
    }
    encodings
}

/// Whether one message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compress {
    /// If its call is, and if that makes it smaller.
    #[default]
    Auto,
    /// It is not, such as one that has secrets beside what an attacker can choose (BREACH).
    Never,
}

/// This encoding, or none if the build does not have it.
pub(crate) const fn supported_or_identity(encoding: Encoding) -> Encoding {
    if SUPPORTED_ENCODINGS.contains(encoding) {
        encoding
    } else {
        Encoding::Identity
    }
}

/// The compressed message; `None` if it is not smaller.
#[cfg_attr(
    not(any(feature = "gzip", feature = "zstd")),
    expect(unused_variables, reason = "there is nothing to do it with")
)]
fn compress(encoding: Encoding, message: &[u8]) -> Option<Bytes> {
    let compressed: Vec<u8> = match encoding {
        #[cfg(feature = "gzip")]
        Encoding::Gzip => flate::gzip(message),
        #[cfg(feature = "gzip")]
        Encoding::Deflate => flate::zlib(message),
        #[cfg(feature = "zstd")]
        Encoding::Zstd => zstd::compress(message),
        // Not every build has all of them.
        #[allow(unreachable_patterns)]
        Encoding::Identity | Encoding::Gzip | Encoding::Deflate | Encoding::Zstd => None,
    }?;
    // Without what was reserved and not used: a window counts the bytes that are sent.
    Some(compressed.into_boxed_slice().into())
}

/// The decompressed message.
///
/// # Errors
///
/// [`Violation::TooLarge`] if it has more than `bytes_max`, of which not much more is ever held; [`Violation::Corrupt`] if
/// the bytes are not in this encoding.
#[cfg_attr(
    not(any(feature = "gzip", feature = "zstd")),
    expect(unused_variables, reason = "there is nothing to do it with")
)]
fn decompress(encoding: Encoding, compressed: &[u8], bytes_max: usize) -> Result<Bytes, Violation> {
    let message: Vec<u8> = match encoding {
        #[cfg(feature = "gzip")]
        Encoding::Gzip => flate::ungzip(compressed, bytes_max),
        #[cfg(feature = "gzip")]
        Encoding::Deflate => flate::unzlib(compressed, bytes_max),
        #[cfg(feature = "zstd")]
        Encoding::Zstd => zstd::decompress(compressed, bytes_max),
        #[allow(unreachable_patterns)]
        Encoding::Identity | Encoding::Gzip | Encoding::Deflate | Encoding::Zstd => {
            Err(Violation::Corrupt)
        }
    }?;
    Ok(message.into())
}

/// A message on its way out.
pub(crate) struct Outgoing {
    message: Bytes,
    compress: Compress,
    packed: Option<Packed>,
}

struct Packed {
    encoding: Encoding,
    /// `None`: it goes as it is.
    compressed: Option<Bytes>,
}

impl Outgoing {
    pub(crate) const fn new(message: Bytes, compress: Compress) -> Self {
        Self {
            message,
            compress,
            packed: None,
        }
    }

    /// Sends it; or says what it has to be compressed with first ([`Outgoing::pack`]). After an error it is still whole.
    pub(crate) fn send(&mut self, call: &mut Call) -> Result<Option<Encoding>, SendError> {
        let encoding = call.send_encoding();
        let bytes = self.message.len();
        if self.compress == Compress::Never || encoding == Encoding::Identity {
            return self.send_plain(call);
        }
        match &mut self.packed {
            Some(packed) if packed.encoding == encoding => {
                let Some(compressed) = &mut packed.compressed else {
                    return self.send_plain(call);
                };
                call.check_send(bytes, compressed.len())?;
                call.send_compressed(encoding, mem::take(compressed), bytes)?;
                Ok(None)
            }
            Some(_) | None => {
                // Nothing is compressed in vain that is refused whatever becomes of it.
                call.check_send(bytes, 0)?;
                Ok(Some(encoding))
            }
        }
    }

    fn send_plain(&mut self, call: &mut Call) -> Result<Option<Encoding>, SendError> {
        call.check_send(self.message.len(), self.message.len())?;
        call.send(mem::take(&mut self.message))?;
        Ok(None)
    }

    pub(crate) fn pack(&mut self, encoding: Encoding) {
        self.packed = Some(Packed {
            encoding,
            compressed: compress(encoding, &self.message),
        });
    }
}

/// What has come and waits to be decompressed, and how the stream ended after it.
#[derive(Default)]
pub(crate) struct Incoming {
    frames: VecDeque<Frame>,
    closed: Option<Closed>,
}

impl Incoming {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.closed.is_none()
    }

    pub(crate) fn push(&mut self, frames: impl Iterator<Item = Frame>, closed: Option<Closed>) {
        self.frames.extend(frames);
        self.closed = closed;
    }

    /// Hands it to the call, up to about [`BATCH_BYTES`] and one message.
    pub(crate) fn unpack(&mut self, call: &Shared) {
        let mut taken = 0;
        let mut next = None;
        loop {
            let compressed = call.act_now(|state, now| {
                if let Some(input) = next.take() {
                    state.call.handle(input, now);
                }
                if taken >= BATCH_BYTES {
                    return None;
                }
                while let Some(frame) = self.frames.pop_front() {
                    match (frame, state.call.receive_encoding()) {
                        (Frame::Compressed(bytes), encoding)
                            if encoding != Encoding::Identity && !state.call.is_ended() =>
                        {
                            return Some((encoding, bytes));
                        }
                        (frame, _) => state.call.handle(Input::Frame(frame), now),
                    }
                }
                if let Some(closed) = self.closed.take() {
                    state.call.handle(Input::Closed(closed), now);
                }
                None
            });
            let Some((encoding, bytes)) = compressed else {
                return;
            };
            let message = decompress(encoding, &bytes, call.receive_message_bytes_max);
            taken += message.as_ref().map_or(0, Bytes::len);
            next = Some(Input::Decompressed {
                message,
                sent_bytes: bytes.len(),
            });
        }
    }
}
