//! How the spans of a call belong together.

use bytes::Bytes;
use headwater_conformance::{control::ECHO, for_each_transport};
use headwater_rpc::{CallOptions, Metadata, interceptor::trace::TracingConfig};
use tokio::task::yield_now;
use tracing::{Instrument as _, info_span};

use crate::support::{Seen, Spans, traced};

const FRONT: &str = "/a.Front/Call";

fn check_child(child: &Seen, parent: &Seen) {
    assert_eq!(
        child.get("trace_id"),
        parent.get("trace_id"),
        "one trace: {child:?}"
    );
    assert!(
        parent.get("span_id").is_some(),
        "a span has an id: {parent:?}"
    );
    assert_eq!(
        child.get("parent_span_id"),
        parent.get("span_id"),
        "{child:?}"
    );
}

/// S4-38: client, server, the call that its handler makes, and the server of that: one trace, each the child of the one
/// before, with OpenTelemetry's names.
#[test]
fn s4_38_the_spans_of_a_call_form_a_tree() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let config = TracingConfig {
            server_address: Some("example.org".to_owned()),
            ..TracingConfig::default()
        };
        let pair = traced(transport, config).await;
        let client = pair.client.clone();
        pair.router.unary(FRONT, move |request| {
            let client = client.clone();
            async move {
                let options = CallOptions::default();
                client
                    .unary(ECHO, Metadata::new(), request.message, options)
                    .await
            }
        });
        let app = info_span!("app");
        let app_id = app.id().map(|id| id.into_u64());
        let answer = pair.unary(FRONT, "x").instrument(app).await;
        assert_eq!(answer, Ok(Bytes::from("x")));

        let echo = "headwater.test.Control/Echo";
        let front = spans.ended("client", "a.Front/Call").await;
        let front_server = spans.ended("server", "a.Front/Call").await;
        let inner = spans.ended("client", echo).await;
        let inner_server = spans.ended("server", echo).await;
        assert_eq!(
            front.parent, app_id,
            "the client's span is within the caller's"
        );
        assert_eq!(front.get("parent_span_id"), None, "a new trace");
        assert_eq!(
            inner.parent,
            Some(front_server.id),
            "the handler runs in its span"
        );
        check_child(&front_server, &front);
        check_child(&inner, &front_server);
        check_child(&inner_server, &inner);

        for span in [&front, &front_server, &inner, &inner_server] {
            assert_eq!(span.get("rpc.system"), Some("grpc"));
            assert_eq!(span.get("rpc.grpc.status_code"), Some("0"), "{span:?}");
            assert_eq!(span.get("otel.status_code"), None, "{span:?}");
            let duration = span.get("rpc.duration_ms").map(str::parse::<f64>);
            assert!(matches!(duration, Some(Ok(0.0..))), "{span:?}");
            assert_eq!(span.get("rpc.grpc.request.metadata"), None);
            assert_eq!(span.get("rpc.grpc.response.metadata"), None);
            assert!(span.events.is_empty(), "not asked for: {span:?}");
        }
        assert_eq!(front.get("rpc.service"), Some("a.Front"));
        assert_eq!(front.get("rpc.method"), Some("Call"));
        assert_eq!(front.get("server.address"), Some("example.org"));
        assert_eq!(front.get("network.peer.address"), None);
        let peer = front_server.get("network.peer.address").expect("a caller");
        match transport.is_within_process() {
            true => assert!(peer.starts_with("in-process:"), "{peer}"),
            false => {
                assert_eq!(peer, "127.0.0.1");
                let port = front_server.get("network.peer.port");
                assert!(matches!(port.map(str::parse::<u16>), Some(Ok(1..))));
            }
        }
        drop(pair);
        while !spans.all().iter().all(|seen| seen.is_closed) {
            yield_now().await;
        }
    });
}

/// S4-38: the calls of one caller are traces of their own, unless the caller says otherwise.
#[test]
fn s4_38_unrelated_calls_are_different_traces() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let pair = traced(transport, TracingConfig::default()).await;
        let mut traces = Vec::new();
        for _ in 0..2 {
            pair.unary(ECHO, "x").await.expect("an echo");
            let name = "headwater.test.Control/Echo";
            let span = spans.ended("client", name).await;
            traces.push(span.get("trace_id").map(str::to_owned));
        }
        assert_ne!(traces[0], traces[1]);
    });
}
