//! What two readers make of the bytes of one peer: ours, and tungstenite's.

use std::io::{self, Read, Write};

use headwater_proto::websocket::{Decoder, DecoderConfig, Incoming, MessageKind, Violation};
use tungstenite::{
    Error, Message,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

/// What was made of a stream of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<R> {
    /// What was found, in order.
    pub found: Vec<Incoming>,
    /// How it ended.
    pub end: End<R>,
}

/// How the reading of a stream of bytes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<R> {
    /// More may come.
    Open,
    /// With a close frame.
    Closed,
    /// The bytes were refused.
    Refused(R),
}

/// Who has sent bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// It masks its frames.
    Client,
    /// It does not.
    Server,
}

fn decoder(of: Sender, message_bytes_max: usize) -> Decoder {
    let config = DecoderConfig { message_bytes_max };
    match of {
        Sender::Client => Decoder::new(config),
        Sender::Server => Decoder::of_server(config),
    }
}

/// Our decoder, with the bytes at once, and short binary messages lent.
pub fn ours_lent(of: Sender, bytes: &[u8], message_bytes_max: usize) -> Reading<Violation> {
    let mut decoder = decoder(of, message_bytes_max);
    let mut found = Vec::new();
    let lent = |data: &[u8]| Incoming::Message {
        kind: MessageKind::Binary,
        data: data.to_vec().into(),
    };
    decoder.push_short(&mut bytes.to_vec(), |data| found.push(lent(data)));
    loop {
        match decoder.poll_short(|data| found.push(lent(data))) {
            Ok(Some(incoming)) => found.push(incoming),
            Ok(None) => {
                let is_closed = matches!(found.last(), Some(Incoming::Close { .. }));
                let end = if is_closed { End::Closed } else { End::Open };
                return Reading { found, end };
            }
            Err(violation) => {
                let end = End::Refused(violation);
                return Reading { found, end };
            }
        }
    }
}

/// Our decoder, with the bytes in these pieces.
pub fn ours<'a>(
    of: Sender,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    message_bytes_max: usize,
) -> Reading<Violation> {
    let mut decoder = decoder(of, message_bytes_max);
    let mut found = Vec::new();
    let mut end = End::Open;
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.poll() {
                Ok(Some(incoming)) => {
                    if matches!(incoming, Incoming::Close { .. }) {
                        end = End::Closed;
                    }
                    found.push(incoming);
                }
                Ok(None) => break,
                Err(violation) => {
                    end = End::Refused(violation);
                    break;
                }
            }
        }
    }
    Reading { found, end }
}

/// tungstenite at the other end; a refusal is the close code that fits its error.
pub fn tungstenite(of: Sender, bytes: &[u8], message_bytes_max: usize) -> Reading<u16> {
    let role = match of {
        Sender::Client => Role::Server,
        Sender::Server => Role::Client,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    let mut context = WebSocketContext::new(role, Some(config));
    let mut stream = Stream(bytes);
    let mut found = Vec::new();
    let end = loop {
        match context.read(&mut stream) {
            Ok(message) => {
                let incoming = incoming(message);
                let closed = matches!(incoming, Incoming::Close { .. });
                found.push(incoming);
                if closed {
                    break End::Closed;
                }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break End::Open,
            Err(error) => break End::Refused(close_code(&error)),
        }
    };
    Reading { found, end }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "errors of the network and of the handshake cannot come here"
)]
fn close_code(error: &Error) -> u16 {
    match error {
        Error::Protocol(_) => 1002,
        Error::Utf8(_) => 1007,
        Error::Capacity(_) => 1009,
        other => panic!("an error that has no place here: {other}"),
    }
}

fn incoming(message: Message) -> Incoming {
    match message {
        Message::Text(text) => Incoming::Message {
            kind: MessageKind::Text,
            data: text.into(),
        },
        Message::Binary(data) => Incoming::Message {
            kind: MessageKind::Binary,
            data,
        },
        Message::Ping(payload) => Incoming::Ping(payload),
        Message::Pong(payload) => Incoming::Pong(payload),
        Message::Close(None) => Incoming::Close {
            code: None,
            reason: String::new(),
        },
        Message::Close(Some(frame)) => Incoming::Close {
            code: Some(frame.code.into()),
            reason: frame.reason.as_str().to_owned(),
        },
        Message::Frame(_) => panic!("reading gives no raw frames"),
    }
}

/// Bytes without a network: what is there can be read, and what is written disappears.
struct Stream<'a>(&'a [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(out)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
