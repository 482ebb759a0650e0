//! The span of a call on the server.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::{
    config::TracingConfig,
    context::TraceContext,
    span::{CallSpan, Kind},
};
use crate::{
    interceptor::{ServerInterceptor, ServerNext},
    server::IncomingCall,
};

type OnContext = dyn Fn(&Span, &TraceContext) + Send + Sync;

/// Opens a span for every call that a server takes, and runs the handler in it.
///
/// Its [`TraceContext`] is a child of the one that the client sent, else a new trace, and is
/// [`TraceContext::current`] in the handler.
pub struct TracingServer {
    config: Arc<TracingConfig>,
    on_context: Option<Box<OnContext>>,
}

impl TracingServer {
    /// An interceptor that records this.
    pub fn new(config: TracingConfig) -> Self {
        Self {
            config: Arc::new(config.without_secrets()),
            on_context: None,
        }
    }

    /// Has `on_context` hear of the context that a client sent, with the span that is to be its child. For a layer that
    /// gives spans parents of its own.
    #[must_use]
    pub fn on_context(
        self,
        on_context: impl Fn(&Span, &TraceContext) + Send + Sync + 'static,
    ) -> Self {
        let on_context: Option<Box<OnContext>> = Some(Box::new(on_context));
        Self { on_context, ..self }
    }

    fn begin(&self, span: Span, call: &IncomingCall, parent: Option<&TraceContext>) -> Begun {
        if let (Some(on_context), Some(parent)) = (&self.on_context, parent) {
            on_context(&span, parent);
        }
        let (address, port) = address(call.peer.remote());
        if !address.is_empty() {
            span.record("network.peer.address", address);
        }
        if let Some(port) = port {
            span.record("network.peer.port", port);
        }
        let context = parent.map_or_else(TraceContext::root, TraceContext::child);
        let span = CallSpan::new(Kind::Server, span, &self.config, Instant::now());
        span.record_context(&context, parent);
        span.record_request(&call.metadata);
        Begun { span, context }
    }
}

struct Begun {
    span: Arc<CallSpan>,
    context: TraceContext,
}

#[async_trait]
impl ServerInterceptor for TracingServer {
    async fn intercept(&self, mut call: IncomingCall, next: ServerNext) {
        let span = Kind::Server.span(&call.path);
        let parent = TraceContext::of(&call.metadata);
        if span.is_disabled() {
            let run = next.run(call);
            return match parent {
                Some(parent) => parent.scope(run).await,
                None => run.await,
            };
        }
        let Begun { span, context } = self.begin(span, &call, parent.as_ref());
        call.sender = call.sender.through(span.responses());
        if let Some(requests) = span.requests() {
            call.receiver = call.receiver.through(requests);
        }
        let run = context.scope(next.run(call));
        run.instrument(span.span.clone()).await;
    }
}

/// The address and the port of a peer such as `ipv4:127.0.0.1:50051`, `ipv6:[::1]:50051` or `unix:/run/app.sock`.
fn address(peer: &str) -> (&str, Option<u16>) {
    let Some(("ipv4" | "ipv6", rest)) = peer.split_once(':') else {
        return (peer.strip_prefix("unix:").unwrap_or(peer), None);
    };
    let (address, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    (address.trim_matches(['[', ']']), port.parse().ok())
}

impl fmt::Debug for TracingServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingServer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
