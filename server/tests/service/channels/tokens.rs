//! S3-20: who may use a channel.

use std::time::Duration;

use headwater::{ChannelsConfig, auth::channel_token};
use headwater_proto::push_channel::{
    HistoryReply, HistoryRequest, LogInReply, LogInRequest, SubmitRequest,
};
use headwater_rpc::{Client as RpcClient, Code, Metadata};

use super::{produce::Producer, *};
use crate::support::*;

fn bound_to(channels: &[&str]) -> Metadata {
    let lifetime = Duration::from_secs(600);
    let token = channel_token(ENDPOINT, &key(), channels, lifetime, unix_seconds());
    bearer(&token.expect("a token"))
}

/// How each method is answered for the channel `c`: 16 is `UNAUTHENTICATED`, 7 `PERMISSION_DENIED`; `None` is taken.
async fn answers(client: &RpcClient, metadata: &Metadata) -> [Option<Code>; 5] {
    let request = SubmitRequest {
        channel: "c".into(),
        message: "m".into(),
        ..SubmitRequest::default()
    };
    let submitted = try_submit(client, request, metadata.clone()).await;
    let mut producer = Producer::try_open(client, metadata.clone()).await;
    producer.say(&SubmitRequest {
        channel: "c".into(),
        ..SubmitRequest::default()
    });
    let produced = producer.answer().await.flatten();
    let mut pushed = Consumer::try_push(client, channel("c"), metadata.clone()).await;
    let pushed = pushed.next_or_end().await;
    let mut consumer = Consumer::try_consume(client, metadata.clone()).await;
    let open = headwater_proto::push_channel::consume_request::Request::Open(channel("c"));
    consumer.say(open);
    // Ended at its half-close, if it is there.
    let finished = consumer.sender.finish(Ok(()), Metadata::new());
    let consumed = match consumer.end().await {
        // As the helper tells a good end.
        Code::Unknown => None,
        code => Some(code),
    };
    assert!(finished.is_ok() || consumed.is_some());
    let request = HistoryRequest {
        channel: "c".into(),
        ..HistoryRequest::default()
    };
    let history = ask::<HistoryReply>(client, "GetHistory", request, metadata.clone()).await;
    [
        submitted.err().map(|status| status.code),
        produced.err(),
        pushed.err().map(|status| status.code),
        consumed,
        history.err().map(|status| status.code),
    ]
}

#[tokio::test]
async fn s3_20_every_call_needs_a_token_that_is_good_for_its_channel() {
    for url in upstream_urls() {
        let site = Site::at(&url, ChannelsConfig::default()).await;
        let client = site.client();
        let none = Metadata::new();
        let forged = bearer(&token_by(&foreign_key(), &[]));
        let (unauthenticated, denied) = (Some(Code::Unauthenticated), Some(Code::PermissionDenied));
        for (who, metadata, expected) in [
            ("nobody", none, unauthenticated),
            ("a forger", forged, unauthenticated),
            ("one of another channel", bound_to(&["d", "C"]), denied),
            ("one of a hub", bearer(&token(&["c"])), denied),
            ("one of everything", bearer(&token(&[])), None),
            ("one of this channel", bound_to(&["d", "c"]), None),
        ] {
            let answers = answers(&client, &metadata).await;
            assert_eq!(answers, [expected; 5], "{url}: {who}");
        }
    }
}

#[tokio::test]
async fn s3_20_anonymous_calls_are_taken_only_where_the_service_is_told_to() {
    let site = Site::start(open()).await;
    let client = site.client();
    let anonymous = answers(&client, &Metadata::new()).await;
    assert_eq!(anonymous, [None; 5]);
    // A token that comes has to be one, and binds.
    let forged = bearer(&token_by(&foreign_key(), &[]));
    assert_eq!(
        answers(&client, &forged).await,
        [Some(Code::Unauthenticated); 5]
    );
    let elsewhere = answers(&client, &bound_to(&["d"])).await;
    assert_eq!(elsewhere, [Some(Code::PermissionDenied); 5]);
}

#[tokio::test]
async fn s3_20_who_logs_in_needs_a_token_as_well() {
    let site = Site::start(ChannelsConfig::default()).await;
    let client = site.client();
    let refused = ask::<LogInReply>(&client, "LogIn", LogInRequest::default(), Metadata::new());
    let refused = refused.await.expect_err("no token");
    assert_eq!(refused.code, Code::Unauthenticated);
}

/// The SDK makes its token from the connection string, for its one channel.
#[tokio::test]
async fn s3_20_the_sdk_shows_a_token_for_its_channel() {
    use headwater_upstream::channel::{ChannelClient, ChannelConfig, ConsumerOptions};
    let site = Site::start(ChannelsConfig::default()).await;
    let client = ChannelClient::new(ChannelConfig {
        connection_string: site.service.connection_string(),
        ..site.sdk_config()
    });
    let client = client.expect("configured");
    let submitted = client.producer("c").submit("m").await;
    assert_eq!(submitted, Ok(1));
    let mut consumer = client.consumer("c", ConsumerOptions::default());
    let received = soon("a message", consumer.recv()).await.expect("let in");
    assert_eq!(received.message, "m");
}
