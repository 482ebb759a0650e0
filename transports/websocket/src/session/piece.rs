//! What a call says, on its way through a session.

use bytes::{Buf as _, Bytes};
use headwater_core::{
    call::{Credit, Frame},
    packet::Run,
};
use headwater_proto::grpc::framing::PREFIX_BYTES;
use headwater_rpc::{Encoded, Received};

/// A part of it. Messages that lie together stay so.
#[derive(Debug)]
pub(crate) enum Piece {
    Frame(Frame),
    Run(Run),
}

impl Piece {
    /// What it uses of a window.
    pub(crate) const fn credit(&self) -> Credit {
        match self {
            Self::Frame(frame) => frame.credit(),
            Self::Run(run) => run.credit(),
        }
    }

    /// Appends it behind what was received before: as it is, unless something came before that is no run.
    pub(crate) fn receive(self, received: &mut Received) {
        match self {
            Self::Frame(frame) => received.frames.push(frame),
            Self::Run(run) if received.frames.is_empty() => received.runs.push(run.into_bytes()),
            Self::Run(run) => {
                let messages = run.into_messages().map(Frame::Message);
                received.frames.extend(messages);
            }
        }
    }
}

/// The pieces of one pull, in order.
pub(super) fn pieces(encoded: Encoded, mut take: impl FnMut(Piece)) {
    let Encoded {
        headers,
        mut payload,
        end,
    } = encoded;
    if let Some(metadata) = headers {
        take(Piece::Frame(Frame::Headers(metadata)));
    }
    while let Some(mut chunk) = payload.pop() {
        while !chunk.is_empty() {
            let run = Run::take(&mut chunk);
            if !run.is_empty() {
                take(Piece::Run(run));
            }
            let Some((compressed, length)) = take_prefix(&mut chunk) else {
                break;
            };
            // A large message is a chunk of its own, behind that of its prefix.
            let message = match chunk.is_empty() {
                true if length > 0 => payload.pop().unwrap_or_default(),
                true | false => chunk.split_to(length.min(chunk.len())),
            };
            take(Piece::Frame(match compressed {
                true => Frame::Compressed(message),
                false => Frame::Message(message),
            }));
        }
    }
    if let Some(trailers) = end {
        take(Piece::Frame(Frame::End(trailers)));
    }
}

/// Whether the next message is compressed, and its length.
fn take_prefix(chunk: &mut Bytes) -> Option<(bool, usize)> {
    let &[compressed, a, b, c, d] = chunk.first_chunk::<PREFIX_BYTES>()?;
    chunk.advance(PREFIX_BYTES);
    Some((compressed != 0, u32::from_be_bytes([a, b, c, d]) as usize))
}
