//! Reads of a socket in pieces that are worth a system call.

use std::{
    cell::Cell,
    io, mem,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// What is read at once. HTTP/2 asks for what its own buffer has room for, which is 8 KiB at most between frames and is
/// often much less: several system calls, and several turns of everything above, for what came together.
const READ_BYTES: usize = 16 << 10;

thread_local! {
    /// A buffer for the next read of this thread. Nearly every read is asked for whole, at once.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What was read, and not asked for yet. Holds no memory while it is empty.
#[derive(Default)]
pub(crate) struct ReadAhead {
    bytes: Vec<u8>,
    /// How many of them were asked for.
    taken: usize,
}

impl ReadAhead {
    /// Reads from `io`, if nothing is left of the read before.
    pub(crate) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            // The rest of a large frame: copying it once more would cost more than the call.
            if buf.remaining() >= READ_BYTES {
                return Pin::new(io).poll_read(cx, buf);
            }
            let mut bytes = SPARE.take();
            bytes.reserve(READ_BYTES);
            let read = poll_read_buf(Pin::new(io), cx, &mut bytes);
            self.bytes = bytes;
            if self.bytes.is_empty() {
                self.release();
                return read.map_ok(|_| ());
            }
        }
        let rest = &self.bytes[self.taken..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.bytes.len() {
            self.release();
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the buffer to the thread.
    fn release(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        self.taken = 0;
        bytes.clear();
        SPARE.set(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Reads of `room` bytes each, to the end.
    async fn read_all(stream: &[u8], room: usize) -> (Vec<u8>, usize) {
        let (mut ahead, mut io) = (ReadAhead::default(), stream);
        let (mut all, mut asked) = (Vec::new(), 0);
        loop {
            let mut bytes = vec![0; room];
            let mut buf = ReadBuf::new(&mut bytes);
            let before = io.len();
            let read = poll_fn(|cx| ahead.poll_read(&mut io, cx, &mut buf)).await;
            read.expect("a slice does not fail");
            asked += usize::from(io.len() < before);
            if buf.filled().is_empty() {
                return (all, asked);
            }
            all.extend_from_slice(buf.filled());
        }
    }

    #[tokio::test]
    async fn small_reads_share_one_of_the_socket_and_large_ones_pass() {
        let stream: Vec<u8> = (0..40_000).map(|at: u32| at.to_le_bytes()[0]).collect();
        for (room, asked) in [(100, 3), (READ_BYTES - 1, 3), (READ_BYTES, 3), (40_000, 1)] {
            let read = read_all(&stream, room).await;
            assert_eq!(read, (stream.clone(), asked), "reads of {room} bytes");
        }
    }
}
