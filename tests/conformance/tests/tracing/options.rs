//! What is recorded only if it is asked for, and what never is.

use headwater_conformance::{
    Fixture,
    control::{RUN, done, read, say},
    for_each_transport,
};
use headwater_rpc::{CallOptions, Metadata, interceptor::trace::TracingConfig};

use crate::support::{Seen, Spans, traced};

const NAME: &str = "headwater.test.Control/Run";

fn messages(span: &Seen) -> Vec<String> {
    let text = |name, event: &crate::support::Fields| event.get(name).map(str::to_owned);
    let line = |event| {
        let kind = text("rpc.message.type", event)?;
        let id = text("rpc.message.id", event)?;
        let size = text("rpc.message.uncompressed_size", event)?;
        Some(format!("{kind} {id} {size}"))
    };
    span.events.iter().filter_map(line).collect()
}

/// S4-38: with the option, an event for each message with its direction, number and size; without, none.
#[test]
fn s4_38_each_message_is_an_event_if_asked_for() {
    for_each_transport(|transport| async move {
        for is_asked in [true, false] {
            let (spans, _guard) = Spans::collect();
            let config = TracingConfig {
                messages: is_asked,
                ..TracingConfig::default()
            };
            let pair = traced(transport, config).await;
            let (sender, mut receiver) = pair.call(RUN).await;
            say(&sender, "echo a");
            say(&sender, "echo bc");
            done(&sender);
            assert_eq!(read(&mut receiver).await.0, ["a", "bc"]);
            let sorted = |mut lines: Vec<String>| {
                lines.sort();
                lines
            };
            let client = sorted(messages(&spans.ended("client", NAME).await));
            let server = sorted(messages(&spans.ended("server", NAME).await));
            if !is_asked {
                assert_eq!((client.len(), server.len()), (0, 0), "nobody asked");
                continue;
            }
            assert_eq!(
                client,
                ["RECEIVED 1 1", "RECEIVED 2 2", "SENT 1 6", "SENT 2 7"]
            );
            assert_eq!(
                server,
                ["RECEIVED 1 6", "RECEIVED 2 7", "SENT 1 1", "SENT 2 2"]
            );
        }
    });
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in [
        ("x-id", "17"),
        ("x-id", "18"),
        ("x-other", "hidden"),
        ("authorization", "Bearer hidden"),
        ("cookie", "hidden"),
    ] {
        metadata.append(key, value).expect("valid metadata");
    }
    let bytes = metadata.append_bytes("x-raw-bin", &b"\0\xff"[..]);
    bytes.expect("valid metadata");
    metadata
}

/// A call whose handler sends the request's metadata back, as headers and as trailers.
async fn reflect(pair: &Fixture) {
    let call = pair.client.call(RUN, metadata(), CallOptions::default());
    let (sender, mut receiver) = call.await.expect("it opens");
    say(&sender, "reflect");
    done(&sender);
    read(&mut receiver).await.1.expect("OK");
}

/// S4-38: the metadata that were asked for, and nothing else of them: never `authorization` or a cookie.
#[test]
fn s4_38_chosen_metadata_are_recorded_and_secrets_never() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let keys = [
            "x-id",
            "x-raw-bin",
            "authorization",
            "Authorization",
            "cookie",
        ];
        let keys = keys.map(str::to_owned).to_vec();
        let config = TracingConfig {
            request_metadata: keys.clone(),
            response_metadata: keys,
            ..TracingConfig::default()
        };
        reflect(&traced(transport, config).await).await;
        let once = r#""x-id": "17", "x-id": "18", "x-raw-bin": "AP8""#;
        for kind in ["client", "server"] {
            let span = spans.ended(kind, NAME).await;
            let request = span.get("rpc.grpc.request.metadata");
            assert_eq!(request, Some(format!("{{{once}}}").as_str()), "{kind}");
            let response = span.get("rpc.grpc.response.metadata");
            let twice = format!("{{{once}, {once}}}");
            assert_eq!(response, Some(twice.as_str()), "{kind}");
        }
        let all = format!("{:?}", spans.all());
        assert!(!all.contains("hidden"), "not asked for, or secret: {all}");
    });
}

/// S4-38: without the option nothing of any metadata is recorded, and the call is the same.
#[test]
fn s4_38_metadata_are_not_recorded_unless_asked_for() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        reflect(&traced(transport, TracingConfig::default()).await).await;
        for kind in ["client", "server"] {
            let span = spans.ended(kind, NAME).await;
            assert_eq!(span.get("rpc.grpc.request.metadata"), None, "{kind}");
            assert_eq!(span.get("rpc.grpc.response.metadata"), None, "{kind}");
        }
    });
}
