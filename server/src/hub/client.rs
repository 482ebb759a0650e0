//! The driver's handle of one client connection.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use headwater_core::{
    hub::{Admission, ConnectionKey},
    outbox::{Outbox, OutboxLimits, Pushed, Run},
};
use headwater_proto::{
    Status,
    subprotocol::{Protocol, Response},
    websocket,
};
use headwater_websocket::Writer;
use tokio::sync::{Notify, oneshot};

/// What the hub's side tells the task that reads a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Pause,
    Resume,
}

/// Set in `signals`: read no more for now.
const PAUSED: u8 = 1;
/// Set in `signals`: the last words are in the outbox.
const CLOSED: u8 = 2;

/// One client connection, as the hub and the writers see it. What is read from it belongs to its own task.
pub(crate) struct Client {
    key: ConnectionKey,
    outbox: Mutex<Outbox>,
    socket: OnceLock<(Writer, Protocol)>,
    answer: Mutex<Option<oneshot::Sender<Result<Admission, Status>>>>,
    signals: AtomicU8,
    signalled: Notify,
}

impl Client {
    /// A client that waits to be let in, and where the answer comes.
    pub(crate) fn new(key: ConnectionKey) -> (Self, oneshot::Receiver<Result<Admission, Status>>) {
        let (answer, answered) = oneshot::channel();
        let client = Self {
            key,
            outbox: Mutex::default(),
            socket: OnceLock::new(),
            answer: Mutex::new(Some(answer)),
            signals: AtomicU8::new(0),
            signalled: Notify::new(),
        };
        (client, answered)
    }

    pub(crate) const fn key(&self) -> ConnectionKey {
        self.key
    }

    /// The WebSocket is open. Before this nothing can be written.
    pub(crate) fn open(&self, writer: Writer, protocol: Protocol) {
        // Opened once, by the one task of this connection.
        let _ = self.socket.set((writer, protocol));
    }

    pub(super) fn answer(&self, answer: Result<Admission, Status>) {
        let sender = self
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(sender) = sender {
            // Nobody waits any more: the hub is told by the one who gave up.
            let _ = sender.send(answer);
        }
    }

    pub(crate) fn push(&self, run: Run, limits: &OutboxLimits) -> Pushed {
        self.outbox().push(run, limits)
    }

    /// Ends the outbox after what waits. Whether it must be flushed.
    pub(crate) fn finish(&self, code: u16, reason: &str) -> bool {
        let mut last = Vec::new();
        websocket::encode_close(code, reason, &mut last);
        self.finish_with(last.into())
    }

    /// Ends the outbox after what waits, with these last words. Whether it must be flushed.
    pub(crate) fn finish_with(&self, last: Bytes) -> bool {
        self.set(CLOSED);
        self.outbox().finish(last)
    }

    /// Ends the outbox without what waits (close code 1008: the client broke the bounds). Whether it must be flushed.
    pub(super) fn cut(&self, reason: &str) -> bool {
        self.set(CLOSED);
        let mut last = Vec::new();
        if let Some((_, protocol)) = self.socket.get() {
            protocol.encode(&Response::Disconnected { reason }, &mut last);
        }
        websocket::encode_close(1008, reason, &mut last);
        self.outbox().cut(last.into())
    }

    pub(super) fn signal(&self, signal: Signal) {
        match signal {
            Signal::Pause => self.set(PAUSED),
            Signal::Resume => {
                self.signals.fetch_and(!PAUSED, Ordering::Release);
                self.signalled.notify_one();
            }
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.signals.load(Ordering::Acquire) & PAUSED != 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.signals.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Waits until something was signalled; for the one task that reads.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn signalled(&self) {
        self.signalled.notified().await;
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writer(&self) -> Option<&Writer> {
        self.socket.get().map(|(writer, _)| writer)
    }

    /// Closes the socket, whatever waits.
    pub(crate) fn shut_down(&self) {
        if let Some(writer) = self.writer() {
            writer.shutdown();
        }
    }

    fn set(&self, signal: u8) {
        self.signals.fetch_or(signal, Ordering::Release);
        self.signalled.notify_one();
    }
}
