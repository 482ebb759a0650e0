//! Messages of a call, encoded as the payload of one DATA frame.

use std::mem;

use bytes::Bytes;
use headwater_proto::grpc::framing;
use headwater_rpc::{Frame, Trailers};

use super::writer::Chunks;
use crate::frames::{DATA, HEAD_BYTES_MAX, write_head};

/// Messages from this size on are handed to QUIC as they are instead of being copied.
const OWN_CHUNK_BYTES: usize = 16 << 10;

/// Appends all messages as one frame, and gives what ends them. Headers went ahead of them, and are left out.
pub(crate) fn encode(frames: &mut Vec<Frame>, chunks: &mut Chunks) -> Option<Box<Trailers>> {
    let (mut copied, mut total) = (0, 0);
    for frame in frames.iter() {
        if let Frame::Message(message) | Frame::Compressed(message) = frame {
            total += framing::PREFIX_BYTES + message.len();
            copied += framing::PREFIX_BYTES;
            if message.len() < OWN_CHUNK_BYTES {
                copied += message.len();
            }
        }
    }
    let mut small = Vec::new();
    if total > 0 {
        small.reserve_exact(HEAD_BYTES_MAX + copied);
        write_head(DATA, total, &mut small);
    }
    let mut end = None;
    for frame in frames.drain(..) {
        match frame {
            Frame::Message(message) => push(message, false, &mut small, chunks),
            Frame::Compressed(message) => push(message, true, &mut small, chunks),
            Frame::Headers(_) => {}
            Frame::End(trailers) => end = Some(trailers),
        }
    }
    chunks.push(small.into());
    end
}

fn push(message: Bytes, compressed: bool, small: &mut Vec<u8>, chunks: &mut Chunks) {
    if message.len() < OWN_CHUNK_BYTES {
        return framing::encode(&message, compressed, small);
    }
    framing::encode_prefix(message.len(), compressed, small);
    chunks.push(mem::take(small).into());
    chunks.push(message);
}
