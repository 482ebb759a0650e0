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

/// What one turn of a connection's task may read; then those get theirs who take it. So it is still in the processor's
/// cache when they do, and its buffers are free again for the next turn: read on for as long as there is something, large
/// messages cost twice as much, for the allocator gives back to the system what it needs again at once.
const TURN_BYTES: usize = 64 << 10;

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
    /// What this turn has read.
    turn_bytes: usize,
}

impl ReadAhead {
    /// Reads from `io`, if nothing is left of the read before. At the end of a turn this is pending and wakes, even if
    /// there is more: the task is to let others run before it polls this again.
    pub(crate) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.turn_bytes >= TURN_BYTES {
            self.turn_bytes = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = self.poll_more(io, cx, buf);
        match polled {
            Poll::Ready(_) => self.turn_bytes += buf.filled().len() - before,
            Poll::Pending => self.turn_bytes = 0,
        }
        polled
    }

    fn poll_more<S: AsyncRead + Unpin>(
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
    use std::{future::poll_fn, task::Waker};

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

    #[test]
    fn a_turn_ends_though_there_is_more_and_the_next_one_goes_on() {
        let stream = vec![7; 3 * TURN_BYTES];
        for room in [1000, READ_BYTES, TURN_BYTES] {
            let (mut ahead, mut io) = (ReadAhead::default(), &stream[..]);
            let mut cx = Context::from_waker(Waker::noop());
            let (mut read, mut turns) = (0, Vec::new());
            while read < stream.len() {
                let mut bytes = vec![0; room];
                let mut buf = ReadBuf::new(&mut bytes);
                match ahead.poll_read(&mut io, &mut cx, &mut buf) {
                    Poll::Ready(result) => result.expect("a slice does not fail"),
                    Poll::Pending => turns.push(read),
                }
                read += buf.filled().len();
            }
            let lengths = turns.windows(2).map(|ends| ends[1] - ends[0]);
            let bounds = TURN_BYTES..TURN_BYTES + room;
            assert!(
                turns.len() >= 2 && lengths.into_iter().all(|it| bounds.contains(&it)),
                "turns end at {turns:?} in reads of {room}"
            );
        }
    }
}
