//! The SDK's handlers over plain calls, on every transport.

use headwater_upstream::Mapping;

use crate::{
    support::*,
    upstreams::{Echo, acked, echoed},
};

/// U-11: the same handler as on a stream, by one setting.
#[tokio::test]
async fn u_11_a_handler_runs_over_plain_calls_as_over_a_stream() {
    for mapping in [Mapping::Stream, Mapping::Calls] {
        eprintln!("mapped to {mapping:?}");
        for url in upstream_urls() {
            let stage = Stage::start().await;
            let (echo, mut sees) = Echo::new();
            let _upstream = stage.upstream_mapped(&url, mapping, echo).await;
            let mut knock = stage.knock("chat");
            knock.query = "&refuse=403".into();
            let refused = knock.try_enter().await.expect_err("refused");
            assert_eq!(refused.status, 403);
            let mut client = stage.client().await;
            for number in 1..=20 {
                client.event("say", &number.to_string(), number).await;
            }
            for number in 1..=20 {
                assert_eq!(client.json().await, echoed(&number.to_string()));
                assert_eq!(client.json().await, acked(number));
            }
            client.leave().await;
            let mut expected = vec!["connect".to_owned(), "connect".into(), "connected".into()];
            expected.extend((1..=20).map(|number| format!("message {number}")));
            expected.push("disconnected".into());
            for event in expected {
                assert_eq!(soon(&event, sees.recv()).await, Some(event));
            }
        }
    }
}
