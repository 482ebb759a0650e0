//! A service that fails as it is told, and remembers every attempt.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use headwater_rpc::{Code, IncomingCall, Metadata, Receiver, Router, Status};
use tokio::{sync::Notify, time::Instant};

/// The method that fails as it is told.
pub const FLAKY: &str = "/headwater.test.Flaky/Run";

/// What the service does with one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Ends it with a status and no headers, before it has read anything.
    Fail(Code),
    /// The same, with `grpc-retry-pushback-ms`.
    PushBack(Code, &'static str),
    /// Reads to the half-close, and then ends it with a status and no headers.
    ReadAndFail(Code),
    /// Sends headers, and then ends it with a status.
    HeadersAndFail(Code),
    /// Reads nothing, and waits until it is cancelled.
    Hang,
    /// Answers each request with itself, to the half-close.
    Echo,
}

/// What the service saw of one attempt.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it came.
    pub at: Instant,
    /// Its `grpc-previous-rpc-attempts`.
    pub previous: Option<String>,
    /// What it sent, as far as it was read.
    pub requests: Vec<Bytes>,
    /// Whether it was cancelled.
    pub cancelled: bool,
}

/// The service. Its replies are taken in the order in which they were given; without one it echoes.
#[derive(Default)]
pub struct Flaky {
    replies: Mutex<VecDeque<Reply>>,
    seen: Mutex<Vec<Seen>>,
    changed: Notify,
}

impl Flaky {
    /// Puts the service on these routes.
    pub fn serve(router: &Router) -> Arc<Self> {
        let flaky = Arc::new(Self::default());
        let service = Arc::clone(&flaky);
        router.stream(FLAKY, move |call| {
            let service = Arc::clone(&service);
            async move { service.run(call).await }
        });
        flaky
    }

    /// Replies so to the attempts that follow, and forgets those before.
    pub fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        *lock(&self.replies) = replies.into_iter().collect();
        lock(&self.seen).clear();
    }

    /// The attempts so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// Waits until what was seen is so.
    pub async fn until(&self, is_so: impl Fn(&[Seen]) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&lock(&self.seen)) {
                return;
            }
            changed.await;
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Vec<Seen>) -> R) -> R {
        let result = change(&mut lock(&self.seen));
        self.changed.notify_waiters();
        result
    }

    async fn run(&self, call: IncomingCall) {
        let previous = call.metadata.text("grpc-previous-rpc-attempts");
        let seen = Seen {
            at: Instant::now(),
            previous: previous.map(str::to_owned),
            requests: Vec::new(),
            cancelled: false,
        };
        let index = self.change(|all| {
            all.push(seen);
            all.len() - 1
        });
        let reply = lock(&self.replies).pop_front().unwrap_or(Reply::Echo);
        self.act(reply, index, call).await;
    }

    async fn act(&self, reply: Reply, index: usize, call: IncomingCall) {
        let IncomingCall {
            sender,
            mut receiver,
            cancellation,
            ..
        } = call;
        let mut trailing = Metadata::new();
        let fail = |code| Err(Status::new(code, "as it was told"));
        // An attempt that has ended meanwhile refuses what is sent.
        match reply {
            Reply::Fail(code) => {
                let _ = sender.finish(fail(code), trailing);
            }
            Reply::PushBack(code, value) => {
                let added = trailing.append("grpc-retry-pushback-ms", value);
                added.expect("a plain value");
                let _ = sender.finish(fail(code), trailing);
            }
            Reply::ReadAndFail(code) => {
                self.read(index, &mut receiver).await;
                let _ = sender.finish(fail(code), trailing);
            }
            Reply::HeadersAndFail(code) => {
                let _ = sender.send_headers(Metadata::new());
                let _ = sender.finish(fail(code), trailing);
            }
            Reply::Hang => {
                cancellation.cancelled().await;
                self.change(|all| {
                    if let Some(seen) = all.get_mut(index) {
                        seen.cancelled = true;
                    }
                });
            }
            Reply::Echo => {
                let mut batch = Vec::new();
                while self.next(index, &mut receiver, &mut batch).await {
                    for message in batch.drain(..) {
                        let _ = sender.send(message).await;
                    }
                }
                let _ = sender.finish(Ok(()), trailing);
            }
        }
    }

    async fn read(&self, index: usize, receiver: &mut Receiver) {
        while self.next(index, receiver, &mut Vec::new()).await {}
    }

    /// Reads and notes what is there; `false` at the end.
    async fn next(&self, index: usize, receiver: &mut Receiver, batch: &mut Vec<Bytes>) -> bool {
        let more = matches!(receiver.next_batch(batch).await, Ok(count) if count > 0);
        self.change(|all| {
            if let Some(seen) = all.get_mut(index) {
                seen.requests.extend(batch.iter().cloned());
            }
        });
        more
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
