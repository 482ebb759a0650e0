//! What a client needs of any transport.

use bytes::Bytes;
use headwater_conformance::{
    control::{done, read},
    flaky::FLAKY,
    for_each_transport_on_virtual_time,
};
use headwater_rpc::{CallOptions, Code, Metadata, MethodConfig};

use super::{Case, answered, retry, throttled, unavailable};

/// S4-03: to connect until it is told to end, to open streams, and to be used by what is configured for each method and
/// for its retries.
#[test]
fn s4_03_a_transport_has_five_duties() {
    for_each_transport_on_virtual_time(|transport| async move {
        let mut config = throttled(retry(3), 4, 1);
        let bounded = MethodConfig {
            request_message_bytes_max: Some(1),
            ..MethodConfig::default()
        };
        config
            .methods
            .insert("/headwater.test.Other/".into(), bounded);
        let mut case = Case::with_config(transport, config).await;

        assert_eq!(case.run([]).await, answered(), "a stream is opened");

        let (metadata, request) = (Metadata::new(), Bytes::from_static(b"xx"));
        let client = &case.pair.client;
        let path = "/headwater.test.Other/Any";
        let refused = client.unary(path, metadata, request, CallOptions::default());
        let refused = refused.await.map_err(|status| status.code);
        assert_eq!(refused, Err(Code::ResourceExhausted), "its method's bound");

        // Each failure takes one of four tokens, and with two or fewer nothing is retried.
        assert_eq!(case.run(unavailable(9)).await, Err(Code::Unavailable));
        assert_eq!(case.attempts(), 2, "all streams share the throttle");
        assert_eq!(client.retry_counters().throttled, 1);

        let (sender, mut receiver) = case.pair.call(FLAKY).await;
        client.begin_graceful_shutdown();
        let late = case.run([]).await;
        assert_eq!(late, Err(Code::FailedPrecondition), "it closes");
        assert!(!case.pair.connecting.is_finished(), "a stream is open");
        done(&sender);
        let (_, outcome) = read(&mut receiver).await;
        assert_eq!(outcome, Ok(()), "the open stream ends regularly");
        drop((sender, receiver));
        let connected = (&mut case.pair.connecting).await.expect("no panic");
        assert_eq!(connected, Ok(()), "connecting ends with the last stream");
    });
}
