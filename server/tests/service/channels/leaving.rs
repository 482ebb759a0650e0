//! A service that leaves, and a server that stops.

use headwater_proto::push_channel::SubmitRequest;
use headwater_rpc::{Code, Metadata};

use super::*;
use crate::{stops::Stopping, support::*};

#[tokio::test]
async fn a_service_that_leaves_ends_consumers_and_refuses_producers() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut plain = Consumer::push(&client, channel("c")).await;
        let mut acknowledging = Consumer::consume(&client, channel("d")).await;
        submit(&client, "c", "before").await;
        assert!(site.service.drain(FAR).await, "{url}: nothing holds it up");
        assert_eq!(plain.text().await, "before", "{url}: what was pushed comes");
        for consumer in [&mut plain, &mut acknowledging] {
            let status = consumer.next_or_end().await.expect_err("ended");
            assert_eq!(status.code, Code::Unavailable, "{url}");
            assert_eq!(status.message, "the service is shutting down", "{url}");
        }
        let request = SubmitRequest {
            channel: "c".into(),
            message: "after".into(),
            ..SubmitRequest::default()
        };
        let refused = try_submit(&client, request, Metadata::new()).await;
        let refused = refused.expect_err("refused");
        assert_eq!(refused.code, Code::Unavailable, "{url}");
        let mut late = Consumer::try_push(&client, channel("c"), Metadata::new()).await;
        assert_eq!(late.end().await, Code::Unavailable, "{url}");
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_its_consumers_and_others_get_what_they_had_not_taken() {
    let site = Site::start(open()).await;
    let stopping = Stopping::of(&site.service);
    let client = site.client();
    let mut plain = Consumer::push(&stopping.client, channel("c")).await;
    let mut acknowledging = Consumer::consume(&stopping.client, channel("d")).await;
    for name in ["c", "d"] {
        submit(&client, name, "m").await;
    }
    assert_eq!(plain.text().await, "m");
    assert_eq!(acknowledging.text().await, "m");
    stopping.stop();
    for consumer in [&mut plain, &mut acknowledging] {
        assert_eq!(consumer.end().await, Code::Unavailable);
    }
    stopping.served().await;
    for name in ["c", "d"] {
        let mut next = Consumer::push(&client, channel(name)).await;
        assert_eq!(next.places(1).await, [(1, true)], "{name}");
    }
}
