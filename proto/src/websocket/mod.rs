//! The frames and messages of RFC 6455. No IO, no handshake, no extensions.
//!
//! [`Decoder`] turns what a client or a server sends into messages; the `encode_*` functions append what a server sends to a
//! buffer, and [`mask_frame`] makes that what a client sends.
//!
//! ```
//! use headwater_proto::websocket::{Decoder, DecoderConfig, Incoming, MessageKind, encode_message};
//!
//! let mut decoder = Decoder::new(DecoderConfig::default());
//! // "Hello" of RFC 6455, section 5.7, as one masked text frame.
//! decoder.push(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
//! let hello = decoder.poll()?;
//! assert_eq!(hello, Some(Incoming::Message { kind: MessageKind::Text, data: "Hello".into() }));
//! assert_eq!(decoder.poll()?, None);
//!
//! let mut wire = Vec::new();
//! encode_message(MessageKind::Text, b"Hello", &mut wire);
//! assert_eq!(wire, b"\x81\x05Hello");
//! # Ok::<(), headwater_proto::websocket::Violation>(())
//! ```

mod decode;
mod encode;
mod frame;
mod partial;

pub use decode::{Decoder, DecoderConfig, Incoming, Violation};
pub use encode::{
    Mark, append_header, append_masked_header, begin_message, encode_close, encode_message,
    encode_ping, encode_pong, finish_message, mask, mask_frame,
};
pub use frame::close_code_is_valid;

/// The two kinds of WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text (opcode 1).
    Text,
    /// Bytes (opcode 2).
    Binary,
}

/// What a frame is (RFC 6455, section 5.2). Exhaustive: the other ten numbers are reserved and end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further piece of the message that is under way.
    Continuation = 0x0,
    /// A text message, or its first piece.
    Text = 0x1,
    /// A binary message, or its first piece.
    Binary = 0x2,
    /// The last frame of a side.
    Close = 0x8,
    /// Asks for a pong with the same bytes.
    Ping = 0x9,
    /// Answers a ping, or says "alive" unasked.
    Pong = 0xA,
}

impl From<MessageKind> for Opcode {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}
