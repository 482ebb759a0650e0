//! What the peer sends, from bytes to messages.

use alloc::{boxed::Box, string::String};
use core::{fmt, mem};

use bytes::{Buf, Bytes, BytesMut};

use super::{
    MessageKind, Opcode,
    frame::{self, Header, Sender, unmask},
    partial::Partial,
};

/// The shortest payload that shares the buffer it was read into, instead of being copied out of it.
pub(super) const SHARED_BYTES_MIN: usize = 4096;

/// The bounds of a [`Decoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderConfig {
    /// The longest message, in bytes, all its fragments together. Default: 1 MiB. A longer one is refused by the header
    /// of the frame that makes it too long, before its payload takes any memory; so this is about what one peer can
    /// make the decoder hold (a partial message takes at most twice what has come of it).
    pub message_bytes_max: usize,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
        }
    }
}

/// What the peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Message {
        /// Text or binary.
        kind: MessageKind,
        /// The payload; UTF-8 where the kind is [`MessageKind::Text`].
        data: Bytes,
    },
    /// Answer it with [`encode_pong`](super::encode_pong) and the same bytes.
    Ping(Bytes),
    /// The answer to a ping, or unasked: either way the peer is alive.
    Pong(Bytes),
    /// The last that this peer says. Answer it with [`encode_close`](super::encode_close), unless a close frame was
    /// sent before, and end the connection.
    Close {
        /// Why; `None` if the peer did not say. The answer usually repeats it.
        code: Option<u16>,
        /// Why, for people; at most 123 bytes.
        reason: String,
    },
}

/// The peer broke the protocol. Tell it with [`encode_close`](super::encode_close), and end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// 1002 (protocol), 1007 (not UTF-8) or 1009 (too long): RFC 6455, section 7.4.1.
    pub close_code: u16,
    /// What was wrong, for people.
    pub reason: &'static str,
}

impl Violation {
    pub(super) const NOT_UTF8: Self = Self {
        close_code: 1007,
        reason: "text must be utf-8",
    };
    const TOO_LONG: Self = Self {
        close_code: 1009,
        reason: "the message is too long",
    };

    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self {
            close_code: 1002,
            reason,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl core::error::Error for Violation {}

/// Reads what one peer sends: [`Decoder::push`] what came, then [`Decoder::poll`] until it gives `None`.
///
/// **Memory.** What is pushed at once is copied once, into one buffer of that size, and unmasked there. A payload of
/// 4 KiB or more is a slice of that buffer and keeps all of it alive, with the other payloads of its turn; a shorter one
/// is copied out and holds nothing but itself, so that a peer cannot make one small event hold the memory of a whole
/// read. (Copying 128 bytes is not dearer than counting references.) A message that comes in several turns or fragments
/// is gathered in a buffer of its own. Polled until `None`, a decoder between two messages holds no memory but itself.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    sender: Sender,
    /// Bytes from the start of a frame on; empty while the payload of `partial` is being gathered.
    buffer: BytesMut,
    /// Whether nothing has been taken from `buffer` yet.
    fresh: bool,
    partial: Option<Box<Partial>>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    /// The peer has said its last: what follows a close frame is ignored (RFC 6455, section 5.5.1).
    Closed,
    Failed(Violation),
}

impl Decoder {
    /// A decoder of what a client sends, at the first byte after the handshake.
    pub fn new(config: DecoderConfig) -> Self {
        Self::of(Sender::Client, config)
    }

    /// A decoder of what a server sends, at the first byte after the handshake. A frame that is masked is refused
    /// (RFC 6455, section 5.1).
    pub fn of_server(config: DecoderConfig) -> Self {
        Self::of(Sender::Server, config)
    }

    fn of(sender: Sender, config: DecoderConfig) -> Self {
        Self {
            config,
            sender,
            buffer: BytesMut::new(),
            fresh: false,
            partial: None,
            state: State::Open,
        }
    }

    /// Takes what was read. Ignored after a close frame or a violation.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Open) {
            return;
        }
        let taken = match &mut self.partial {
            Some(partial) if self.buffer.is_empty() => {
                partial.take(bytes, self.config.message_bytes_max)
            }
            Some(_) | None => Ok(0),
        };
        match taken {
            Ok(taken) => {
                self.fresh = self.buffer.is_empty();
                self.buffer.extend_from_slice(&bytes[taken..]);
            }
            Err(violation) => self.fail(violation),
        }
    }

    /// [`Decoder::push`], which first lends messages to `take` as [`Decoder::poll_short`] does, unmasked where they lie in
    /// `bytes`: those are not copied. Only if [`Decoder::poll`] has given `None` since the last push; else it is a push.
    pub fn push_short(&mut self, bytes: &mut [u8], mut take: impl FnMut(&[u8])) {
        if !matches!(self.state, State::Open) || !self.buffer.is_empty() {
            return self.push(bytes);
        }
        let mut taken = 0;
        if let Some(partial) = &mut self.partial {
            match partial.take(bytes, self.config.message_bytes_max) {
                Ok(count) => taken = count,
                Err(violation) => return self.fail(violation),
            }
            if let Some(message) = self.partial.take_if(|it| it.is_complete() && it.is_short()) {
                take(&message.finish().1);
            }
        }
        if self.partial.is_none() {
            taken += self.lend(&mut bytes[taken..], &mut take);
        }
        self.push(&bytes[taken..]);
    }

    /// The next thing that the peer sent, in its order; `None` if more must be pushed first, and for ever after a
    /// [`Incoming::Close`].
    ///
    /// # Errors
    ///
    /// [`Violation`] where the peer broke the protocol; every later call gives it again.
    pub fn poll(&mut self) -> Result<Option<Incoming>, Violation> {
        match self.state {
            State::Open => {}
            State::Closed => return Ok(None),
            State::Failed(violation) => return Err(violation),
        }
        let found = self.next();
        match found {
            Ok(Some(_)) => {}
            Ok(None) => self.release(),
            Err(violation) => self.fail(violation),
        }
        found
    }

    /// [`Decoder::poll`], which first lends every binary message to `take` that is one frame of less than 4 KiB and all
    /// here, as far as these come first. It spares each of them a buffer of its own.
    ///
    /// A short message may come out of this as well: one that came in pieces.
    ///
    /// # Errors
    ///
    /// As [`Decoder::poll`].
    pub fn poll_short(
        &mut self,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Option<Incoming>, Violation> {
        self.lend_short(&mut take);
        self.poll()
    }

    fn lend_short(&mut self, take: &mut impl FnMut(&[u8])) {
        if self.partial.is_some() || self.buffer.is_empty() {
            return;
        }
        let mut buffer = mem::take(&mut self.buffer);
        let taken = self.lend(&mut buffer, take);
        self.buffer = buffer;
        if taken > 0 {
            self.fresh = false;
            self.buffer.advance(taken);
        }
    }

    /// Lends the short binary messages at the start of `bytes`, and says how many bytes these were.
    fn lend(&self, bytes: &mut [u8], take: &mut impl FnMut(&[u8])) -> usize {
        let bytes_max = self.config.message_bytes_max.min(SHARED_BYTES_MIN - 1);
        let mut taken = 0;
        while let Some(rest) = bytes.get_mut(taken..)
            // What is wrong is found again, by `poll`.
            && let Ok(Some(header)) = Header::parse(rest, self.sender)
            && header.last
            && header.opcode == Opcode::Binary
            && header.payload_len <= bytes_max as u64
        {
            let end = header.len + header.payload_len as usize;
            let Some(payload) = rest.get_mut(header.len..end) else {
                break;
            };
            unmask(payload, header.mask);
            take(payload);
            taken += end;
        }
        taken
    }

    /// Whether nothing is held: the last byte pushed was the last of a message or of a control frame between messages.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty() && self.partial.is_none()
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Incoming>, Violation> {
        loop {
            if let Some(message) = self.partial.take_if(|partial| partial.is_complete()) {
                let (kind, data) = message.finish();
                return Ok(Some(Incoming::Message { kind, data }));
            }
            if self.partial.as_ref().is_some_and(|p| p.missing() > 0) {
                // All that came is in the partial message already.
                return Ok(None);
            }
            let Some(header) = Header::parse(&self.buffer, self.sender)? else {
                return Ok(None);
            };
            if frame::is_control(header.opcode) {
                return self.control(&header);
            }
            let payload_len = self.data_len(&header)?;
            match kind(header.opcode) {
                Some(kind) if self.is_whole(&header, payload_len) => {
                    return self.message(kind, &header, payload_len);
                }
                Some(kind) => self.begin(kind, &header, payload_len)?,
                None => self.proceed(&header, payload_len)?,
            }
        }
    }

    /// The length of a data frame, if it may stand here at all.
    #[inline]
    fn data_len(&self, header: &Header) -> Result<usize, Violation> {
        let so_far = match &self.partial {
            Some(_) if header.opcode != Opcode::Continuation => {
                return Err(Violation::protocol("a message within a message"));
            }
            None if header.opcode == Opcode::Continuation => {
                return Err(Violation::protocol("a continuation of nothing"));
            }
            Some(partial) => partial.len(),
            None => 0,
        };
        let room = self.config.message_bytes_max.saturating_sub(so_far);
        usize::try_from(header.payload_len)
            .ok()
            .filter(|len| *len <= room)
            .ok_or(Violation::TOO_LONG)
    }

    /// Whether this frame is a message by itself, and all of it is here.
    fn is_whole(&self, header: &Header, payload_len: usize) -> bool {
        header.last && self.buffer.len() - header.len >= payload_len
    }

    #[inline]
    fn message(
        &mut self,
        kind: MessageKind,
        header: &Header,
        payload_len: usize,
    ) -> Result<Option<Incoming>, Violation> {
        let data = self.payload(header, payload_len);
        if kind == MessageKind::Text && core::str::from_utf8(&data).is_err() {
            return Err(Violation::NOT_UTF8);
        }
        Ok(Some(Incoming::Message { kind, data }))
    }

    fn control(&mut self, header: &Header) -> Result<Option<Incoming>, Violation> {
        // `Header::parse` has seen to it that this is at most 125.
        let payload_len = header.payload_len as usize;
        if self.buffer.len() - header.len < payload_len {
            return Ok(None);
        }
        let payload = self.payload(header, payload_len);
        match header.opcode {
            Opcode::Close => {
                let close = frame::close(&payload)?;
                self.end(State::Closed);
                Ok(Some(close))
            }
            Opcode::Ping => Ok(Some(Incoming::Ping(payload))),
            Opcode::Pong | Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                Ok(Some(Incoming::Pong(payload)))
            }
        }
    }

    /// Takes the frame at the start of the buffer, all of which is there, and gives its unmasked payload.
    #[inline]
    fn payload(&mut self, header: &Header, payload_len: usize) -> Bytes {
        self.buffer.advance(header.len);
        unmask(&mut self.buffer[..payload_len], header.mask);
        let is_all = mem::take(&mut self.fresh) && payload_len == self.buffer.len();
        if is_all {
            return mem::take(&mut self.buffer).freeze();
        }
        if payload_len >= SHARED_BYTES_MIN {
            return self.buffer.split_to(payload_len).freeze();
        }
        let payload = Bytes::copy_from_slice(&self.buffer[..payload_len]);
        self.buffer.advance(payload_len);
        payload
    }

    /// The first frame of a message that is not all here.
    fn begin(
        &mut self,
        kind: MessageKind,
        header: &Header,
        payload_len: usize,
    ) -> Result<(), Violation> {
        let partial = Partial::new(kind, header.last, header.mask, payload_len);
        self.partial = Some(Box::new(partial));
        self.gather(header)
    }

    /// A further frame of the message under way.
    fn proceed(&mut self, header: &Header, payload_len: usize) -> Result<(), Violation> {
        if let Some(partial) = &mut self.partial {
            partial.next_frame(header.last, header.mask, payload_len);
        }
        self.gather(header)
    }

    /// Moves what is here of the frame at the start of the buffer to the message under way.
    fn gather(&mut self, header: &Header) -> Result<(), Violation> {
        self.buffer.advance(header.len);
        if let Some(partial) = &mut self.partial {
            let taken = partial.take(&self.buffer, self.config.message_bytes_max)?;
            self.buffer.advance(taken);
        }
        Ok(())
    }

    /// Lets go of the buffer of this turn: the payloads found in it may keep it alive, the start of a frame must not.
    fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        } else {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }

    fn fail(&mut self, violation: Violation) {
        self.end(State::Failed(violation));
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.buffer = BytesMut::new();
        self.partial = None;
    }
}

/// The kind of message that a frame begins; `None` for one that continues a message, or is none.
const fn kind(opcode: Opcode) -> Option<MessageKind> {
    match opcode {
        Opcode::Text => Some(MessageKind::Text),
        Opcode::Binary => Some(MessageKind::Binary),
        Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => None,
    }
}

#[cfg(test)]
mod tests;
