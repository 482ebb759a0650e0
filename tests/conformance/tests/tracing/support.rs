//! What a subscriber hears of spans, and a pair whose ends open them.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headwater_conformance::{Fixture, Transport};
use headwater_rpc::interceptor::{
    Filter,
    trace::{TracingClient, TracingConfig, TracingServer},
};
use tokio::task::yield_now;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// Fields with their values, in the order in which they were recorded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// The value of a field that was recorded once; `None` if it never was.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(field, _)| *field == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert_eq!(found.next(), None, "{name} was recorded more than once");
        value
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

/// A span as it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) fields: Fields,
    pub(crate) events: Vec<Fields>,
    pub(crate) is_closed: bool,
}

impl Seen {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

/// Keeps every span of calls and of these tests.
#[derive(Clone, Default)]
pub(crate) struct Spans(Arc<Mutex<Vec<Seen>>>);

impl Spans {
    /// Hears of all spans of this thread, until the guard is dropped.
    pub(crate) fn collect() -> (Self, DefaultGuard) {
        let spans = Self::default();
        let subscriber = Registry::default().with(spans.clone());
        (spans, tracing::subscriber::set_default(subscriber))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// The last span of this kind, `client` or `server`, once its call has ended; of this method, such as `Service/Method`.
    pub(crate) async fn ended(&self, kind: &str, name: &str) -> Seen {
        loop {
            let is_it = |seen: &Seen| {
                seen.get("otel.kind") == Some(kind)
                    && seen.get("otel.name") == Some(name)
                    && seen.get("rpc.grpc.status_code").is_some()
            };
            if let Some(seen) = self.all().into_iter().rfind(is_it) {
                return seen;
            }
            yield_now().await;
        }
    }

    fn with(&self, id: &Id, act: impl FnOnce(&mut Seen)) {
        let id = id.into_u64();
        if let Some(seen) = self.lock().iter_mut().rfind(|seen| seen.id == id) {
            act(seen);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_ours(attributes.metadata()) {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = context.span(id).and_then(|span| span.parent());
        self.lock().push(Seen {
            id: id.into_u64(),
            parent: parent.map(|parent| parent.id().into_u64()),
            fields,
            events: Vec::new(),
            is_closed: false,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.with(id, |seen| values.record(&mut seen.fields));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else {
            return;
        };
        if !is_ours(event.metadata()) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.with(&span.id(), |seen| seen.events.push(fields));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.with(&id, |seen| seen.is_closed = true);
    }
}

/// Not what a transport's libraries tell of themselves.
fn is_ours(metadata: &tracing::Metadata<'_>) -> bool {
    let mut targets = ["headwater_rpc", module_path!()].into_iter();
    let name = |target: &str| target.split("::").next().map(str::to_owned);
    targets.any(|ours| name(ours) == name(metadata.target()))
}

/// A pair of which both ends record this.
pub(crate) async fn traced(transport: Transport, config: TracingConfig) -> Fixture {
    let (client, server) = (
        TracingClient::new(config.clone()),
        TracingServer::new(config),
    );
    traced_by(transport, client, server).await
}

pub(crate) async fn traced_by(
    transport: Transport,
    client: TracingClient,
    server: TracingServer,
) -> Fixture {
    let build = |client_builder: headwater_rpc::ClientBuilder,
                 server_builder: headwater_rpc::ServerBuilder| {
        (
            client_builder.intercept(Filter::all(), client),
            server_builder.intercept(Filter::all(), server),
        )
    };
    Fixture::built(transport, build).await
}
