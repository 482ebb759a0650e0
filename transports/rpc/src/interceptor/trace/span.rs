//! The span of one call, and what is recorded in it as the call goes on.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_core::call::Trailers;
use headwater_proto::{Code, Metadata, Status};
use tokio::time::Instant;
use tracing::{
    Level, Span,
    field::{Empty, debug, display},
};

use super::{
    config::{TracingConfig, chosen},
    context::TraceContext,
};
use crate::interceptor::Transform;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Client,
    Server,
}

impl Kind {
    /// A span with the fields that every call has.
    pub(super) fn span(self, path: &str) -> Span {
        let name = path.strip_prefix('/').unwrap_or(path);
        let (service, method) = name.rsplit_once('/').unwrap_or(("", name));
        tracing::info_span!(
            "rpc",
            otel.kind = match self {
                Self::Client => "client",
                Self::Server => "server",
            },
            otel.name = name,
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            rpc.grpc.status_code = Empty,
            rpc.grpc.request.metadata = Empty,
            rpc.grpc.response.metadata = Empty,
            rpc.duration_ms = Empty,
            server.address = Empty,
            network.peer.address = Empty,
            network.peer.port = Empty,
            trace_id = Empty,
            span_id = Empty,
            parent_span_id = Empty,
        )
    }

    /// Whether a call that ends so is recorded as an error: what a server tells of the client's faults is none of it
    /// (OpenTelemetry, "Semantic conventions for gRPC").
    fn is_error(self, code: Code) -> bool {
        self == Self::Client
            || matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            )
    }
}

/// The span of one call.
pub(super) struct CallSpan {
    pub(super) span: Span,
    kind: Kind,
    config: Arc<TracingConfig>,
    begun: Instant,
    ended: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    headers: OnceLock<Vec<(String, String)>>,
}

impl CallSpan {
    pub(super) fn new(
        kind: Kind,
        span: Span,
        config: &Arc<TracingConfig>,
        begun: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            span,
            kind,
            config: Arc::clone(config),
            begun,
            ended: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            headers: OnceLock::new(),
        })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn record_context(&self, context: &TraceContext, parent: Option<&TraceContext>) {
        let Self { span, .. } = self;
        let (trace, own) = (context.trace_id(), context.span_id());
        span.record("trace_id", display(format_args!("{trace:032x}")));
        span.record("span_id", display(format_args!("{own:016x}")));
        if let Some(parent) = parent {
            let parent = parent.span_id();
            span.record("parent_span_id", display(format_args!("{parent:016x}")));
        }
    }

    pub(super) fn record_request(&self, metadata: &Metadata) {
        let entries = chosen(&self.config.request_metadata, metadata);
        self.record_map("rpc.grpc.request.metadata", &entries);
    }

    fn record_map(&self, field: &str, entries: &[(String, String)]) {
        if !entries.is_empty() {
            self.span.record(field, debug(Map(entries)));
        }
    }

    /// The call is over. Only the first to say so counts.
    pub(super) fn end(&self, outcome: Result<(), Code>) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let Self { span, kind, .. } = self;
        let number = outcome.map_or_else(Code::number, |()| 0);
        span.record("rpc.grpc.status_code", number);
        span.record("rpc.duration_ms", self.elapsed().as_secs_f64() * 1000.0);
        if outcome.is_err_and(|code| kind.is_error(code)) {
            span.record("otel.status_code", "ERROR");
        }
    }

    /// What the requests pass; nothing, if nothing of them is recorded.
    pub(super) fn requests(self: &Arc<Self>) -> Option<Arc<dyn Transform>> {
        let half = Requests(Arc::clone(self));
        self.config.messages.then(|| Arc::new(half) as _)
    }

    /// What the responses pass.
    pub(super) fn responses(self: &Arc<Self>) -> Arc<dyn Transform> {
        Arc::new(Responses(Arc::clone(self)))
    }

    fn message(&self, is_sent: bool, bytes: usize) {
        if !self.config.messages {
            return;
        }
        let (count, direction) = match is_sent {
            true => (&self.sent, "SENT"),
            false => (&self.received, "RECEIVED"),
        };
        let id = count.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::event!(
            name: "rpc.message",
            parent: &self.span,
            Level::INFO,
            "rpc.message.type" = direction,
            rpc.message.id = id,
            rpc.message.uncompressed_size = bytes,
        );
    }
}

/// Of the half that carries the requests.
struct Requests(Arc<CallSpan>);

impl Transform for Requests {
    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        self.0.message(self.0.kind == Kind::Client, message.len());
        Ok(message)
    }
}

/// Of the half that carries the responses, and the call's end.
struct Responses(Arc<CallSpan>);

impl Transform for Responses {
    fn headers(&self, metadata: Metadata) -> Metadata {
        let keys = &self.0.config.response_metadata;
        self.0.headers.get_or_init(|| chosen(keys, &metadata));
        metadata
    }

    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        self.0.message(self.0.kind == Kind::Server, message.len());
        Ok(message)
    }

    fn end(&self, trailers: Trailers) -> Trailers {
        let Self(call) = self;
        let mut entries = call.headers.get().cloned().unwrap_or_default();
        entries.extend(chosen(&call.config.response_metadata, &trailers.metadata));
        call.record_map("rpc.grpc.response.metadata", &entries);
        let outcome = trailers.outcome.as_ref();
        call.end(outcome.copied().map_err(|status| status.code));
        trailers
    }
}

struct Map<'a>(&'a [(String, String)]);

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.iter().map(|(key, value)| (key, value));
        f.debug_map().entries(entries).finish()
    }
}
