//! The span of a call on the client.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater_proto::Code;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::{
    config::TracingConfig,
    context::TraceContext,
    span::{CallSpan, Kind},
};
use crate::{
    interceptor::{ClientInterceptor, ClientNext, OutgoingCall},
    receiver::{CallError, Receiver},
    sender::Sender,
};

/// How exact timers are.
const TICK: Duration = Duration::from_millis(1);

type ContextOf = dyn Fn(&Span) -> Option<TraceContext> + Send + Sync;

/// Opens a span for every call that a client makes.
///
/// The span is a child of the current one, and ends when the receiver sees or drops the call's end. It covers all
/// attempts of a retry policy. Its [`TraceContext`] is a child of the one that the call's metadata name, else of
/// [`TraceContext::current`], else a new trace.
pub struct TracingClient {
    config: Arc<TracingConfig>,
    context_of: Option<Box<ContextOf>>,
}

impl TracingClient {
    /// An interceptor that records this.
    pub fn new(config: TracingConfig) -> Self {
        Self {
            config: Arc::new(config.without_secrets()),
            context_of: None,
        }
    }

    /// Has `context_of` say which context a call's span has; `None` leaves it as without. For a layer that gives spans ids
    /// of its own.
    #[must_use]
    pub fn with_context(
        self,
        context_of: impl Fn(&Span) -> Option<TraceContext> + Send + Sync + 'static,
    ) -> Self {
        let context_of: Option<Box<ContextOf>> = Some(Box::new(context_of));
        Self { context_of, ..self }
    }

    fn begin(&self, span: Span, call: &mut OutgoingCall, begun: Instant) -> Arc<CallSpan> {
        let parent = parent(call);
        let given = self.context_of.as_ref().and_then(|of| of(&span));
        let of_parent = || parent.as_ref().map(TraceContext::child);
        let context = given.or_else(of_parent).unwrap_or_else(TraceContext::root);
        if let Some(address) = &self.config.server_address {
            span.record("server.address", address.as_str());
        }
        let span = CallSpan::new(Kind::Client, span, &self.config, begun);
        span.record_context(&context, parent.as_ref());
        span.record_request(&call.metadata);
        context.write_to(&mut call.metadata);
        span
    }
}

#[async_trait]
impl ClientInterceptor for TracingClient {
    async fn intercept(
        &self,
        mut call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        let span = Kind::Client.span(&call.path);
        if span.is_disabled() {
            if let Some(parent) = parent(&call) {
                parent.write_to(&mut call.metadata);
            }
            return next.run(call).await;
        }
        let span = self.begin(span, &mut call, next.begun);
        let opening = Opening {
            timeout: call.options.timeout,
            span: Some(Arc::clone(&span)),
        };
        let opened = next.run(call).instrument(span.span.clone()).await;
        opening.done();
        let (mut sender, receiver) = match opened {
            Ok(halves) => halves,
            Err(error) => {
                span.end(Err(error.status.code));
                return Err(error);
            }
        };
        if let Some(requests) = span.requests() {
            sender = sender.through(requests);
        }
        Ok((sender, receiver.through(span.responses())))
    }
}

fn parent(call: &OutgoingCall) -> Option<TraceContext> {
    TraceContext::of(&call.metadata).or_else(TraceContext::current)
}

/// A call that is not open yet. Dropped, it was given up, or its deadline came.
struct Opening {
    timeout: Option<Duration>,
    span: Option<Arc<CallSpan>>,
}

impl Opening {
    fn done(mut self) {
        self.span = None;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(span) = &self.span else {
            return;
        };
        let is_late = self
            .timeout
            .is_some_and(|timeout| span.elapsed() + TICK >= timeout);
        span.end(Err(match is_late {
            true => Code::DeadlineExceeded,
            false => Code::Cancelled,
        }));
    }
}

impl fmt::Debug for TracingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingClient")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
