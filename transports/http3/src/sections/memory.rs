//! The stream on which `h3` reads and writes header sections: memory.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use h3::quic::{RecvStream, SendStream, StreamErrorIncoming, StreamId, WriteBuf};

/// Holds what `h3` is to read next, and what it has written. Clones are the same stream.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    incoming: Bytes,
    outgoing: Vec<u8>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing in it is changed by halves.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `h3` reads next; then the stream ends.
    pub(super) fn set_incoming(&self, bytes: Bytes) {
        self.lock().incoming = bytes;
    }

    /// What `h3` has written since the last time.
    pub(super) fn take_outgoing(&self) -> Bytes {
        mem::take(&mut self.lock().outgoing).into()
    }
}

impl SendStream<Bytes> for Memory {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        let mut data = data.into();
        let mut held = self.lock();
        while data.has_remaining() {
            let chunk = data.chunk();
            held.outgoing.extend_from_slice(chunk);
            let count = chunk.len();
            data.advance(count);
        }
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    /// Nothing: how QUIC's stream is reset says who holds it.
    fn reset(&mut self, _: u64) {}

    fn send_id(&self) -> StreamId {
        stream_id()
    }
}

impl RecvStream for Memory {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let bytes = mem::take(&mut self.lock().incoming);
        Poll::Ready(Ok((!bytes.is_empty()).then_some(bytes)))
    }

    fn stop_sending(&mut self, _: u64) {}

    fn recv_id(&self) -> StreamId {
        stream_id()
    }
}

/// `h3` asks only for its logs and to count streams, which it does not see.
fn stream_id() -> StreamId {
    StreamId::try_from(0).expect("the first stream")
}
