//! QPACK's streams (RFC 9204, 4.2), on which a peer without a dynamic table has little to say.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use quinn::VarInt;

use crate::codes;

/// Streams whose type was read, and that nobody watches yet.
pub(crate) type CriticalStreams = Arc<Mutex<Vec<Critical>>>;

/// What one read takes at most.
const READ_BYTES: usize = 4 << 10;
/// "Set Dynamic Table Capacity", to 0: the one instruction that a table of no bytes allows (RFC 9204, 4.3.1).
const CAPACITY_ZERO: u8 = 0x20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Encoder,
    Decoder,
}

/// A stream that may never end (RFC 9204, 4.2), and on which `h3` does not look. Ready with the error of the connection.
pub(crate) struct Critical {
    stream: quinn::RecvStream,
    instructions: Instructions,
    begun: Bytes,
}

impl Critical {
    pub(super) const fn new(kind: Kind, stream: quinn::RecvStream, begun: Bytes) -> Self {
        Self {
            stream,
            instructions: Instructions {
                kind,
                within: false,
            },
            begun,
        }
    }
}

impl Future for Critical {
    type Output = VarInt;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<VarInt> {
        let this = &mut *self;
        loop {
            if let Err(code) = this.instructions.take(&std::mem::take(&mut this.begun)) {
                return Poll::Ready(code);
            }
            let read = this.stream.read_chunk(READ_BYTES, true);
            match ready!(pin!(read).poll(cx)) {
                Ok(Some(chunk)) => this.begun = chunk.bytes,
                Ok(None) | Err(_) => return Poll::Ready(codes::CLOSED_CRITICAL_STREAM),
            }
        }
    }
}

struct Instructions {
    kind: Kind,
    /// An integer goes on.
    within: bool,
}

impl Instructions {
    fn take(&mut self, bytes: &[u8]) -> Result<(), VarInt> {
        bytes.iter().try_for_each(|&byte| match self.kind {
            Kind::Encoder if byte == CAPACITY_ZERO => Ok(()),
            Kind::Encoder => Err(codes::ENCODER_STREAM_ERROR),
            Kind::Decoder => self.take_of_decoder(byte),
        })
    }

    /// Of the three instructions, only "Stream Cancellation" (RFC 9204, 4.4.2) needs no insertion that it is about.
    fn take_of_decoder(&mut self, byte: u8) -> Result<(), VarInt> {
        if self.within {
            self.within = byte & 0x80 != 0;
            return Ok(());
        }
        if byte & 0xC0 != 0x40 {
            return Err(codes::DECODER_STREAM_ERROR);
        }
        self.within = byte & 0x3F == 0x3F;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_dynamic_table_may_be_said() {
        let encoder: [(&[u8], bool); 4] = [
            (&[0x20], true),
            (&[0x20, 0x20], true),
            // A capacity of 1, and an insertion.
            (&[0x21], false),
            (&[0xC0, 1, b'x'], false),
        ];
        let decoder: [(&[u8], bool); 4] = [
            // Cancellations of stream 4 and stream 200.
            (&[0x44, 0x7F, 0x89, 0x01, 0x44], true),
            // An acknowledgement, an increment, and an increment after a cancellation.
            (&[0x84], false),
            (&[0x01], false),
            (&[0x7F, 0x80, 0x00, 0x01], false),
        ];
        for (kind, cases) in [(Kind::Encoder, encoder), (Kind::Decoder, decoder)] {
            for (bytes, good) in cases {
                for step in 1..=bytes.len() {
                    let mut instructions = Instructions {
                        kind,
                        within: false,
                    };
                    let taken = bytes
                        .chunks(step)
                        .try_for_each(|piece| instructions.take(piece));
                    assert_eq!(taken.is_ok(), good, "{kind:?}: {bytes:x?}");
                }
            }
        }
    }
}
