//! Every end of a call is recorded, once.

use std::time::Duration;

use async_trait::async_trait;
use headwater_conformance::{
    Fixture,
    control::{RUN, read, say},
    for_each_transport,
    time::{DEADLINE, overdue},
};
use headwater_rpc::{
    CallError, CallOptions, Metadata, Receiver, Sender,
    interceptor::{
        ClientInterceptor, ClientNext, Filter, OutgoingCall,
        trace::{TracingClient, TracingConfig},
    },
};

use crate::support::{Spans, traced};

const NAME: &str = "headwater.test.Control/Run";

/// Checks how the last call ended on both sides, and on which it was an error. A field that is recorded twice fails.
async fn check(spans: &Spans, code: &str, errors: [bool; 2], why: &str) {
    for (kind, is_error) in ["client", "server"].into_iter().zip(errors) {
        let span = spans.ended(kind, NAME).await;
        assert_eq!(
            span.get("rpc.grpc.status_code"),
            Some(code),
            "{why}: {span:?}"
        );
        assert!(span.get("rpc.duration_ms").is_some(), "{why}: {span:?}");
        let error = is_error.then_some("ERROR");
        assert_eq!(span.get("otel.status_code"), error, "{why}: {span:?}");
    }
}

/// S4-38: the server's status; what the client did wrong is no error of the server.
#[test]
fn s4_38_a_status_is_recorded_once_on_both_sides() {
    for_each_transport(|transport| async move {
        for (line, code, errors) in [
            ("ok", "0", [false, false]),
            ("status 9 no", "9", [true, false]),
            ("status 13 broken", "13", [true, true]),
            ("drop", "2", [true, true]),
            ("panic", "2", [true, true]),
        ] {
            let (spans, _guard) = Spans::collect();
            let pair = traced(transport, TracingConfig::default()).await;
            let (sender, mut receiver) = pair.call(RUN).await;
            say(&sender, line);
            let first = read(&mut receiver).await;
            assert_eq!(read(&mut receiver).await.1, first.1, "it stays so");
            drop((sender, receiver));
            check(&spans, code, errors, line).await;
        }
    });
}

/// S4-38: a client that goes away, although nobody reads.
#[test]
fn s4_38_a_cancel_is_recorded_once_on_both_sides() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let pair = traced(transport, TracingConfig::default()).await;
        let call = pair.call(RUN).await;
        say(&call.0, "wait");
        pair.control.started().await;
        drop(call);
        check(&spans, "1", [true, false], "a cancel").await;
    });
}

/// S4-38: a deadline, although the handler runs on.
#[test]
fn s4_38_a_deadline_is_recorded_once_on_both_sides() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let pair = traced(transport, TracingConfig::default()).await;
        let options = CallOptions {
            timeout: Some(DEADLINE),
            ..CallOptions::default()
        };
        let call = pair.client.call(RUN, Metadata::new(), options).await;
        let (sender, mut receiver) = call.expect("it opens");
        say(&sender, "stall");
        let (_, outcome) = overdue(&pair, read(&mut receiver)).await;
        outcome.expect_err("nobody answers");
        let client = spans.ended("client", NAME).await;
        assert_eq!(client.get("rpc.grpc.status_code"), Some("4"));
        assert_eq!(client.get("otel.status_code"), Some("ERROR"));
        let server = spans.ended("server", NAME).await;
        // The client's reset may come before the server's own deadline.
        let code = server.get("rpc.grpc.status_code");
        assert!(matches!(code, Some("1" | "4")), "{server:?}");
        assert!(server.get("rpc.duration_ms").is_some(), "{server:?}");
    });
}

/// Hands nothing on.
struct Stuck;

#[async_trait]
impl ClientInterceptor for Stuck {
    async fn intercept(
        &self,
        _: OutgoingCall,
        _: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        std::future::pending().await
    }
}

/// S4-38: a call that never opens has a span with an end too: its deadline came, its caller left, it was refused.
#[test]
fn s4_38_a_call_that_never_opens_is_recorded() {
    for_each_transport(|transport| async move {
        let (spans, _guard) = Spans::collect();
        let pair = Fixture::built(transport, |client, server| {
            let tracing = TracingClient::new(TracingConfig::default());
            let client = client.intercept(Filter::all(), tracing);
            let stuck = Filter::methods(["/a.Stuck/Call"]);
            (client.intercept(stuck, Stuck), server)
        });
        let pair = pair.await;
        let call = |options| pair.client.call("/a.Stuck/Call", Metadata::new(), options);
        // It may come as early as it likes.
        let short = CallOptions {
            timeout: Some(Duration::from_millis(30)),
            ..CallOptions::default()
        };
        call(short).await.expect_err("nobody opens it");
        let span = spans.ended("client", "a.Stuck/Call").await;
        assert_eq!(span.get("rpc.grpc.status_code"), Some("4"), "a deadline");

        let left = tokio::time::timeout(Duration::from_millis(1), call(CallOptions::default()));
        left.await.expect_err("nobody opens it");
        let span = spans.ended("client", "a.Stuck/Call").await;
        assert_eq!(span.get("rpc.grpc.status_code"), Some("1"), "given up");

        pair.client.begin_graceful_shutdown();
        let options = CallOptions::default();
        let refused = pair.client.call(RUN, Metadata::new(), options).await;
        refused.expect_err("the client is stopping");
        let span = spans.ended("client", NAME).await;
        assert_eq!(span.get("rpc.grpc.status_code"), Some("9"), "refused");
    });
}
