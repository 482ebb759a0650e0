//! The dialling end of a WebSocket, as a session's line.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use headwater_proto::pw_rpc::RpcPacket;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::socket::Socket;
use crate::session::{Line, Over};

/// Bytes of messages after which one poll takes no more.
const TURN_BYTES: usize = 64 << 10;
/// The shortest message that shares the buffer it was read into, instead of being copied out of it.
const SHARED_BYTES_MIN: usize = 4096;

/// A socket that tokio-tungstenite has dialled. Pings and close frames are answered there.
pub(super) struct DialledLine {
    socket: WebSocketStream<Socket>,
    is_flushed: bool,
    /// Why nothing more can be written.
    broken: Option<io::Error>,
    /// A close frame was pushed or has come.
    is_closing: bool,
}

impl DialledLine {
    pub(super) fn new(socket: WebSocketStream<Socket>) -> Self {
        Self {
            socket,
            is_flushed: true,
            broken: None,
            is_closing: false,
        }
    }

    fn send(&mut self, message: Message) {
        self.is_flushed = false;
        if let Err(error) = Pin::new(&mut self.socket).start_send(message) {
            self.broken.get_or_insert_with(|| to_io(error));
        }
    }

    /// What a message means, once it is here.
    fn sort(&mut self, message: Message, messages: &mut Vec<Bytes>) -> Result<(), Over> {
        match message {
            Message::Binary(message) => messages.push(compact(message)),
            Message::Text(_) => {
                return Err(Over::with_code(1003, "a packet is a binary message"));
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(frame) => {
                self.is_closing = true;
                let in_peace = frame.as_ref().is_some_and(|it| it.code == CloseCode::Away);
                let why = match frame {
                    Some(CloseFrame { code, reason }) if reason.is_empty() => {
                        format!("the server closed the socket ({code})")
                    }
                    Some(CloseFrame { code, reason }) => {
                        format!("the server closed the socket ({code}: {reason})")
                    }
                    None => "the server closed the socket".to_owned(),
                };
                let over = Over::gone(why);
                return Err(Over { in_peace, ..over });
            }
        }
        Ok(())
    }
}

impl Line for DialledLine {
    fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        messages: &mut Vec<Bytes>,
    ) -> Poll<Result<(), Over>> {
        let mut taken = 0;
        let mut is_first = true;
        while taken < TURN_BYTES {
            let message = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(over(&error))),
                Poll::Ready(None) => return Poll::Ready(Err(Over::gone("the server has gone"))),
                Poll::Pending if is_first => return Poll::Pending,
                Poll::Pending => break,
            };
            is_first = false;
            taken += message.len();
            self.sort(message, messages)?;
        }
        Poll::Ready(Ok(()))
    }

    fn signs(&self) -> u64 {
        self.socket.get_ref().signs()
    }

    fn push(&mut self, packet: &RpcPacket) -> usize {
        let message = packet.to_bytes();
        let len = message.len();
        self.send(Message::Binary(message));
        len
    }

    fn push_ping(&mut self) {
        self.send(Message::Ping(Bytes::new()));
    }

    fn push_close(&mut self, code: u16, reason: &str) {
        if !mem::replace(&mut self.is_closing, true) {
            let reason = &reason[..reason.floor_char_boundary(123)];
            let code = CloseCode::from(code);
            self.send(Message::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            })));
        }
    }

    fn is_flushed(&self) -> bool {
        self.is_flushed
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(to_io)?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(_)) = ready!(Pin::new(&mut self.socket).poll_next(cx)) {}
        Poll::Ready(())
    }
}

/// The same bytes. Few of them do not hold the buffer of a whole read, which a call that is not read would keep.
fn compact(message: Bytes) -> Bytes {
    if message.len() < SHARED_BYTES_MIN {
        return Bytes::copy_from_slice(&message);
    }
    message
}

fn over(error: &tungstenite::Error) -> Over {
    let code = match error {
        tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => return Over::gone("the server has gone"),
        tungstenite::Error::Protocol(_) => 1002,
        tungstenite::Error::Utf8(_) => 1007,
        tungstenite::Error::Capacity(_) => 1009,
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Io(_)
        | tungstenite::Error::Tls(_)
        | tungstenite::Error::WriteBufferFull(_)
        | tungstenite::Error::AttackAttempt
        | tungstenite::Error::Url(_)
        | tungstenite::Error::Http(_)
        | tungstenite::Error::HttpFormat(_) => {
            return Over::gone(format!("the connection broke: {error}"));
        }
    };
    Over::with_code(code, error.to_string())
}

fn to_io(error: tungstenite::Error) -> io::Error {
    if let tungstenite::Error::Io(error) = error {
        return error;
    }
    io::Error::other(error)
}
