//! A shared socket's bytes: writes as much as the server takes, and reads all the while.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use headwater_rpc::Closed;
use tokio_tungstenite::tungstenite::{self, Message};

use super::dial::Socket;

/// From here on, nothing is pulled from calls.
const WAITING_BYTES_MAX: usize = 128 << 10;
/// Messages that one poll takes off the socket.
const TURN_MESSAGES: usize = 256;

/// The messages that wait to be written, in order.
#[derive(Default)]
pub(super) struct Outgoing {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_back(Message::Binary(message));
    }

    pub(super) fn ping(&mut self) {
        self.messages.push_back(Message::Ping(Bytes::new()));
    }

    /// Whether calls may say more.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes < WAITING_BYTES_MAX
    }
}

/// The socket, and what is to be written to it.
pub(super) struct Wire {
    pub(super) socket: Socket,
    pub(super) out: Outgoing,
    /// Something was written and may not have left yet.
    unflushed: bool,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            out: Outgoing::default(),
            unflushed: false,
        }
    }

    /// Writes what can be written. Ready when something came, which is appended to `turn`, or when there is room again.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut Vec<Message>,
    ) -> Poll<Result<(), Closed>> {
        let had_room = self.out.has_room();
        self.write(cx).map_err(|error| broken(&error))?;
        while turn.len() < TURN_MESSAGES {
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(message))) => turn.push(message),
                // What came before is said first; the error comes again.
                Poll::Ready(_) if !turn.is_empty() => break,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broken(&error))),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(Closed::broken("the server has gone")));
                }
            }
        }
        if !turn.is_empty() || (self.out.has_room() && !had_room) {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), tungstenite::Error> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.out.messages.is_empty() {
            let Poll::Ready(ready) = socket.as_mut().poll_ready(cx) else {
                return Ok(());
            };
            ready?;
            let Some(message) = self.out.messages.pop_front() else {
                break;
            };
            if let Message::Binary(blob) = &message {
                self.out.bytes -= blob.len();
            }
            socket.as_mut().start_send(message)?;
            self.unflushed = true;
        }
        if self.unflushed
            && let Poll::Ready(flushed) = socket.poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
            self.out.messages = VecDeque::new();
        }
        Ok(())
    }
}

fn broken(error: &tungstenite::Error) -> Closed {
    Closed::broken(&format!("the connection was lost: {error}"))
}
