//! The outbox against a naive model: random pushes, flushes, short writes, and ends.

use bytes::Bytes;
use headwater_core::outbox::{Flushed, Outbox, OutboxLimits, Pushed, Run};

const LIMITS: OutboxLimits = OutboxLimits {
    bytes_max: 40,
    messages_max: 6,
};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or(0)
    }
}

/// One piece as it was pushed, and how much of it is written.
#[derive(Debug, Clone)]
struct Piece {
    bytes: Vec<u8>,
    written: usize,
    messages: u32,
}

#[derive(Debug, Default)]
struct Model {
    queue: Vec<Piece>,
    /// How many pieces the running flush took.
    in_flush: Option<usize>,
    is_cut: bool,
    ended: bool,
    last: Option<Vec<u8>>,
}

impl Model {
    fn left(&self) -> usize {
        let queue: usize = self
            .queue
            .iter()
            .map(|piece| piece.bytes.len() - piece.written)
            .sum();
        queue + self.last.as_ref().map_or(0, Vec::len)
    }

    fn push(&mut self, run: &Run) -> Pushed {
        if self.ended {
            return Pushed::Ended;
        }
        let (left, at_rest) = (self.left(), self.left() == 0 && self.in_flush.is_none());
        let messages: u32 = self.queue.iter().map(|piece| piece.messages).sum();
        let over = left + run.bytes.len() > LIMITS.bytes_max
            || (messages + run.messages) as usize > LIMITS.messages_max;
        if left > 0 && over {
            return Pushed::Overflow;
        }
        self.queue.push(Piece {
            bytes: run.bytes.to_vec(),
            written: 0,
            messages: run.messages,
        });
        if at_rest {
            Pushed::Dirty
        } else {
            Pushed::Waiting
        }
    }

    fn finish(&mut self, last: &Bytes) -> bool {
        if self.ended {
            return false;
        }
        let at_rest = self.left() == 0 && self.in_flush.is_none();
        self.ended = true;
        self.last = Some(last.to_vec());
        at_rest
    }

    fn cut(&mut self, last: &Bytes) -> bool {
        if self.ended {
            return false;
        }
        if let Some(taken) = self.in_flush {
            self.queue.truncate(taken);
            self.is_cut = true;
        } else {
            self.queue.retain(|piece| piece.written > 0);
        }
        self.finish(last)
    }

    fn begin(&mut self, pieces_max: usize) -> Vec<u8> {
        if self.queue.len() < pieces_max
            && let Some(bytes) = self.last.take()
        {
            self.queue.push(Piece {
                bytes,
                written: 0,
                messages: 0,
            });
        }
        let taken = self.queue.len().min(pieces_max);
        self.in_flush = Some(taken);
        self.queue[..taken]
            .iter()
            .flat_map(|piece| piece.bytes[piece.written..].to_vec())
            .collect()
    }

    fn end(&mut self, mut written: usize) -> Flushed {
        for piece in &mut self.queue {
            let step = written.min(piece.bytes.len() - piece.written);
            piece.written += step;
            written -= step;
        }
        self.queue.retain(|piece| piece.written < piece.bytes.len());
        if std::mem::take(&mut self.is_cut) {
            self.queue.retain(|piece| piece.written > 0);
        }
        self.in_flush = None;
        match (self.left(), self.ended) {
            (0, true) => Flushed::Ended,
            (0, false) => Flushed::Empty,
            _ => Flushed::More,
        }
    }
}

fn play(seed: u64) {
    let mut random = Random(seed * 2 + 1);
    let (mut outbox, mut model) = (Outbox::default(), Model::default());
    let mut batch = Vec::new();
    let mut next = 0_u8;
    let mut fresh = |len: usize| -> Bytes {
        let bytes = (0..len).map(|_| {
            next = next.wrapping_add(1);
            next
        });
        bytes.collect::<Vec<_>>().into()
    };
    for step in 0..200 {
        let at = format!("seed {seed}, step {step}: {model:?}");
        match random.below(20) {
            0..9 => {
                let run = Run {
                    bytes: fresh(1 + random.below(15)),
                    messages: 1 + u32::from(random.below(4) == 0),
                };
                let expected = model.push(&run);
                assert_eq!(outbox.push(run, &LIMITS), expected, "push, {at}");
            }
            9..14 => {
                let pieces_max = 1 + random.below(4);
                let runs = model.in_flush.is_some();
                assert_eq!(
                    outbox.begin_flush(pieces_max, &mut batch),
                    !runs,
                    "begin, {at}"
                );
                if !runs {
                    let all: Vec<u8> = batch.iter().flat_map(|run| run.bytes.to_vec()).collect();
                    assert_eq!(all, model.begin(pieces_max), "batch, {at}");
                }
            }
            14..19 if model.in_flush.is_some() => {
                let all: usize = batch.iter().map(|run| run.bytes.len()).sum();
                let written = if random.below(2) == 0 {
                    all
                } else {
                    random.below(all + 1)
                };
                let expected = model.end(written);
                assert_eq!(outbox.end_flush(&mut batch, written), expected, "end, {at}");
                assert!(batch.is_empty(), "the batch is given back, {at}");
            }
            _ if random.below(20) == 0 => {
                let last = fresh(random.below(4));
                if random.below(2) == 0 {
                    let expected = model.finish(&last);
                    assert_eq!(outbox.finish(last), expected, "finish, {at}");
                } else {
                    let expected = model.cut(&last);
                    assert_eq!(outbox.cut(last), expected, "cut, {at}");
                }
            }
            _ => {}
        }
        assert_eq!(outbox.bytes(), model.left(), "bytes, {at}");
        assert_eq!(outbox.is_ended(), model.ended, "ended, {at}");
    }
}

#[test]
fn whatever_happens_the_outbox_does_what_a_naive_one_does() {
    for seed in 0..5_000 {
        play(seed);
    }
}
