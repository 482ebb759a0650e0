//! One call of `Produce`: what was sent on it, and what comes of that.

use std::{collections::VecDeque, mem, time::Duration};

use bytes::Bytes;
use headwater_proto::{
    Code, Metadata, Status,
    push_channel::{ProduceReply, produce_reply},
};
use headwater_rpc::{CallError, EndedBy, Receiver, SendError, Sender};
use prost::{DecodeError, Message as _};
use tokio::time::Instant;

use super::{
    SubmitError,
    producer::late,
    producing::{Submitting, UNDER_WAY_MAX},
};
use crate::wire::is_final;

/// An open call. Dropping it cancels it.
pub(super) struct ProduceCall {
    sender: Sender,
    receiver: Receiver,
    batch: Vec<Bytes>,
    /// What was sent and not answered, in order.
    sent: VecDeque<Submitting>,
    /// So many of them, the first ones, were told that their time is over.
    overdue: usize,
    /// When it was last known to work: an answer came, or there was none to wait for.
    well_at: Instant,
    /// Without an answer for so long it is given up.
    stall_timeout: Duration,
    /// When its token is to be replaced.
    renew_at: Option<Instant>,
    is_blocked: bool,
    has_sent: bool,
    was_answered: bool,
}

/// How a call ended; all that was sent on it is answered, but for some.
pub(super) struct End {
    pub(super) status: Status,
    /// Whether the service answered a submission on it.
    pub(super) was_answered: bool,
    /// What the service has not taken, to be sent again.
    pub(super) again: VecDeque<Submitting>,
}

impl ProduceCall {
    pub(super) fn new(
        (sender, receiver): (Sender, Receiver),
        renew_at: Option<Instant>,
        stall_timeout: Duration,
    ) -> Self {
        Self {
            sender,
            receiver,
            batch: Vec::new(),
            sent: VecDeque::new(),
            overdue: 0,
            well_at: Instant::now(),
            stall_timeout,
            renew_at,
            is_blocked: false,
            has_sent: false,
            was_answered: false,
        }
    }

    /// Whether the next submission is for another call, with a fresh token. Each call is good for some.
    pub(super) fn is_old(&self) -> bool {
        self.has_sent && self.renew_at.is_some_and(|at| at <= Instant::now())
    }

    /// Whether all that was sent is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty()
    }

    /// How many answers somebody waits for.
    pub(super) fn awaited(&self) -> usize {
        self.sent.len() - self.overdue
    }

    /// Ends it in order.
    pub(super) fn finish(&self) {
        // It may have ended already, which is as good.
        let _ = self.sender.finish(Ok(()), Metadata::new());
    }

    /// Sends as many as there is room for.
    pub(super) fn send(&mut self, unsent: &mut VecDeque<Submitting>) {
        self.is_blocked = false;
        unsent.retain(Submitting::is_awaited);
        while !unsent.is_empty() && self.sent.len() < UNDER_WAY_MAX {
            let room = UNDER_WAY_MAX - self.sent.len();
            let requests = unsent.iter().take(room).map(|it| it.request.clone());
            match self.sender.try_send_all(requests) {
                Ok(count) => {
                    if self.sent.is_empty() {
                        self.well_at = Instant::now();
                    }
                    self.has_sent = true;
                    self.sent.extend(unsent.drain(..count));
                }
                Err(SendError::Blocked) => {
                    self.is_blocked = true;
                    return;
                }
                // How it ended is said where answers are awaited.
                Err(SendError::Ended) => return,
                // Such as a message that is too large.
                Err(error) => {
                    let status = Status::new(Code::ResourceExhausted, error.to_string());
                    if let Some(mut refused) = unsent.pop_front() {
                        refused.tell(Err(SubmitError::NotSent(status)));
                    }
                }
            }
        }
    }

    /// When to look at the time of what was sent, and of these, which were not.
    pub(super) fn next_deadline(&self, unsent: &VecDeque<Submitting>) -> Option<Instant> {
        let stalled = (!self.is_idle()).then(|| self.well_at + self.stall_timeout);
        let firsts = [self.sent.get(self.overdue), unsent.front()];
        let overdue = firsts.into_iter().flatten().map(|first| first.until);
        overdue.chain(stalled).min()
    }

    /// Tells those whose time is over. The call ends if there was no answer for too long: answers come in order, so that
    /// nobody will have one.
    pub(super) fn expire(&mut self, now: Instant) -> Option<End> {
        while let Some(next) = self.sent.get_mut(self.overdue)
            && next.until <= now
        {
            next.tell(Err(SubmitError::Unknown(late())));
            self.overdue += 1;
        }
        let is_stalled = !self.is_idle() && self.well_at + self.stall_timeout <= now;
        is_stalled.then(|| {
            let message = "the service does not answer submissions";
            self.end(Status::new(Code::DeadlineExceeded, message), EndedBy::Local)
        })
    }

    /// Waits for answers, and for room if some is needed, and hands them on. The end, if it has come.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next_answers(&mut self) -> Option<End> {
        let received = tokio::select! {
            biased;
            received = self.receiver.next_batch(&mut self.batch) => received,
            () = self.sender.writable(), if self.is_blocked => return None,
        };
        match received {
            Ok(0) => {
                let status = Status::new(Code::Internal, "the service ended the submissions");
                Some(self.end(status, EndedBy::Violation))
            }
            Ok(_) => {
                let taken = self.take_answers();
                taken.err().map(|status| self.end(status, EndedBy::Local))
            }
            Err(CallError { status, by }) => Some(self.end(status, by)),
        }
    }

    fn take_answers(&mut self) -> Result<(), Status> {
        let internal = |message: &str| Status::new(Code::Internal, message);
        for reply in self.batch.drain(..) {
            let unreadable = |error: DecodeError| internal(&error.to_string());
            let reply = ProduceReply::decode(reply).map_err(unreadable)?;
            let unasked = || internal("the service answered what it was not asked");
            let mut answered = self.sent.pop_front().ok_or_else(unasked)?;
            self.overdue = self.overdue.saturating_sub(1);
            answered.tell(result(reply));
        }
        self.well_at = Instant::now();
        self.was_answered = true;
        Ok(())
    }

    /// Tells all that was sent what the end means for it, but for what is to be sent again.
    fn end(&mut self, status: Status, by: EndedBy) -> End {
        self.sender.cancel();
        let mut end = End {
            status,
            was_answered: self.was_answered,
            again: mem::take(&mut self.sent),
        };
        self.overdue = 0;
        let status = &end.status;
        if by == EndedBy::Status && status.code == Code::Unavailable {
            end.again.retain(Submitting::is_awaited);
            return end;
        }
        // Said before anything is taken, or after all that was is answered.
        let is_refused = by == EndedBy::Status && is_final(status);
        for mut submitting in end.again.drain(..) {
            submitting.tell(Err(if is_refused {
                SubmitError::Refused(status.clone())
            } else {
                SubmitError::Unknown(status.clone())
            }));
        }
        end
    }
}

/// What a reply means for its message.
fn result(reply: ProduceReply) -> Result<u64, SubmitError> {
    match reply.result {
        Some(produce_reply::Result::Offset(offset)) => Ok(offset),
        Some(produce_reply::Result::Refused(refusal)) => {
            let code = Code::from_number(refusal.code.into()).unwrap_or(Code::Unknown);
            Err(SubmitError::Refused(Status::new(code, refusal.message)))
        }
        None => {
            let status = Status::new(Code::Internal, "the service did not say what became of it");
            Err(SubmitError::Unknown(status))
        }
    }
}
