//! Where an event comes from.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_core::link::upstream::{AnswerError, Delivery};
use headwater_proto::{
    Status,
    v1::{self, EventId},
};
use tokio::sync::Notify;

use crate::{Accept, Hub, Reply, answer::Answer, handler::Kind, mailbox::Action};

/// Where an event comes from, and the way back. Cloning shares it, so it can be taken along into a task.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Hub,
    delivery: Delivery,
    kind: Kind,
    /// Without what happened, which the handler has.
    event: Box<v1::Event>,
    answered: AtomicBool,
    cancelled: AtomicBool,
    refused: OnceLock<Status>,
    /// Wakes those who wait for the cancellation.
    gone: Notify,
}

impl Context {
    /// Takes the context out of an event, and what is left is the event itself; `None` if that is not there.
    pub(crate) fn take(
        hub: Hub,
        delivery: Delivery,
        mut event: Box<v1::Event>,
    ) -> Option<(Self, v1::event::Event)> {
        event.id.as_ref()?;
        let what = event.event.take()?;
        let inner = Inner {
            hub,
            delivery,
            kind: Kind::of(&what),
            event,
            answered: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            refused: OnceLock::new(),
            gone: Notify::new(),
        };
        let inner = Arc::new(inner);
        Some((Self { inner }, what))
    }

    /// The hub, for commands. What a handler commands before it returns takes effect before its answer, and what it
    /// commands after [`Context::reply`] takes effect after it.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// The name of the connection.
    pub fn connection_id(&self) -> &str {
        &self.event_id().connection_id
    }

    /// The same on every redelivery: the key for deduplication.
    pub fn event_id(&self) -> &EventId {
        let id = self.inner.event.id.as_ref();
        id.expect("`take` saw that it is there")
    }

    /// The user of the connection; `None` is anonymous.
    pub fn user_id(&self) -> Option<&str> {
        self.connection()?.user_id.as_deref()
    }

    /// The subprotocol of the connection; empty for a client without one.
    pub fn subprotocol(&self) -> &str {
        self.connection().map_or("", |it| &it.subprotocol)
    }

    /// What was last stored for this connection by [`Accept::state`] or [`Reply::state`]; empty if nothing was.
    pub fn state(&self) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        self.connection().map_or(&NOTHING, |it| &it.state)
    }

    /// Whether the event was sent before, here or to another instance of the application.
    pub fn is_redelivered(&self) -> bool {
        self.inner.event.redelivered
    }

    /// How long the client was to wait, counted from when the service sent the event; `None` for a notice.
    pub fn time_left(&self) -> Option<Duration> {
        let milliseconds = self.inner.event.time_left_ms;
        (milliseconds != 0).then(|| Duration::from_millis(milliseconds.into()))
    }

    /// The trace that the event is part of.
    pub fn trace(&self) -> Option<&v1::TraceContext> {
        self.inner.event.trace.as_ref()
    }

    /// Answers a message now, and goes on: what is commanded afterwards takes effect after the answer. What the handler
    /// returns later has no effect.
    ///
    /// # Errors
    ///
    /// [`AnswerError::Unfit`] if the event is no message, [`AnswerError::Answered`] if it was answered.
    pub fn reply(&self, reply: impl Into<Reply>) -> Result<(), AnswerError> {
        self.answer_early(Kind::Message, Answer::Reply(reply.into()))
    }

    /// Lets a client in now, and goes on, as [`Context::reply`] does for a message.
    ///
    /// # Errors
    ///
    /// [`AnswerError::Unfit`] if the event is no connect, [`AnswerError::Answered`] if it was answered.
    pub fn accept(&self, accept: Accept) -> Result<(), AnswerError> {
        self.answer_early(Kind::Connect, Answer::Accept(accept))
    }

    /// Whether the client has gone. An answer is still taken, and has no effect.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Acquire)
    }

    /// Waits until the client has gone; for ever if that does not happen.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost.
    pub async fn cancelled(&self) {
        let gone = self.inner.gone.notified();
        tokio::pin!(gone);
        // Listen first, or a cancellation between the two is missed.
        gone.as_mut().enable();
        if !self.is_cancelled() {
            gone.await;
        }
    }

    /// Why the service refused an answer that was given early by [`Context::reply`] or [`Context::accept`], such as
    /// `DEADLINE_EXCEEDED` for one that came too late. `None` as long as nothing is heard.
    pub fn refusal(&self) -> Option<&Status> {
        self.inner.refused.get()
    }

    fn connection(&self) -> Option<&v1::ConnectionContext> {
        self.inner.event.context.as_ref()
    }

    pub(crate) fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Release);
        self.inner.gone.notify_waiters();
    }

    pub(crate) fn refuse(&self, status: Status) {
        // The first one says it all.
        let _ = self.inner.refused.set(status);
    }

    /// The handler has ended.
    pub(crate) fn finish(&self, answer: Option<Answer>) {
        let answered = self.inner.answered.swap(true, Ordering::AcqRel);
        let answer = answer.filter(|_| !answered);
        let delivery = self.inner.delivery;
        self.inner
            .hub
            .mailbox()
            .put(Action::Finish { delivery, answer });
    }

    fn answer_early(&self, kind: Kind, answer: Answer) -> Result<(), AnswerError> {
        if self.inner.kind != kind {
            return Err(AnswerError::Unfit);
        }
        if self.inner.answered.swap(true, Ordering::AcqRel) {
            return Err(AnswerError::Answered);
        }
        let delivery = self.inner.delivery;
        self.inner
            .hub
            .mailbox()
            .put(Action::Answer { delivery, answer });
        Ok(())
    }
}

impl fmt::Debug for Context {
    /// Leaves out what the application stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("event_id", self.event_id())
            .field("user_id", &self.user_id())
            .field("redelivered", &self.is_redelivered())
            .finish_non_exhaustive()
    }
}
