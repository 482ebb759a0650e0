//! Calls for workers: a bounded queue between the server and those who have time.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_rpc::{CallHandler, Code, IncomingCall, Metadata, Method, Status};
use tokio::sync::{
    Mutex,
    mpsc::{self, error::TrySendError},
};

/// As many tasks wait in the original.
const CALLS_MAX: usize = 250;

/// Hands the calls of its methods to [`Worker`]s, whichever is free first. Replies stream back through the call itself, and
/// a call that nobody waits for any more is taken out unseen. Clones share the queue.
#[derive(Debug, Clone)]
pub struct WorkQueue {
    calls: mpsc::Sender<IncomingCall>,
}

/// Takes calls off a [`WorkQueue`]. Clones take from the same queue; each call goes to one.
#[derive(Debug, Clone)]
pub struct Worker {
    calls: Arc<Mutex<mpsc::Receiver<IncomingCall>>>,
}

impl WorkQueue {
    /// A queue in which at most this many calls wait, and its first worker. One more call ends with `RESOURCE_EXHAUSTED`,
    /// and one that finds no worker left with `UNAVAILABLE`.
    ///
    /// # Panics
    ///
    /// If `calls_max` is 0, or over `usize::MAX >> 3`.
    pub fn new(calls_max: usize) -> (Self, Worker) {
        let (sender, receiver) = mpsc::channel(calls_max);
        let calls = Arc::new(Mutex::new(receiver));
        (Self { calls: sender }, Worker { calls })
    }

    /// A queue of the original's size: 250.
    pub fn original() -> (Self, Worker) {
        Self::new(CALLS_MAX)
    }
}

#[async_trait]
impl CallHandler for WorkQueue {
    async fn handle(&self, call: IncomingCall) {
        let (call, code, message) = match self.calls.try_send(call) {
            Ok(()) => return,
            Err(TrySendError::Full(call)) => (
                call,
                Code::ResourceExhausted,
                "too many calls wait for a worker",
            ),
            Err(TrySendError::Closed(call)) => (call, Code::Unavailable, "there is no worker"),
        };
        refuse(&call, Status::new(code, message));
    }
}

impl Worker {
    /// The next call that somebody waits for; `None` when the queue is gone. It is woken by the call: nothing is polled for.
    ///
    /// # Cancel safety
    ///
    /// No call is lost.
    pub async fn next(&self) -> Option<IncomingCall> {
        let mut calls = self.calls.lock().await;
        loop {
            let call = calls.recv().await?;
            if !call.sender.is_ended() {
                return Some(call);
            }
        }
    }

    /// Handles one call after the other by the last part of its path, until the queue is gone. One that none of `commands`
    /// is named for ends with `UNIMPLEMENTED`.
    ///
    /// # Cancel safety
    ///
    /// The call that is being handled is lost, and ends with `UNKNOWN`.
    pub async fn run(&self, commands: &[Method]) {
        while let Some(call) = self.next().await {
            let name = call.path.rsplit('/').next().unwrap_or_default();
            match commands.iter().find(|command| *command.name == *name) {
                Some(command) => command.handler.handle(call).await,
                None => {
                    let message = format!("there is no command {name:?}");
                    refuse(&call, Status::new(Code::Unimplemented, message));
                }
            }
        }
    }
}

fn refuse(call: &IncomingCall, status: Status) {
    // A call that has ended already needs no answer.
    let _ = call.sender.finish(Err(status), Metadata::new());
}
