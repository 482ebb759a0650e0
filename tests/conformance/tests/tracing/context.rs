//! What goes from client to server.

use std::{
    num::{NonZeroU64, NonZeroU128},
    sync::{Arc, Mutex, PoisonError},
};

use headwater_conformance::{
    Fixture,
    control::{RUN, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    CallOptions, Metadata,
    interceptor::trace::{TraceContext, TracingClient, TracingConfig, TracingServer},
};
use tracing::{level_filters::LevelFilter, subscriber::set_default};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::support::{Spans, traced, traced_by};

const NAME: &str = "headwater.test.Control/Run";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a server gets of these metadata.
async fn arrived(pair: &Fixture, metadata: Metadata) -> Metadata {
    let call = pair.client.call(RUN, metadata, CallOptions::default());
    let (sender, mut receiver) = call.await.expect("it opens");
    say(&sender, "reflect");
    done(&sender);
    read(&mut receiver).await.1.expect("OK");
    receiver.trailers().expect("it is over")
}

fn with_parent() -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in [
        ("traceparent", PARENT),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ] {
        metadata.append(key, value).expect("valid metadata");
    }
    metadata
}

/// S4-38: the caller's `traceparent` gives way to that of the call's own span; `tracestate` goes on as it is.
#[test]
fn s4_38_the_trace_goes_on_and_its_state_with_it() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let pair = traced(transport, TracingConfig::default()).await;
        let metadata = arrived(&pair, with_parent()).await;
        let client = spans.ended("client", NAME).await;
        assert_eq!(client.get("parent_span_id"), Some("b7ad6b7169203331"));
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(client.get("trace_id"), Some(trace));
        let own = client.get("span_id").expect("an id");
        let sent = format!("00-{trace}-{own}-01");
        assert_eq!(metadata.text("traceparent"), Some(sent.as_str()));
        assert_eq!(metadata.values("traceparent").count(), 1);
        assert_eq!(metadata.text("tracestate"), Some("a=1,b=2"));
    });
}

/// S4-38: where nobody records spans, a handler's calls still belong to its caller's trace, and a call without one gets
/// none.
#[test]
fn s4_38_without_a_span_a_trace_is_passed_on_as_it_is() {
    for_each_transport(|transport| async move {
        let _guard = set_default(Registry::default().with(LevelFilter::OFF));
        let pair = traced(transport, TracingConfig::default()).await;
        let metadata = arrived(&pair, with_parent()).await;
        assert_eq!(metadata.text("traceparent"), Some(PARENT));
        let parent = TraceContext::of(&with_parent()).expect("valid");
        let call = arrived(&pair, Metadata::new());
        let metadata = parent.scope(call).await;
        assert_eq!(metadata.text("traceparent"), Some(PARENT));
        assert_eq!(metadata.text("tracestate"), Some("a=1,b=2"));
        assert!(arrived(&pair, Metadata::new()).await.is_empty());
    });
}

/// S4-38: a layer with ids of its own says them on the client, and hears the caller's on the server.
#[test]
fn s4_38_a_layer_brings_its_own_ids() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let own = TraceContext::new(
            NonZeroU128::new(0xabc).expect("not 0"),
            NonZeroU64::new(0xdef).expect("not 0"),
            false,
        );
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        let given = own.clone();
        let client = TracingClient::new(TracingConfig::default());
        let server = TracingServer::new(TracingConfig::default());
        let pair = traced_by(
            transport,
            client.with_context(move |span| (!span.is_disabled()).then(|| given.clone())),
            server.on_context(move |span, context| {
                assert!(!span.is_disabled(), "the span that is the child");
                let mut heard = hearing.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push(context.clone());
            }),
        );
        let metadata = arrived(&pair.await, Metadata::new()).await;
        let expected = "00-00000000000000000000000000000abc-0000000000000def-00";
        assert_eq!(metadata.text("traceparent"), Some(expected));
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(heard, [own]);
        let server = spans.ended("server", NAME).await;
        assert_eq!(server.get("parent_span_id"), Some("0000000000000def"));
    });
}
