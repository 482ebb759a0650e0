//! What waits to be written to a socket.

use std::io::{self, ErrorKind};

use headwater_proto::websocket::{
    MessageKind, begin_message, encode_close, encode_message, encode_ping, encode_pong,
    finish_message,
};

use crate::Writer;

/// From here on, nothing is pulled from calls: their handlers are held back.
const BYTES_MAX: usize = 64 * 1024;
/// Answers to what the client sent, pongs and errors, that wait at most before it is read no further.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Encoded frames, in order.
#[derive(Default)]
pub(super) struct Out {
    bytes: Vec<u8>,
    written: usize,
    /// How many of the bytes the client causes by what it sends.
    answers: usize,
    /// A close frame is the last of it.
    closing: bool,
}

impl Out {
    pub(super) fn message(&mut self, kind: MessageKind, payload: &[u8]) {
        if !self.closing {
            encode_message(kind, payload, &mut self.bytes);
        }
    }

    /// Appends a binary message that `encode` writes.
    pub(super) fn encoded(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if !self.closing {
            let mark = begin_message(&mut self.bytes);
            encode(&mut self.bytes);
            finish_message(MessageKind::Binary, mark, &mut self.bytes);
        }
    }

    /// Appends what `append` does, and counts it as caused by the client.
    pub(super) fn answer(&mut self, append: impl FnOnce(&mut Self)) {
        let before = self.bytes.len();
        append(self);
        self.answers += self.bytes.len() - before;
    }

    pub(super) fn ping(&mut self) {
        if !self.closing {
            encode_ping(&[], &mut self.bytes);
        }
    }

    pub(super) fn pong(&mut self, payload: &[u8]) {
        if !self.closing {
            encode_pong(payload, &mut self.bytes);
        }
    }

    /// The last frame: nothing that comes after it is sent.
    pub(super) fn close(&mut self, code: u16, reason: &str) {
        if !self.closing {
            encode_close(code, reason, &mut self.bytes);
            self.closing = true;
        }
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether calls may say more.
    pub(super) const fn has_room(&self) -> bool {
        !self.closing && self.bytes.len() - self.written < BYTES_MAX
    }

    /// Whether the client may say more that has to be answered.
    pub(super) const fn takes_answers(&self) -> bool {
        !self.closing && self.answers < ANSWER_BYTES_MAX
    }

    /// Writes what the kernel takes; how many bytes that was.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(super) fn write(&mut self, writer: &Writer) -> io::Result<usize> {
        let before = self.written;
        while self.written < self.bytes.len() {
            match writer.try_write(&self.bytes[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(self.written - before);
                }
                Err(error) => return Err(error),
            }
        }
        let written = self.written - before;
        // An idle socket holds no buffer.
        self.bytes = Vec::new();
        self.written = 0;
        self.answers = 0;
        Ok(written)
    }
}
