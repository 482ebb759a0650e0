//! S3-19: bounds, expiry and policy; and what clients do that mean harm or sleep.

use std::time::Duration;

use headwater::ChannelsConfig;
use headwater_core::queue::Full;
use headwater_proto::push_channel::{ConnRequest, SubmitRequest};
use headwater_rpc::{Code, Metadata};

use super::*;
use crate::support::*;

fn submission(name: &str, text: &str) -> SubmitRequest {
    SubmitRequest {
        channel: name.into(),
        message: text.into(),
        ..SubmitRequest::default()
    }
}

async fn refusal(client: &headwater_rpc::Client, request: SubmitRequest) -> Code {
    let reply = try_submit(client, request, Metadata::new()).await;
    reply.expect_err("refused").code
}

/// S3-19: a full channel refuses the producer; what is in it still arrives, and other channels go on.
#[tokio::test]
async fn s3_19_a_full_channel_refuses_the_producer_and_disturbs_nobody_else() {
    for url in upstream_urls() {
        let mut config = open();
        config.queue.messages_max = 10;
        let site = Site::at(&url, config).await;
        let client = site.client();
        for number in 0..10 {
            submit(&client, "c", &number.to_string()).await;
        }
        let one_more = refusal(&client, submission("c", "one too many")).await;
        assert_eq!(one_more, Code::ResourceExhausted, "{url}");
        submit(&client, "elsewhere", "m").await;
        let mut consumer = Consumer::consume(&client, channel("c")).await;
        assert_eq!(
            consumer.texts(10).await.last().expect("ten"),
            "9",
            "{url}: all of them are there"
        );
        consumer.take(1, 10);
        until("room", || site.waiting("c") == 0).await;
        submit(&client, "c", "room again").await;
        assert_eq!(consumer.text().await, "room again", "{url}");
    }
}

/// S3-19: bounded in bytes, too.
#[tokio::test]
async fn s3_19_a_channel_is_bounded_in_bytes() {
    let mut config = open();
    config.queue.bytes_max = 1000;
    let site = Site::start(config).await;
    let client = site.client();
    submit(&client, "c", &"x".repeat(600)).await;
    let second = refusal(&client, submission("c", &"y".repeat(600))).await;
    assert_eq!(second, Code::ResourceExhausted, "not beside the first");
    let huge = refusal(&client, submission("d", &"z".repeat(2000))).await;
    assert_eq!(huge, Code::InvalidArgument, "not even alone");
    let gone = site.service.channel_counters("d");
    assert_eq!(gone, None, "a refused message begins no channel");
}

/// S3-19: and all channels together are.
#[tokio::test]
async fn s3_19_all_channels_together_are_bounded_in_bytes() {
    let config = ChannelsConfig {
        waiting_bytes_max: 1000,
        ..open()
    };
    let site = Site::start(config).await;
    let client = site.client();
    submit(&client, "a", &"x".repeat(600)).await;
    let second = refusal(&client, submission("b", &"y".repeat(600))).await;
    assert_eq!(second, Code::ResourceExhausted, "in another channel, too");
    let mut consumer = Consumer::push(&client, channel("a")).await;
    consumer.next().await;
    until("the first to be written", || site.waiting("a") == 0).await;
    submit(&client, "b", &"y".repeat(600)).await;
}

/// S3-19: the other policy drops the oldest.
#[tokio::test]
async fn s3_19_a_channel_may_drop_its_oldest_instead() {
    let mut config = open();
    config.queue.messages_max = 3;
    config.queue.full = Full::DropOldest;
    let site = Site::start(config).await;
    let client = site.client();
    for text in ["a", "b", "c", "d", "e"] {
        submit(&client, "c", text).await;
    }
    let mut consumer = Consumer::push(&client, channel("c")).await;
    assert_eq!(consumer.texts(3).await, ["c", "d", "e"]);
    let dropped = site
        .service
        .channel_counters("c")
        .map(|counters| counters.dropped);
    assert_eq!(dropped, Some(2));
}

/// S3-19: a message waits no longer than the channel, or it itself, says; and then the channel is gone.
#[tokio::test]
async fn s3_19_messages_expire() {
    let mut config = open();
    config.queue.expires_after = FAR;
    let site = Site::start(config).await;
    let client = site.client();
    submit(&client, "c", "of the channel's time").await;
    let brief = SubmitRequest {
        expires_after_ms: 5_000,
        ..submission("c", "brief")
    };
    let reply = try_submit(&client, brief, Metadata::new()).await;
    reply.expect("taken");
    pass(Duration::from_secs(6)).await;
    until("the first to expire", || site.waiting("c") == 1).await;
    pass(FAR).await;
    let gone = || site.service.channel_counters("c").is_none();
    until("the channel to go with its last message", gone).await;
}

/// S3-19: the number of channels is bounded, and one that is not used makes room.
#[tokio::test]
async fn s3_19_there_are_so_many_channels_and_no_more() {
    let config = ChannelsConfig {
        channels_max: 2,
        ..open()
    };
    let site = Site::start(config).await;
    let client = site.client();
    let passing = Consumer::push(&client, channel("one")).await;
    submit(&client, "two", "m").await;
    let third = refusal(&client, submission("three", "m")).await;
    assert_eq!(third, Code::ResourceExhausted);
    let mut third = Consumer::try_push(&client, channel("three"), Metadata::new()).await;
    assert_eq!(third.end().await, Code::ResourceExhausted);
    submit(&client, "two", "of the known one").await;
    drop(passing);
    until("room", || site.service.channel_counters("one").is_none()).await;
    submit(&client, "three", "m").await;
}

#[tokio::test]
async fn names_have_at_most_256_bytes() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        submit(&client, &"n".repeat(256), "m").await;
        let long = "n".repeat(300);
        let refused = refusal(&client, submission(&long, "m")).await;
        assert_eq!(refused, Code::InvalidArgument, "{url}");
        let of_group = ConnRequest {
            group: long.clone(),
            ..channel("c")
        };
        for request in [channel(&long), of_group] {
            let mut consumer = Consumer::try_push(&client, request, Metadata::new()).await;
            assert_eq!(consumer.end().await, Code::InvalidArgument, "{url}");
        }
        submit(&client, "c", "the service goes on").await;
    }
}

/// A name of 10 MB does not come through: the message is over the limit of a call.
#[tokio::test]
async fn a_name_of_10_mb_is_refused_before_it_is_looked_at() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let request = submission(&"n".repeat(10_000_000), "m");
        let options = headwater_rpc::CallOptions {
            send_message_bytes_max: Some(64 << 20),
            ..headwater_rpc::CallOptions::default()
        };
        let path = "/MessageSync/SubmitMessage";
        let bytes = prost::Message::encode_to_vec(&request).into();
        let answer = client.unary(path, Metadata::new(), bytes, options);
        let status = soon("an answer", answer).await.expect_err("refused");
        // A WebSocket closes upon a message that is too large for it, as RFC 6455, 7.4.1 has it (1009).
        let is_closed = url.starts_with("ws") && status.code == Code::Unavailable;
        let is_refused = status.code == Code::ResourceExhausted;
        assert!(is_refused || is_closed, "{url}: {status}");
        submit(&site.client(), "c", "others go on").await;
    }
}

/// A consumer that never reads is ended after a time, and what it did not get goes to the next; meanwhile nobody waits for
/// it, in its channel or elsewhere.
#[tokio::test]
async fn a_consumer_that_never_reads_disturbs_nobody() {
    let site = Site::start(open()).await;
    let client = site.client();
    let mut asleep = Consumer::push(&client, channel("c")).await;
    let mut awake = Consumer::push(&client, channel("c")).await;
    let mut elsewhere = Consumer::push(&client, channel("d")).await;
    let text = "x".repeat(20_000);
    for _ in 0..400 {
        submit(&client, "c", &text).await;
        awake.read_all().await;
    }
    submit(&client, "d", "unhindered").await;
    assert_eq!(elsewhere.text().await, "unhindered");
    let stall = open().queue.stall_timeout;
    let in_doubt = open().queue.in_doubt_timeout;
    pass(stall + in_doubt).await;
    until("the sleeper to be ended", || site.consumers("c") == 1).await;
    awake.read_all().await;
    assert_eq!(asleep.end().await, Code::ResourceExhausted);
}
