//! The application's code.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use headwater_proto::{Code, Status, v1::event::Event};

use crate::{Accept, Connect, Context, Failure, Message, Reject, Reply, answer::Answer};

/// What an application does when something happens in its hub.
///
/// For one connection the methods are called one after the other, in the order `connect`, `connected`, each message,
/// `disconnected`; for different connections they run beside each other. Delivery is at least once:
/// [`Context::event_id`] is the same each time.
///
/// All handlers of a link run in one task. One that waits (`.await`) holds up its own connection only; one that *blocks*
/// or computes for long holds up the link: hand such work to `tokio::task::spawn_blocking`.
///
/// A handler is never dropped half-way, save when its [`Upstream`](crate::Upstream) is; that its client has gone is said by
/// [`Context::cancelled`]. A handler that panics fails its own event with `INTERNAL` and nothing else.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// A client wants to connect and waits for the answer. Default: lets everybody in that the service lets in.
    ///
    /// # Errors
    ///
    /// [`Reject`] keeps the client out.
    async fn connect(&self, context: &Context, connect: Connect) -> Result<Accept, Reject> {
        let _ = (context, connect);
        Ok(Accept::default())
    }

    /// A client is connected. Nothing waits for this. Default: nothing.
    async fn connected(&self, context: &Context) {
        let _ = context;
    }

    /// A client said something. Default: `UNIMPLEMENTED`.
    ///
    /// What is returned has no effect after [`Context::reply`].
    ///
    /// # Errors
    ///
    /// [`Failure`] goes to the client as its ack.
    async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
        let _ = (context, message);
        Err(Failure::new(
            Code::Unimplemented,
            "the application has no handler for messages",
        ))
    }

    /// A client has gone; comes once for each that was connected. Nothing waits for this. Default: nothing.
    async fn disconnected(&self, context: &Context, reason: &str) {
        let _ = (context, reason);
    }
}

/// Runs the handler for one event, and answers.
pub(crate) async fn run(handler: Arc<dyn Handler>, context: Context, event: Event) {
    let kind = Kind::of(&event);
    let handling = AssertUnwindSafe(handle(&*handler, &context, event));
    let answer = handling.catch_unwind().await.unwrap_or_else(|_panic| {
        tracing::error!(connection = context.connection_id(), "a handler panicked");
        kind.failed()
    });
    context.finish(answer);
}

async fn handle(handler: &dyn Handler, context: &Context, event: Event) -> Option<Answer> {
    match event {
        Event::Connect(connect) => Some(match handler.connect(context, connect.into()).await {
            Ok(accept) => Answer::Accept(accept),
            Err(reject) => Answer::Reject(reject),
        }),
        Event::Message(message) => Some(match handler.message(context, message.into()).await {
            Ok(reply) => Answer::Reply(reply),
            Err(failure) => Answer::Fail(failure),
        }),
        Event::Connected(_) => {
            handler.connected(context).await;
            None
        }
        Event::Disconnected(disconnected) => {
            handler.disconnected(context, &disconnected.reason).await;
            None
        }
    }
}

/// What an event wants back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Message,
    Notice,
}

impl Kind {
    pub(crate) const fn of(event: &Event) -> Self {
        match event {
            Event::Connect(_) => Self::Connect,
            Event::Message(_) => Self::Message,
            Event::Connected(_) | Event::Disconnected(_) => Self::Notice,
        }
    }

    /// The answer of a handler that gave none.
    fn failed(self) -> Option<Answer> {
        let status = Status::new(Code::Internal, "the handler failed");
        match self {
            Self::Connect => Some(Answer::Reject(Reject(status))),
            Self::Message => Some(Answer::Fail(Failure(status))),
            Self::Notice => None,
        }
    }
}
