//! Calls in any order.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use bytes::Bytes;
use headwater_rpc::{CallOptions, Client, Metadata, Receiver, Sender, Shape};
use tokio::{task::yield_now, time::timeout};

use super::{
    fuzz_steps::{Action, Random},
    services::{BIDIRECTIONAL_ECHO, UNARY_ECHO},
};

/// Answers that a call may be owed. More would fill its windows both ways, and nobody could go on.
const OWED_MAX: usize = 16;

/// Makes calls of `pw.rpc.Benchmark` ([`benchmark_services`](super::benchmark_services)), in any order that a seed gives:
/// starts, writes, reads, completes, cancels and drops, as pw_rpc's fuzzer does. It is not guided: it looks at nothing but
/// that each answer is the message it answers, in order, and that each call ends as it was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fuzzer {
    /// The same seed does the same.
    pub seed: u64,
    /// How many things it does. Default: 1000.
    pub actions: usize,
    /// How many bidirectional calls it has open at once. Default: 8.
    pub calls_max: usize,
    /// The longest message, in bytes; short ones keep the windows of the calls from filling. Default: 2000.
    pub message_bytes_max: usize,
    /// An action that takes longer hangs, in time of tokio's clock. Default: 10 s.
    pub action_timeout: Duration,
}

impl Default for Fuzzer {
    fn default() -> Self {
        Self {
            seed: 0,
            actions: 1000,
            calls_max: 8,
            message_bytes_max: 2000,
            action_timeout: Duration::from_secs(10),
        }
    }
}

/// What a fuzzer has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Unary calls.
    pub unary: usize,
    /// Bidirectional calls.
    pub opened: usize,
    /// Of these, how many were completed.
    pub completed: usize,
    /// Of these, how many were cancelled or dropped.
    pub cancelled: usize,
    /// Messages that were sent in bidirectional calls.
    pub written: usize,
    /// Messages that came in bidirectional calls.
    pub read: usize,
}

/// What went wrong, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wrong {
    /// The fuzzer's.
    pub seed: u64,
    /// Which action it was, from 0 on; as many as there are if it was the end of all calls.
    pub action: usize,
    /// What was expected.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, action, what } = self;
        write!(f, "seed {seed}, action {action}: {what}")
    }
}

impl std::error::Error for Wrong {}

impl Fuzzer {
    /// Does all its actions with this client, and completes what is open then. Several may run at once.
    ///
    /// # Errors
    ///
    /// The first thing that was not as it has to be. What was open is cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, its calls are cancelled.
    pub async fn run(&self, client: &Client) -> Result<Tally, Wrong> {
        let mut random = Random::new(self.seed);
        let mut run = Run {
            client,
            calls: BTreeMap::new(),
            tally: Tally::default(),
        };
        for at in 0..self.actions {
            let action = random.action(self);
            let name = format!("{action:?}");
            let done = timeout(self.action_timeout, run.act(action)).await;
            let done = done.unwrap_or_else(|_| Err("it hangs".to_owned()));
            done.map_err(|what| self.wrong(at, format!("{name}: {what}")))?;
        }
        for (_, call) in std::mem::take(&mut run.calls) {
            let done = timeout(self.action_timeout, run.complete(call)).await;
            let done = done.unwrap_or_else(|_| Err("the last end hangs".to_owned()));
            done.map_err(|what| self.wrong(self.actions, what))?;
        }
        Ok(run.tally)
    }

    const fn wrong(&self, action: usize, what: String) -> Wrong {
        Wrong {
            seed: self.seed,
            action,
            what,
        }
    }
}

/// An open bidirectional call.
struct Open {
    sender: Sender,
    receiver: Receiver,
    /// What was sent and has not come back.
    owed: VecDeque<Bytes>,
    batch: Vec<Bytes>,
}

struct Run<'a> {
    client: &'a Client,
    calls: BTreeMap<usize, Open>,
    tally: Tally,
}

impl Run<'_> {
    async fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Unary { message } => self.unary(message).await?,
            Action::Open { place } => {
                let call = self.open().await?;
                // The one that was there is dropped, which cancels it.
                let dropped = self.calls.insert(place, call);
                self.tally.cancelled += usize::from(dropped.is_some());
            }
            Action::Write { place, message } => {
                if let Some(call) = self.calls.get_mut(&place) {
                    write(call, message, &mut self.tally).await?;
                }
            }
            Action::Read { place } => {
                if let Some(call) = self.calls.get_mut(&place) {
                    read(call, &mut self.tally).await?;
                }
            }
            Action::Complete { place } => {
                if let Some(call) = self.calls.remove(&place) {
                    self.complete(call).await?;
                }
            }
            Action::Cancel { place } => {
                if let Some(call) = self.calls.remove(&place) {
                    call.sender.cancel();
                    self.tally.cancelled += 1;
                }
            }
            Action::Wait => yield_now().await,
        }
        Ok(())
    }

    async fn unary(&mut self, message: Bytes) -> Result<(), String> {
        let options = CallOptions::default();
        let call = self
            .client
            .unary(UNARY_ECHO, Metadata::new(), message.clone(), options);
        let answer = call.await.map_err(|status| status.to_string())?;
        self.tally.unary += 1;
        same(&answer, &message)
    }

    async fn open(&mut self) -> Result<Open, String> {
        let options = CallOptions {
            shape: Shape::Bidirectional,
            ..CallOptions::default()
        };
        let call = self
            .client
            .call(BIDIRECTIONAL_ECHO, Metadata::new(), options);
        let (sender, receiver) = call.await.map_err(|error| error.to_string())?;
        self.tally.opened += 1;
        Ok(Open {
            sender,
            receiver,
            owed: VecDeque::new(),
            batch: Vec::new(),
        })
    }

    /// Ends what the call sends, and takes all that it is owed, and its status.
    async fn complete(&mut self, mut call: Open) -> Result<(), String> {
        let ended = call.sender.finish(Ok(()), Metadata::new());
        ended.map_err(|error| error.to_string())?;
        while !call.owed.is_empty() {
            read(&mut call, &mut self.tally).await?;
        }
        let rest = call.receiver.next_batch(&mut call.batch).await;
        match rest.map_err(|error| error.to_string())? {
            0 => {}
            more => return Err(format!("{more} answers to nothing")),
        }
        self.tally.completed += 1;
        Ok(())
    }
}

async fn write(call: &mut Open, message: Bytes, tally: &mut Tally) -> Result<(), String> {
    while call.owed.len() >= OWED_MAX {
        read(call, tally).await?;
    }
    call.owed.push_back(message.clone());
    let sent = call.sender.send(message).await;
    sent.map_err(|error| error.to_string())?;
    tally.written += 1;
    Ok(())
}

/// Takes all answers that are there, at least one if one is owed.
async fn read(call: &mut Open, tally: &mut Tally) -> Result<(), String> {
    if call.owed.is_empty() {
        return Ok(());
    }
    let count = call.receiver.next_batch(&mut call.batch).await;
    if count.map_err(|error| error.to_string())? == 0 {
        return Err("it has ended, and owes an answer".to_owned());
    }
    for answer in call.batch.drain(..) {
        let expected = call.owed.pop_front().ok_or("an answer to nothing")?;
        same(&answer, &expected)?;
        tally.read += 1;
    }
    Ok(())
}

fn same(answer: &Bytes, expected: &Bytes) -> Result<(), String> {
    if answer == expected {
        return Ok(());
    }
    let (answer, expected) = (answer.len(), expected.len());
    Err(format!(
        "an answer of {answer} bytes is not the message of {expected}"
    ))
}
