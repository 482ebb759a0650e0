//! The task of a producer and its clones: it holds their call and makes it again.

use std::{collections::VecDeque, pin::pin, sync::Arc};

use bytes::Bytes;
use headwater_core::Waits;
use headwater_proto::Status;
use headwater_rpc::{CallError, CallOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{SubmitError, client::Connection, produce_call::ProduceCall, producer::late};
use crate::{token::renewal, wire::is_final};

const PRODUCE: &str = "/MessageSync/Produce";

/// Submissions that are taken in at one time; as many wait in the queue before it.
pub(super) const UNDER_WAY_MAX: usize = 1024;

/// A message on its way.
pub(super) struct Submitting {
    pub(super) request: Bytes,
    /// When its time is over.
    pub(super) until: Instant,
    /// `None` once it was answered.
    answer: Option<oneshot::Sender<Result<u64, SubmitError>>>,
}

impl Submitting {
    pub(super) const fn new(
        request: Bytes,
        until: Instant,
        answer: oneshot::Sender<Result<u64, SubmitError>>,
    ) -> Self {
        Self {
            request,
            until,
            answer: Some(answer),
        }
    }

    /// Says what became of it; the first word counts.
    pub(super) fn tell(&mut self, result: Result<u64, SubmitError>) {
        if let Some(answer) = self.answer.take() {
            // Nobody may wait for it any more.
            let _ = answer.send(result);
        }
    }

    /// Whether anybody waits for its answer.
    pub(super) fn is_awaited(&self) -> bool {
        let answer = self.answer.as_ref();
        answer.is_some_and(|answer| !answer.is_closed())
    }
}

/// What the task owns.
pub(super) struct Producing {
    connection: Arc<Connection>,
    channel: Arc<str>,
    incoming: mpsc::Receiver<Submitting>,
    /// What was just taken in.
    batch: Vec<Submitting>,
    /// What was taken in and not sent, in order; so the first one's time is over first.
    unsent: VecDeque<Submitting>,
    waits: Waits,
}

impl Producing {
    pub(super) fn new(
        connection: Arc<Connection>,
        channel: Arc<str>,
        incoming: mpsc::Receiver<Submitting>,
    ) -> Self {
        Self {
            waits: connection.waits(),
            connection,
            channel,
            incoming,
            batch: Vec::new(),
            unsent: VecDeque::new(),
        }
    }

    /// Sees to submissions until nobody can make one.
    pub(super) async fn run(mut self) {
        loop {
            if self.unsent.is_empty() {
                self.waits.reset();
                let coming = self.incoming.recv_many(&mut self.batch, UNDER_WAY_MAX);
                let count = coming.await;
                if !self.take_in(count) {
                    return;
                }
            }
            if let Err(status) = self.attempt().await {
                self.back_off(&status).await;
            }
        }
    }

    /// One call, from its opening to its end. `Ok` if the next one may follow at once, when there is something to send.
    async fn attempt(&mut self) -> Result<(), Status> {
        let config = &self.connection.config;
        let has_token = config.connection_string.is_some();
        let renew_at = has_token.then(|| Instant::now() + renewal(config.token_lifetime));
        let metadata = match self.connection.metadata(&self.channel) {
            Ok(metadata) => metadata,
            Err(status) => {
                self.give_up(&status);
                return Ok(());
            }
        };
        let options = CallOptions {
            wait_for_ready: Some(true),
            ..CallOptions::default()
        };
        let client = self.connection.client.clone();
        // Until the transport has the call, nothing of it is sent.
        let opening = client.call(PRODUCE, metadata, options);
        match self.meanwhile(opening).await {
            Some(Ok(halves)) => {
                let stall_timeout = self.connection.config.submit_timeout;
                self.serve(ProduceCall::new(halves, renew_at, stall_timeout))
                    .await
            }
            Some(Err(CallError { status, .. })) if is_final(&status) => {
                self.give_up(&status);
                Ok(())
            }
            Some(Err(CallError { status, .. })) => Err(status),
            None => Ok(()),
        }
    }

    /// Waits before the next attempt. Those whose time is over by then are told so now.
    async fn back_off(&mut self, status: &Status) {
        let wait = self.waits.next_wait();
        let retry_at = Instant::now() + wait;
        self.expire(retry_at, status);
        if !self.unsent.is_empty() {
            tracing::warn!(channel = &*self.channel, %status, ?wait, "submissions wait: calling again");
        }
        self.meanwhile(sleep_until(retry_at)).await;
    }

    /// Waits for this, while submissions come and their time runs. `None` if none is left that it would be for.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let until = self.unsent.front()?.until;
            let room = self.room(0);
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = sleep_until(until) => self.expire(Instant::now(), &late()),
                count = self.incoming.recv_many(&mut self.batch, room), if room > 0 => {
                    self.take_in(count);
                }
            }
        }
    }

    /// Sends, and takes in answers, until the call ends or nobody needs it.
    async fn serve(&mut self, mut call: ProduceCall) -> Result<(), Status> {
        let mut alarm = pin!(sleep_until(Instant::now()));
        let mut is_armed = false;
        loop {
            if call.is_old() {
                // What was sent is answered first, so that the order stays.
                if call.is_idle() && !self.unsent.is_empty() {
                    call.finish();
                    return Ok(());
                }
            } else {
                call.send(&mut self.unsent);
            }
            // Later ones come later: an alarm that is set is early enough.
            if !is_armed && let Some(at) = call.next_deadline(&self.unsent) {
                alarm.as_mut().reset(at);
                is_armed = true;
            }
            let room = self.room(call.awaited());
            let end = tokio::select! {
                biased;
                end = call.next_answers() => end,
                count = self.incoming.recv_many(&mut self.batch, room), if room > 0 => {
                    if !self.take_in(count) {
                        return Ok(());
                    }
                    None
                }
                () = &mut alarm, if is_armed => {
                    is_armed = false;
                    let now = Instant::now();
                    self.expire(now, &late());
                    call.expire(now)
                }
            };
            if let Some(end) = end {
                if end.was_answered {
                    self.waits.reset();
                }
                self.take_back(end.again);
                return Err(end.status);
            }
        }
    }

    /// How many may be taken in beside those that were sent.
    fn room(&self, sent: usize) -> usize {
        UNDER_WAY_MAX.saturating_sub(self.unsent.len() + sent)
    }

    /// Has what came wait to be sent. Whether there is anybody who waits for an answer, and so may make more.
    fn take_in(&mut self, count: usize) -> bool {
        self.unsent.extend(self.batch.drain(..));
        if count == 0 {
            self.unsent.clear();
        }
        // It may have waited long.
        self.expire(Instant::now(), &late());
        count > 0
    }

    /// Has these be sent once more, before all others.
    fn take_back(&mut self, mut again: VecDeque<Submitting>) {
        again.append(&mut self.unsent);
        self.unsent = again;
    }

    /// Tells those whose time is over by `at`.
    fn expire(&mut self, at: Instant, status: &Status) {
        let is_over = |submitting: &mut Submitting| submitting.until <= at;
        while let Some(mut submitting) = self.unsent.pop_front_if(is_over) {
            submitting.tell(Err(SubmitError::NotSent(status.clone())));
        }
    }

    /// Tells all of them: nothing that is tried again makes it better.
    fn give_up(&mut self, status: &Status) {
        for mut submitting in self.unsent.drain(..) {
            submitting.tell(Err(SubmitError::NotSent(status.clone())));
        }
    }
}
