//! The watch over the streams of QPACK, at which `h3` does not look.

use std::{
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll},
};

use quinn::VarInt;

use crate::quic::{self, Critical, CriticalStreams};

/// Watches QPACK's streams.
pub(crate) struct QpackWatch {
    connection: quinn::Connection,
    arriving: CriticalStreams,
    watched: Vec<Critical>,
}

impl QpackWatch {
    pub(crate) const fn new(connection: quinn::Connection, arriving: CriticalStreams) -> Self {
        Self {
            connection,
            arriving,
            watched: Vec::new(),
        }
    }

    /// Ends the connection if a stream says what it may not. To be polled after `h3`, which finds the streams.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        self.watched.append(&mut arriving);
        drop(arriving);
        let mut fault: Option<VarInt> = None;
        self.watched
            .retain_mut(|stream| match Pin::new(stream).poll(cx) {
                Poll::Ready(code) => {
                    fault = Some(code);
                    false
                }
                Poll::Pending => true,
            });
        if let Some(code) = fault {
            quic::close(&self.connection, code, "a stream of QPACK is not valid");
        }
    }
}
