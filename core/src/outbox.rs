//! What waits for one connection: references to shared runs of frames, within bounds.
//!
//! The driver keeps one outbox a connection behind a mutex. Whoever makes it dirty sees to it that somebody flushes it:
//! [`Outbox::begin_flush`] takes pieces out, the driver writes them without holding the mutex, and
//! [`Outbox::end_flush`] gives back what the socket did not take. One flush at a time: a second `begin_flush` gets
//! nothing, and what was pushed meanwhile is the first one's to write.

use alloc::{collections::VecDeque, vec::Vec};

use bytes::{Buf, Bytes};

/// Complete frames, one after the other, shared by all who receive them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The frames as they go on the wire.
    pub bytes: Bytes,
    /// How many messages they are.
    pub messages: u32,
}

/// The bounds of an [`Outbox`]. A run that finds the outbox empty is always taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes that may wait. Default: 16 MiB. The bytes are shared, so many slow members of one group cost them once.
    pub bytes_max: usize,
    /// Messages that may wait. Default: 16,384.
    pub messages_max: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            bytes_max: 16 << 20,
            messages_max: 16_384,
        }
    }
}

/// The queue of one connection. Holds no memory while empty.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Run>,
    bytes: usize,
    messages: usize,
    flushing: bool,
    /// Part of the first piece, of the batch or else of those that wait, is written.
    begun: bool,
    /// The outbox was cut during this flush.
    cut_in_flush: bool,
    ended: bool,
    /// What is written last of all.
    last: Option<Bytes>,
}

/// What a push means for the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The outbox was at rest: somebody must flush it now.
    Dirty,
    /// Somebody is about to flush it, or does already.
    Waiting,
    /// The reader is too slow: nothing was taken, and the driver cuts the connection.
    Overflow,
    /// The outbox was cut before; nothing was taken.
    Ended,
}

/// What is left after a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// All is written.
    Empty,
    /// Something waits: flush again, when the socket takes more.
    More,
    /// All is written, the last words of [`Outbox::cut`] included.
    Ended,
}

impl Outbox {
    /// Appends a run.
    pub fn push(&mut self, run: Run, limits: &OutboxLimits) -> Pushed {
        if self.ended {
            return Pushed::Ended;
        }
        let at_rest = self.is_at_rest();
        let bytes = self.bytes + run.bytes.len();
        let messages = self.messages + run.messages as usize;
        if self.bytes > 0 && (bytes > limits.bytes_max || messages > limits.messages_max) {
            return Pushed::Overflow;
        }
        self.bytes = bytes;
        self.messages = messages;
        self.pieces.push_back(run);
        if at_rest {
            Pushed::Dirty
        } else {
            Pushed::Waiting
        }
    }

    /// Lets `last` follow what waits, and be the end. Whether the driver must flush now; `false` after an end.
    pub fn finish(&mut self, last: Bytes) -> bool {
        if self.ended {
            return false;
        }
        let at_rest = self.is_at_rest();
        self.ended = true;
        self.bytes += last.len();
        self.last = Some(last);
        at_rest
    }

    /// Drops all that has not begun to leave, and lets `last` be the end. Whether the driver must flush now; `false`
    /// after an end.
    ///
    /// A piece that is half written is finished first, else the peer could not read what follows.
    pub fn cut(&mut self, last: Bytes) -> bool {
        if self.ended {
            return false;
        }
        let keep = usize::from(self.begun && !self.flushing);
        for piece in self.pieces.split_off(keep) {
            self.forget(&piece);
        }
        self.cut_in_flush = self.flushing;
        self.finish(last)
    }

    /// Moves at most `pieces_max` pieces to the end of `batch`, for writing. `false` if another flush runs.
    pub fn begin_flush(&mut self, pieces_max: usize, batch: &mut Vec<Run>) -> bool {
        if self.flushing {
            return false;
        }
        self.flushing = true;
        for _ in 0..pieces_max {
            let Some(piece) = self.pieces.pop_front().or_else(|| self.take_last()) else {
                break;
            };
            batch.push(piece);
        }
        true
    }

    /// Ends the flush, which wrote the first `written` bytes of `batch`, and takes the rest back; `batch` is empty then.
    pub fn end_flush(&mut self, batch: &mut Vec<Run>, written: usize) -> Flushed {
        self.flushing = false;
        let mut left = written;
        let finished = batch
            .iter()
            .take_while(|piece| take_whole(&mut left, piece.bytes.len()))
            .count();
        for piece in batch.drain(..finished) {
            self.forget(&piece);
        }
        let was_begun = self.begun && finished == 0;
        self.begun = !batch.is_empty() && (left > 0 || was_begun);
        if self.begun {
            batch[0].bytes.advance(left);
            self.bytes -= left;
        }
        let keep = if core::mem::take(&mut self.cut_in_flush) {
            usize::from(self.begun)
        } else {
            batch.len()
        };
        for piece in batch.drain(keep..) {
            self.forget(&piece);
        }
        for piece in batch.drain(..).rev() {
            self.pieces.push_front(piece);
        }
        match self.bytes {
            0 if self.ended => Flushed::Ended,
            0 => {
                self.pieces = VecDeque::new();
                Flushed::Empty
            }
            _ => Flushed::More,
        }
    }

    /// Bytes that wait, those of a running flush included.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether [`Outbox::finish`] or [`Outbox::cut`] was called.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    const fn is_at_rest(&self) -> bool {
        self.bytes == 0 && !self.flushing
    }

    fn forget(&mut self, piece: &Run) {
        self.bytes -= piece.bytes.len();
        self.messages -= piece.messages as usize;
    }

    fn take_last(&mut self) -> Option<Run> {
        self.last.take().map(|bytes| Run { bytes, messages: 0 })
    }
}

/// Takes `len` from `left` if there is as much.
fn take_whole(left: &mut usize, len: usize) -> bool {
    let whole = *left >= len;
    if whole {
        *left -= len;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits {
        bytes_max: 10,
        messages_max: 3,
    };

    fn run(text: &'static str) -> Run {
        Run {
            bytes: Bytes::from_static(text.as_bytes()),
            messages: 1,
        }
    }

    /// Flushes once with a socket that takes `room` bytes; what it took.
    fn flush(outbox: &mut Outbox, room: usize) -> (alloc::string::String, Flushed) {
        let mut batch = Vec::new();
        assert!(outbox.begin_flush(64, &mut batch), "no other flush runs");
        let all: Vec<u8> = batch
            .iter()
            .flat_map(|piece| piece.bytes.to_vec())
            .collect();
        let written = room.min(all.len());
        let state = outbox.end_flush(&mut batch, written);
        (
            alloc::string::String::from_utf8(all[..written].to_vec()).unwrap(),
            state,
        )
    }

    #[test]
    fn what_is_pushed_leaves_in_order_across_short_writes() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(run("abc"), &LIMITS), Pushed::Dirty);
        assert_eq!(outbox.push(run("def"), &LIMITS), Pushed::Waiting);
        assert_eq!(flush(&mut outbox, 4), ("abcd".into(), Flushed::More));
        assert_eq!(outbox.push(run("gh"), &LIMITS), Pushed::Waiting);
        assert_eq!(flush(&mut outbox, 99), ("efgh".into(), Flushed::Empty));
        assert_eq!(outbox.bytes(), 0);
        assert_eq!(
            outbox.push(run("i"), &LIMITS),
            Pushed::Dirty,
            "after an empty flush it is at rest again"
        );
    }

    #[test]
    fn one_flush_runs_at_a_time_and_a_push_meanwhile_is_reported_as_more() {
        let mut outbox = Outbox::default();
        outbox.push(run("a"), &LIMITS);
        let mut batch = Vec::new();
        assert!(outbox.begin_flush(64, &mut batch));
        assert!(
            !outbox.begin_flush(64, &mut Vec::new()),
            "a second flush would reorder"
        );
        assert_eq!(outbox.push(run("b"), &LIMITS), Pushed::Waiting);
        assert_eq!(outbox.end_flush(&mut batch, 1), Flushed::More);
        assert_eq!(flush(&mut outbox, 9), ("b".into(), Flushed::Empty));
    }

    #[test]
    fn a_reader_that_is_too_slow_overflows_by_bytes_or_by_messages() {
        let mut bytes = Outbox::default();
        bytes.push(run("123456"), &LIMITS);
        assert_eq!(
            bytes.push(run("12345"), &LIMITS),
            Pushed::Overflow,
            "11 bytes are over the bound of 10"
        );
        assert_eq!(
            bytes.push(run("1234"), &LIMITS),
            Pushed::Waiting,
            "10 bytes are not"
        );

        let mut messages = Outbox::default();
        for _ in 0..3 {
            messages.push(run("x"), &LIMITS);
        }
        assert_eq!(
            messages.push(run("x"), &LIMITS),
            Pushed::Overflow,
            "a fourth message is over the bound of 3"
        );
    }

    #[test]
    fn a_run_larger_than_the_bound_is_taken_when_nothing_waits() {
        let mut outbox = Outbox::default();
        assert_eq!(
            outbox.push(run("much more than ten bytes"), &LIMITS),
            Pushed::Dirty
        );
    }

    #[test]
    fn finish_writes_what_waits_and_then_the_last_words() {
        let mut outbox = Outbox::default();
        outbox.push(run("abc"), &LIMITS);
        assert!(
            !outbox.finish(Bytes::from_static(b"bye")),
            "somebody flushes already"
        );
        assert_eq!(outbox.push(run("late"), &LIMITS), Pushed::Ended);
        assert_eq!(flush(&mut outbox, 99), ("abcbye".into(), Flushed::Ended));
    }

    #[test]
    fn cut_finishes_the_piece_that_has_begun_and_drops_the_rest() {
        let mut outbox = Outbox::default();
        outbox.push(run("abc"), &LIMITS);
        outbox.push(run("def"), &LIMITS);
        let mut batch = Vec::new();
        outbox.begin_flush(64, &mut batch);
        assert!(
            !outbox.cut(Bytes::from_static(b"bye")),
            "the running flush goes on"
        );
        assert_eq!(outbox.end_flush(&mut batch, 1), Flushed::More);
        assert_eq!(flush(&mut outbox, 99), ("bcbye".into(), Flushed::Ended));
    }

    #[test]
    fn cut_between_flushes_finishes_the_piece_that_has_begun() {
        let mut outbox = Outbox::default();
        outbox.push(run("abc"), &LIMITS);
        outbox.push(run("def"), &LIMITS);
        assert_eq!(flush(&mut outbox, 1), ("a".into(), Flushed::More));
        assert!(!outbox.cut(Bytes::from_static(b"bye")));
        assert_eq!(flush(&mut outbox, 99), ("bcbye".into(), Flushed::Ended));
    }

    #[test]
    fn cut_in_a_flush_that_writes_nothing_finishes_the_piece_begun_before() {
        let mut outbox = Outbox::default();
        outbox.push(run("abc"), &LIMITS);
        outbox.push(run("def"), &LIMITS);
        flush(&mut outbox, 1);
        let mut batch = Vec::new();
        outbox.begin_flush(64, &mut batch);
        outbox.cut(Bytes::from_static(b"bye"));
        assert_eq!(outbox.end_flush(&mut batch, 0), Flushed::More);
        assert_eq!(flush(&mut outbox, 99), ("bcbye".into(), Flushed::Ended));
    }

    #[test]
    fn cut_at_rest_asks_for_a_flush() {
        let mut outbox = Outbox::default();
        assert!(outbox.cut(Bytes::from_static(b"bye")));
        assert!(
            !outbox.cut(Bytes::from_static(b"again")),
            "the first end counts"
        );
        assert_eq!(flush(&mut outbox, 99), ("bye".into(), Flushed::Ended));
    }
}
