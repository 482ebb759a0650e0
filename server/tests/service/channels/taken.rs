//! What becomes of messages whose consumer goes away: at least once, marked.

use std::time::Duration;

use headwater_proto::push_channel::{ConnRequest, consume_request::Request};
use headwater_rpc::{Client as RpcClient, Code, Server, ServerConfig};

use super::*;
use crate::support::*;

/// S3-16: what was written to a connection that is lost goes to the next consumer, marked.
#[tokio::test]
async fn s3_16_what_a_lost_consumer_had_goes_to_the_next_one_marked() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let Some(line) = Line::to(&site).await else {
            continue;
        };
        let far = site.client_at(&line.url);
        let mut lost = Consumer::push(&far, channel("c")).await;
        let client = site.client();
        for text in ["a", "b", "c"] {
            submit(&client, "c", text).await;
        }
        assert_eq!(lost.texts(3).await, ["a", "b", "c"], "{url}");
        line.cut();
        until("the loss to be noticed", || site.consumers("c") == 0).await;
        submit(&client, "c", "d").await;
        let mut next = Consumer::push(&client, channel("c")).await;
        let places = next.places(4).await;
        assert_eq!(
            places,
            [(1, true), (2, true), (3, true), (4, false)],
            "{url}"
        );
    }
}

/// S3-16: what was written to a consumer that cancels, it has; what was not, the next one gets.
#[tokio::test]
async fn s3_16_what_a_consumer_had_that_cancels_comes_not_again() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut leaving = Consumer::push(&site.client(), channel("c")).await;
        for text in ["a", "b"] {
            submit(&client, "c", text).await;
            assert_eq!(leaving.text().await, text, "{url}");
        }
        drop(leaving);
        until("the consumer to leave", || site.consumers("c") == 0).await;
        submit(&client, "c", "c").await;
        let mut next = Consumer::push(&client, channel("c")).await;
        assert_eq!(next.places(1).await, [(3, false)], "{url}");
    }
}

/// S3-16: a deadline of the server says nothing of whether anybody is there: what was in doubt goes to the next consumer.
#[tokio::test(start_paused = true)]
async fn s3_16_what_a_consumer_had_when_its_time_was_over_goes_to_the_next_one_marked() {
    let site = Site::start(open()).await;
    let (bounded, server) = headwater_in_process::pair();
    let bounded = RpcClient::new(bounded);
    let config = ServerConfig {
        timeout_max: Some(open().queue.in_doubt_timeout / 2),
        ..ServerConfig::default()
    };
    let server = Server::new(server, site.service.router(), config);
    let connecting = bounded.clone();
    tokio::spawn(async move { connecting.connect().await });
    tokio::spawn(async move { server.serve().await });
    let mut consumer = Consumer::push(&bounded, channel("c")).await;
    let client = site.client();
    for text in ["a", "b"] {
        submit(&client, "c", text).await;
        assert_eq!(consumer.text().await, text);
    }
    assert_eq!(consumer.end().await, Code::DeadlineExceeded);
    let mut next = Consumer::push(&client, channel("c")).await;
    assert_eq!(next.places(2).await, [(1, true), (2, true)]);
}

/// S3-16: the time in doubt is over after 30 s; then a loss brings nothing back.
#[tokio::test]
async fn s3_16_a_message_is_in_doubt_for_a_time_only() {
    let site = Site::at("ws://127.0.0.1:0", open()).await;
    let line = Line::to(&site).await.expect("over TCP");
    let mut consumer = Consumer::push(&site.client_at(&line.url), channel("c")).await;
    let client = site.client();
    submit(&client, "c", "early").await;
    assert_eq!(consumer.text().await, "early");
    until("it to be written", || site.waiting("c") == 0).await;
    let taken = || {
        let counters = site.service.channel_counters("c");
        counters.map_or(0, |counters| counters.taken)
    };
    assert_eq!(taken(), 0, "it is in doubt");
    let doubt = open().queue.in_doubt_timeout;
    // By steps, so that the connection's own keep-alive is answered.
    for _ in 0..=doubt.as_secs() {
        pass(Duration::from_secs(1)).await;
    }
    until("it to count as taken", || taken() == 1).await;
    submit(&client, "c", "late").await;
    assert_eq!(consumer.text().await, "late");
    line.cut();
    until("the loss to be noticed", || site.consumers("c") == 0).await;
    let mut next = Consumer::push(&client, channel("c")).await;
    assert_eq!(next.places(1).await, [(2, true)], "only what was in doubt");
}

/// S3-16: with `Consume`, a message is the consumer's once it says so, and until then everybody's.
#[tokio::test]
async fn s3_16_what_a_consumer_did_not_take_goes_to_the_next_one_however_it_left() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        for text in ["a", "b", "c", "d"] {
            submit(&client, "c", text).await;
        }
        let mut leaving = Consumer::consume(&site.client(), channel("c")).await;
        assert_eq!(
            leaving.places(4).await,
            [(1, false), (2, false), (3, false), (4, false)]
        );
        leaving.take(1, 2);
        leaving.take(4, 4);
        until("it to be taken", || site.waiting("c") == 1).await;
        drop(leaving);
        let mut next = Consumer::consume(&client, channel("c")).await;
        assert_eq!(next.places(1).await, [(3, true)], "{url}");
        next.take(3, 3);
        until("the last to be taken", || site.waiting("c") == 0).await;
    }
}

#[tokio::test]
async fn a_message_that_is_returned_comes_again_at_once() {
    let site = Site::start(open()).await;
    let client = site.client();
    let mut consumer = Consumer::consume(&client, channel("c")).await;
    submit(&client, "c", "m").await;
    assert_eq!(consumer.places(1).await, [(1, false)]);
    consumer.say(Request::Returned(range(1, 1)));
    assert_eq!(consumer.places(1).await, [(1, true)]);
}

#[tokio::test]
async fn a_consumer_is_pushed_no_more_than_its_window_before_it_takes() {
    let site = Site::start(open()).await;
    let client = site.client();
    for number in 0..5 {
        submit(&client, "c", &number.to_string()).await;
    }
    let window = ConnRequest {
        window: 2,
        ..channel("c")
    };
    let mut consumer = Consumer::consume(&client, window).await;
    assert_eq!(consumer.texts(2).await, ["0", "1"]);
    consumer.hears_nothing().await;
    consumer.take(1, 1);
    assert_eq!(consumer.text().await, "2");
    consumer.hears_nothing().await;
}

#[tokio::test]
async fn a_consumer_that_half_closes_ends_well_and_leaves_what_it_did_not_take() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        submit(&client, "c", "m").await;
        let mut consumer = Consumer::consume(&client, channel("c")).await;
        assert_eq!(consumer.text().await, "m");
        let metadata = headwater_rpc::Metadata::new();
        consumer.sender.finish(Ok(()), metadata).expect("open");
        assert_eq!(
            consumer.end().await,
            Code::Unknown,
            "{url}: as the helper tells a good end"
        );
        let mut next = Consumer::consume(&client, channel("c")).await;
        assert_eq!(next.places(1).await, [(1, true)], "{url}");
    }
}

#[tokio::test]
async fn a_consumer_that_says_what_it_may_not_is_ended_and_its_messages_are_not() {
    let site = Site::start(open()).await;
    let client = site.client();
    submit(&client, "c", "m").await;

    let mut never_open = Consumer::try_consume(&client, headwater_rpc::Metadata::new()).await;
    never_open.take(1, 1);
    assert_eq!(never_open.end().await, Code::InvalidArgument);

    let mut twice = Consumer::consume(&client, channel("c")).await;
    assert_eq!(twice.text().await, "m");
    twice.say(Request::Open(channel("c")));
    assert_eq!(twice.end().await, Code::InvalidArgument);

    let mut garbage = Consumer::consume(&client, channel("c")).await;
    assert_eq!(garbage.text().await, "m");
    // What was never pushed, and what is taken twice, is ignored.
    garbage.take(u64::MAX, u64::MAX);
    garbage.take(0, 0);
    garbage.take(5, 2);
    let bytes = bytes::Bytes::from_static(b"\xff\xff\xff");
    garbage.sender.try_send(bytes).expect("room");
    assert_eq!(garbage.end().await, Code::InvalidArgument);

    let mut next = Consumer::consume(&client, channel("c")).await;
    assert_eq!(next.places(1).await, [(1, true)]);
}

#[tokio::test]
async fn a_consumer_that_never_opens_is_given_up_after_a_time() {
    let site = Site::start(open()).await;
    let mut silent = Consumer::try_consume(&site.client(), headwater_rpc::Metadata::new()).await;
    let end = overdue("the end", silent.end()).await;
    assert_eq!(end, Code::DeadlineExceeded);
}
