//! A service that does what its requests say.
//!
//! Each message to [`RUN`] is a line of words: `echo TEXT`, `send COUNT BYTES`, `headers KEY VALUE`, `status CODE MESSAGE`,
//! `trailer KEY VALUE`, `ok`, `wait` (for a cancel), `count` (the messages to the half-close, then OK), `stall` (reads
//! nothing more until [`Control::go_on`]), `compress ENCODING`, `plain TEXT` (never compressed), `flag` (whether this line
//! came compressed), `details TEXT` (of the status that follows), `deadline` (the milliseconds that are left, or `none`), and more that [`Control`]'s source shows.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use headwater_rpc::{
    CancelReason, Cancellation, Code, Compress, Encoding, IncomingCall, Metadata, Receiver, Router,
    SendError, Sender, Shape, Status,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

/// The method that does what its messages say.
pub const RUN: &str = "/headwater.test.Control/Run";
/// [`RUN`] with one response only.
pub const COLLECT: &str = "/headwater.test.Control/Collect";
/// [`RUN`] with one request only.
pub const LIST: &str = "/headwater.test.Control/List";
/// A unary method that answers with its request.
pub const ECHO: &str = "/headwater.test.Control/Echo";
/// A unary method that fails with the status that its request names: `CODE MESSAGE`.
pub const FAIL: &str = "/headwater.test.Control/Fail";
/// A unary method that waits until it is cancelled.
pub const WAIT: &str = "/headwater.test.Control/Wait";

/// Sends a line.
///
/// # Panics
///
/// The call does not take it at once.
pub fn say(sender: &Sender, line: impl Into<String>) {
    let sent = sender.try_send(Bytes::from(line.into()));
    sent.expect("an open call with room takes a line");
}

/// Half-closes.
///
/// # Panics
///
/// The call has ended.
pub fn done(sender: &Sender) {
    let finished = sender.finish(Ok(()), Metadata::new());
    finished.expect("an open call can be half-closed");
}

/// All messages to the end, and how the call ended.
pub async fn read(receiver: &mut Receiver) -> (Vec<Bytes>, Result<(), Status>) {
    let mut messages = Vec::new();
    loop {
        match receiver.next_batch(&mut messages).await {
            Ok(0) => return (messages, Ok(())),
            Ok(_) => {}
            Err(error) => return (messages, Err(error.status)),
        }
    }
}

/// What the handlers saw, for the test to look at.
pub struct Control {
    cancels: mpsc::UnboundedSender<CancelReason>,
    cancelled: tokio::sync::Mutex<mpsc::UnboundedReceiver<CancelReason>>,
    go_on: Semaphore,
    sent: Mutex<Vec<usize>>,
    started: Semaphore,
}

impl Control {
    /// Puts the service on these routes.
    pub fn serve(router: &Router) -> Arc<Self> {
        let (cancels, cancelled) = mpsc::unbounded_channel();
        let control = Arc::new(Self {
            cancels,
            cancelled: tokio::sync::Mutex::new(cancelled),
            go_on: Semaphore::new(0),
            sent: Mutex::new(Vec::new()),
            started: Semaphore::new(0),
        });
        for (path, shape) in [
            (RUN, Shape::Bidirectional),
            (COLLECT, Shape::ClientStreaming),
            (LIST, Shape::ServerStreaming),
        ] {
            let run = Arc::clone(&control);
            router.stream_of(path, shape, move |call| {
                let control = Arc::clone(&run);
                async move { control.run(call).await }
            });
        }
        router.unary(ECHO, |request| async move { Ok(request.message) });
        router.unary(FAIL, |request| async move {
            let text = String::from_utf8_lossy(&request.message).into_owned();
            Err(status(&text))
        });
        let wait = Arc::clone(&control);
        router.unary(WAIT, move |request| {
            let control = Arc::clone(&wait);
            async move {
                control.started.add_permits(1);
                control.saw(request.cancellation.cancelled().await);
                Err(Status::new(Code::Cancelled, "too late"))
            }
        });
        control
    }

    /// The next reason for which a handler was cancelled.
    pub async fn next_cancel(&self) -> CancelReason {
        let mut cancelled = self.cancelled.lock().await;
        cancelled.recv().await.expect("the sender is kept here")
    }

    /// Waits until one more handler has begun to wait, stall or send.
    pub async fn started(&self) {
        let permit = self.started.acquire().await;
        permit.expect("it is never closed").forget();
    }

    /// Lets one stalled handler go on.
    pub fn go_on(&self) {
        self.go_on.add_permits(1);
    }

    /// How many messages each `flood` got rid of before it was blocked.
    pub fn flooded(&self) -> Vec<usize> {
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn saw(&self, reason: CancelReason) {
        // The receiver is part of `self`.
        let _ = self.cancels.send(reason);
    }

    async fn run(&self, call: IncomingCall) {
        let IncomingCall {
            mut receiver,
            sender,
            cancellation,
            metadata,
            peer,
            ..
        } = call;
        let mut trailing = Metadata::new();
        let mut details = Bytes::new();
        let mut batch = Vec::new();
        loop {
            batch.clear();
            match receiver.next_batch(&mut batch).await {
                Ok(0) => {
                    let _ = sender.finish(Ok(()), trailing);
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    if let Some(reason) = cancellation.reason() {
                        self.saw(reason);
                    }
                    drop(error);
                    return;
                }
            }
            let mut lines = batch.drain(..).enumerate();
            while let Some((index, line)) = lines.next() {
                let line = String::from_utf8_lossy(&line).into_owned();
                let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
                match verb {
                    "echo" => send(&sender, rest.to_owned()).await,
                    "send" => send_many(&sender, rest).await,
                    "flood" => self.flood(&sender, rest).await,
                    "peer" => send(&sender, peer.to_string()).await,
                    "headers" => {
                        sender.send_headers(entry(rest)).expect("the call is open");
                    }
                    "reflect" => {
                        sender
                            .send_headers(metadata.clone())
                            .expect("the call is open");
                        trailing = metadata.clone();
                    }
                    "trailer" => trailing = entry(rest),
                    "ok" => {
                        let _ = sender.finish(Ok(()), trailing.clone());
                        return;
                    }
                    "status" => {
                        let status = Status {
                            details,
                            ..status(rest)
                        };
                        let _ = sender.finish(Err(status), trailing.clone());
                        return;
                    }
                    "wait" => {
                        self.started.add_permits(1);
                        self.saw(cancellation.cancelled().await);
                        // A graceful stop lets the handler finish; otherwise this is refused.
                        let _ = sender.finish(Ok(()), trailing);
                        return;
                    }
                    "drop" => return,
                    "panic" => panic!("the handler was told to panic"),
                    "count" => {
                        let lines = lines.map(|(_, line)| line).collect();
                        return count(&mut receiver, &sender, lines).await;
                    }
                    "stall" => {
                        self.started.add_permits(1);
                        let permit = self.go_on.acquire().await;
                        permit.expect("it is never closed").forget();
                    }
                    "details" => details = Bytes::from(rest.to_owned()),
                    "compress" => {
                        let encoding = Encoding::from_name(rest).expect("an encoding");
                        let set = sender.set_compression(encoding);
                        set.expect("no headers were sent");
                    }
                    "plain" => {
                        let text = Bytes::from(rest.to_owned());
                        let _ = sender.send_with(text, Compress::Never).await;
                    }
                    "flag" => {
                        let compressed = receiver.was_compressed(index);
                        send(&sender, compressed.to_string()).await;
                    }
                    "deadline" => send(&sender, time_left(&cancellation)).await,
                    other => panic!("the control service does not know {other:?}"),
                }
            }
        }
    }

    fn note_flood(&self, sent: usize) {
        let mut floods = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        floods.push(sent);
    }

    /// Sends without waiting until it is blocked, notes how much that was, and then sends the rest.
    async fn flood(&self, sender: &Sender, rest: &str) {
        let (count, bytes) = numbers(rest);
        let message = Bytes::from(vec![b'f'; bytes]);
        let mut sent = 0;
        loop {
            match sender.try_send(message.clone()) {
                Ok(()) if sent + 1 < count => sent += 1,
                Ok(()) | Err(SendError::Ended) => break,
                Err(SendError::Blocked) => {
                    self.note_flood(sent);
                    self.started.add_permits(1);
                    sender.writable().await;
                }
                Err(error) => panic!("a flood failed: {error}"),
            }
        }
    }
}

/// Counts what came with the line, and all that follows.
async fn count(receiver: &mut Receiver, sender: &Sender, mut batch: Vec<Bytes>) {
    let mut messages = batch.len();
    let mut bytes: usize = batch.drain(..).map(|message| message.len()).sum();
    while let Ok(more) = receiver.next_batch(&mut batch).await {
        if more == 0 {
            send(sender, format!("{messages} {bytes}")).await;
            let _ = sender.finish(Ok(()), Metadata::new());
            return;
        }
        messages += more;
        bytes += batch.drain(..).map(|message| message.len()).sum::<usize>();
    }
}

fn time_left(cancellation: &Cancellation) -> String {
    let Some(deadline) = cancellation.deadline() else {
        return "none".to_owned();
    };
    let left = deadline.saturating_duration_since(Instant::now());
    left.as_millis().to_string()
}

async fn send(sender: &Sender, text: String) {
    // A call that has ended shows when the next message is read.
    let _ = sender.send(Bytes::from(text)).await;
}

async fn send_many(sender: &Sender, rest: &str) {
    let (count, bytes) = numbers(rest);
    for index in 0..count {
        let fill = u8::try_from(index % 251).expect("below 251");
        let _ = sender.send(Bytes::from(vec![fill; bytes])).await;
    }
}

fn numbers(rest: &str) -> (usize, usize) {
    let (count, bytes) = rest.split_once(' ').expect("COUNT BYTES");
    let count = count.parse().expect("a number");
    (count, bytes.parse().expect("a number"))
}

fn entry(rest: &str) -> Metadata {
    let (key, value) = rest.split_once(' ').expect("KEY VALUE");
    let mut metadata = Metadata::new();
    metadata.append_wire(key, value).expect("valid metadata");
    metadata
}

fn status(rest: &str) -> Status {
    let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = code.parse().expect("a number");
    Status::new(Code::from_number(number).expect("not OK"), message)
}
