//! Writes outboxes: few at once by whoever made them dirty, many by one task, a bounded number at a time.

use std::{
    collections::VecDeque,
    io::{ErrorKind, IoSlice},
    sync::{Arc, Mutex, PoisonError},
};

use headwater_core::outbox::{Flushed, Run};
use tokio::{sync::Notify, task::yield_now};

use super::client::Client;

/// So many dirty outboxes are written by the turn that made them so; more go to the flusher's task.
const INLINE_MAX: usize = 32;
/// So many writes, then other tasks have their turn: meanwhile more is published, and goes out with fewer writes.
const WRITES_PER_TURN: usize = 32;
/// Pieces in one system call.
const PIECES_MAX: usize = 64;

/// The writing side of one hub.
pub(super) struct Flusher {
    ring: Arc<Ring>,
}

#[derive(Default)]
struct Ring {
    dirty: Mutex<VecDeque<Arc<Client>>>,
    filled: Notify,
    dropped: Notify,
}

impl Flusher {
    /// Its task runs until this is dropped.
    pub(super) fn start() -> Self {
        let ring = Arc::new(Ring::default());
        tokio::spawn(run(Arc::clone(&ring)));
        Self { ring }
    }

    /// Sees to it that these are written, in this order.
    pub(super) fn flush(&self, dirty: Vec<Arc<Client>>) {
        if dirty.len() <= INLINE_MAX {
            dirty.into_iter().for_each(flush_one);
            return;
        }
        self.ring.lock().extend(dirty);
        self.ring.filled.notify_one();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.ring.dropped.notify_one();
    }
}

impl Ring {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Client>>> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(ring: Arc<Ring>) {
    loop {
        tokio::select! {
            () = ring.filled.notified() => {}
            () = ring.dropped.notified() => return,
        }
        loop {
            let some: Vec<_> = {
                let mut dirty = ring.lock();
                let count = dirty.len().min(WRITES_PER_TURN);
                dirty.drain(..count).collect()
            };
            if some.is_empty() {
                break;
            }
            some.into_iter().for_each(flush_one);
            yield_now().await;
        }
    }
}

/// Writes until all is written or the socket takes no more; then a task waits for it.
fn flush_one(client: Arc<Client>) {
    if write(&client) {
        tokio::spawn(drain(client));
    }
}

/// For a socket that is full: costs nothing until it takes more.
async fn drain(client: Arc<Client>) {
    let Some(writer) = client.writer() else {
        return;
    };
    loop {
        if writer.writable().await.is_err() {
            return;
        }
        if !write(&client) {
            return;
        }
        yield_now().await;
    }
}

/// Writes what the socket takes. Whether it is full and something waits.
fn write(client: &Client) -> bool {
    let Some(writer) = client.writer() else {
        return false;
    };
    let mut batch = Vec::new();
    loop {
        if !client.outbox().begin_flush(PIECES_MAX, &mut batch) {
            return false;
        }
        let all = batch.iter().map(|piece| piece.bytes.len()).sum();
        let written = match write_batch(writer, &batch) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                // The connection is broken. Its reader sees it too and tells the hub; nothing is kept for it.
                writer.shutdown();
                all
            }
        };
        let state = client.outbox().end_flush(&mut batch, written);
        match state {
            Flushed::Empty => return false,
            Flushed::Ended => {
                writer.finish();
                return false;
            }
            Flushed::More if written < all => return true,
            Flushed::More => {}
        }
    }
}

fn write_batch(writer: &headwater_websocket::Writer, batch: &[Run]) -> std::io::Result<usize> {
    match batch {
        [] => Ok(0),
        [one] => writer.try_write(&one.bytes),
        many => {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            for (slice, piece) in slices.iter_mut().zip(many) {
                *slice = IoSlice::new(&piece.bytes);
            }
            writer.try_write_vectored(&slices[..many.len().min(PIECES_MAX)])
        }
    }
}
