//! The SDK's producers and consumers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use headwater_rpc::{Client as RpcClient, Code, Metadata, Router, Server, ServerConfig, Status};
use headwater_upstream::channel::{
    ChannelClient, ChannelConfig, Chat, Consumer, ConsumerMode, ConsumerOptions, Received,
    Submission, SubmitError,
};
use tokio::time::Instant;

use super::{Site, open};
use crate::support::*;

async fn next(consumer: &mut Consumer) -> Received {
    soon("a message", consumer.recv()).await.expect("let in")
}

/// The same code over every transport.
#[tokio::test]
async fn messages_come_through_and_are_taken_over_every_transport() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.sdk();
        let producer = client.producer("c");
        let chat = Chat {
            email: "ann@example.org".into(),
            header: "greeting".into(),
            text: "hello".into(),
            time: "noon".into(),
        };
        let in_chat = Submission {
            message: "ann".into(),
            chat: Some(chat.clone()),
            expires_after: None,
        };
        assert_eq!(producer.submit("plain").await, Ok(1), "{url}");
        assert_eq!(producer.submit(in_chat).await, Ok(2), "{url}");
        let mut consumer = client.consumer("c", ConsumerOptions::default());
        let first = next(&mut consumer).await;
        assert_eq!(
            (
                &*first.message,
                first.offset,
                first.redelivered,
                &first.chat
            ),
            ("plain", 1, false, &None)
        );
        let second = next(&mut consumer).await;
        assert_eq!((&*second.message, &second.chat), ("ann", &Some(chat)));
        first.take().await;
        second.take().await;
        until("both to be taken", || site.waiting("c") == 0).await;
        let history = client.history("c", 2, 10).await.expect("a page");
        assert_eq!(history.messages.len(), 1, "{url}");
        assert_eq!(history.next_offset, None, "{url}");
    }
}

#[tokio::test]
async fn a_message_that_is_forgotten_comes_again() {
    let site = Site::start(open()).await;
    let client = site.sdk();
    client.producer("c").submit("m").await.expect("taken");
    let mut consumer = client.consumer("c", ConsumerOptions::default());
    drop(next(&mut consumer).await);
    let again = next(&mut consumer).await;
    assert!(again.redelivered, "it was not taken");
    // Nor does dropping the consumer take it, even while somebody holds it.
    drop(consumer);
    let mut other = client.consumer("c", ConsumerOptions::default());
    let third = next(&mut other).await;
    assert_eq!((third.offset, third.redelivered), (1, true));
    third.take().await;
    until("it to be taken", || site.waiting("c") == 0).await;
    again.take().await;
}

/// However soon it leaves after it.
#[tokio::test]
async fn what_was_taken_before_a_consumer_leaves_comes_not_again() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.sdk();
        for text in ["one", "two"] {
            client.producer("c").submit(text).await.expect("taken");
        }
        let mut consumer = client.consumer("c", ConsumerOptions::default());
        next(&mut consumer).await.take().await;
        consumer.leave().await;
        let mut other = client.consumer("c", ConsumerOptions::default());
        let second = next(&mut other).await;
        assert_eq!(
            (&*second.message, second.redelivered),
            ("two", true),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_fan_out_consumer_has_every_message() {
    let site = Site::start(open()).await;
    let client = site.sdk();
    let options = ConsumerOptions {
        mode: ConsumerMode::Fanout,
        ..ConsumerOptions::default()
    };
    let mut consumers = [
        client.consumer("c", options.clone()),
        client.consumer("c", options),
    ];
    let producer = client.producer("c");
    let [one, other] = &mut consumers;
    let submit = async {
        until("both to be there", || site.consumers("c") == 2).await;
        producer.submit("m").await
    };
    let (submitted, one, other) = tokio::join!(submit, next(one), next(other));
    assert_eq!(submitted, Ok(1));
    assert_eq!((&*one.message, &*other.message), ("m", "m"));
}

/// S3-10: the server is killed, and another one takes its place; then the consumer is killed, and another one takes its.
#[tokio::test(start_paused = true)]
async fn s3_10_the_stream_comes_back_when_server_or_consumer_are_killed() {
    let site = Site::start(open()).await;
    let client = site.sdk();
    let producer = client.producer("c");
    let mut consumer = client.consumer("c", ConsumerOptions::default());
    producer.submit("one").await.expect("taken");
    next(&mut consumer).await.take().await;

    let gone = site.kill().await;
    // A day without a service costs no more than the longest wait after it.
    let day = Duration::from_secs(24 * 3600);
    let waiting = tokio::time::timeout(day, consumer.recv()).await;
    assert!(waiting.is_err(), "it waits for the service: {waiting:?}");
    let site = gone.restart(open()).await;
    let back = Instant::now();
    let there = async {
        until("it to come back", || site.consumers("c") == 1).await;
        back.elapsed()
    };
    let came = tokio::select! {
        came = there => came,
        received = consumer.recv() => panic!("{received:?}"),
    };
    let longest = ChannelConfig::default().back_off.max.mul_f64(1.2);
    assert!(
        came <= longest + Duration::from_millis(5),
        "{came:?} after the service"
    );
    producer.submit("two").await.expect("taken");
    let two = next(&mut consumer).await;
    assert_eq!(two.message, "two");

    drop((two, consumer));
    let mut next_one = client.consumer("c", ConsumerOptions::default());
    let two = next(&mut next_one).await;
    assert_eq!((&*two.message, two.redelivered), ("two", true));
    two.take().await;
}

/// S3-10: over every transport: connections are made again, too.
#[tokio::test]
async fn s3_10_the_stream_comes_back_over_every_transport() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.sdk();
        let producer = client.producer("c");
        let mut consumer = client.consumer("c", ConsumerOptions::default());
        producer.submit("one").await.expect("taken");
        next(&mut consumer).await.take().await;
        let gone = site.kill().await;
        let site = gone.restart(open()).await;
        let other = site.sdk().producer("c");
        let submitted = soon("the other producer", other.submit("two")).await;
        assert_eq!(submitted, Ok(1), "{url}: a channel of its own");
        assert_eq!(next(&mut consumer).await.message, "two", "{url}");
    }
}

/// S3-10: a consumer that is a group by itself comes back to another service, whose channel counts anew: what came there
/// before it has its place below the one that it asks for, and is not passed over.
#[tokio::test]
async fn s3_10_a_fan_out_consumer_that_comes_back_to_another_service_misses_nothing() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let producer = site.sdk().producer("c");
        let options = ConsumerOptions {
            mode: ConsumerMode::Fanout,
            ..ConsumerOptions::default()
        };
        let mut consumer = site.sdk().consumer("c", options);
        let submit = async {
            until("it to be there", || site.consumers("c") == 1).await;
            for text in ["one", "two", "three"] {
                producer.submit(text).await.expect("taken");
            }
        };
        let (received, ()) = tokio::join!(next(&mut consumer), submit);
        assert_eq!(received.message, "one", "{url}");
        assert_eq!(next(&mut consumer).await.message, "two", "{url}");

        let gone = site.kill().await;
        let site = gone.restart(open()).await;
        let other = site.sdk().producer("c");
        // As many as the last one that it received, and one more.
        for text in ["a", "b", "c"] {
            let submitted = soon("the other producer", other.submit(text)).await;
            submitted.expect("taken");
        }
        let mut texts = Vec::new();
        // The connection may break while a message of the old service is here already.
        while texts.last().is_none_or(|text| text != "c") {
            texts.push(next(&mut consumer).await.message.clone());
        }
        texts.retain(|text| text != "three");
        assert_eq!(texts, ["a", "b", "c"], "{url}");
    }
}

/// A service that says `UNAVAILABLE` to everybody, and when it was asked.
fn unavailable() -> (RpcClient, Arc<Mutex<Vec<Instant>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let router = Router::new();
    for method in ["Produce", "Consume"] {
        let asked = Arc::clone(&asked);
        router.stream(format!("/MessageSync/{method}"), move |call| {
            asked.lock().expect("not poisoned").push(Instant::now());
            let status = Status::new(Code::Unavailable, "not now");
            let _ = call.sender.finish(Err(status), Metadata::new());
            async {}
        });
    }
    let (client, server) = headwater_in_process::pair();
    let server = Server::new(server, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    (RpcClient::new(client), asked)
}

fn gaps(asked: &Mutex<Vec<Instant>>) -> Vec<Duration> {
    let asked = asked.lock().expect("not poisoned");
    asked.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// S3-10: with back-off and jitter.
#[tokio::test(start_paused = true)]
async fn s3_10_a_consumer_tries_again_after_waits_that_grow_and_vary() {
    let mut all = Vec::new();
    for seed in [1, 2] {
        let (client, asked) = unavailable();
        let config = ChannelConfig {
            seed: Some(seed),
            ..ChannelConfig::default()
        };
        let client = ChannelClient::over(client, config);
        let mut consumer = client.consumer("c", ConsumerOptions::default());
        let minute = Duration::from_secs(60);
        let waited = tokio::time::timeout(minute, consumer.recv()).await;
        assert!(waited.is_err(), "it never gives up");
        let gaps = gaps(&asked);
        assert!(gaps.len() >= 8, "{gaps:?}");
        let mut base: f64 = 0.2;
        for gap in &gaps {
            // Timers tick in milliseconds.
            let (least, most) = (base * 0.8 - 0.002, base * 1.2 + 0.002);
            let seconds = gap.as_secs_f64();
            assert!(
                (least..=most).contains(&seconds),
                "{seconds} for {base}: {gaps:?}"
            );
            base = (base * 1.6).min(10.0);
        }
        all.push(gaps);
    }
    assert_ne!(all[0], all[1], "two consumers do not come back together");
}

/// S3-10: a submission that no service has taken is tried again, within its time.
#[tokio::test(start_paused = true)]
async fn s3_10_a_producer_tries_again_for_as_long_as_it_was_told() {
    let (client, asked) = unavailable();
    let config = ChannelConfig {
        seed: Some(1),
        ..ChannelConfig::default()
    };
    let timeout = config.submit_timeout;
    let client = ChannelClient::over(client, config);
    let began = Instant::now();
    let submitted = client.producer("c").submit("m").await;
    let refused = Status::new(Code::Unavailable, "not now");
    assert_eq!(submitted, Err(SubmitError::NotSent(refused)));
    assert!(began.elapsed() <= timeout);
    assert!(gaps(&asked).len() >= 4, "{:?}", gaps(&asked));
}

/// S3-10: and one that finds no service waits for it.
#[tokio::test(start_paused = true)]
async fn s3_10_a_submission_waits_for_a_service_that_is_away() {
    let site = Site::start(open()).await;
    let producer = site.sdk().producer("c");
    let gone = site.kill().await;
    let submitting = tokio::spawn(async move { producer.submit("m").await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _site = gone.restart(open()).await;
    let submitted = submitting.await.expect("no panic");
    assert_eq!(submitted, Ok(1));
}

/// What was sent and never answered may be in the channel: the producer is told so, and it is not sent twice.
#[tokio::test(start_paused = true)]
async fn a_submission_whose_call_breaks_is_unknown_and_not_sent_again() {
    let calls = Arc::new(Mutex::new(0));
    let router = Router::new();
    let counted = Arc::clone(&calls);
    router.stream("/MessageSync/Produce", move |call| {
        *counted.lock().expect("not poisoned") += 1;
        // Nobody answers, and the stream is reset.
        call.sender.cancel();
        async {}
    });
    let (client, server) = headwater_in_process::pair();
    let server = Server::new(server, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    let client = ChannelClient::over(RpcClient::new(client), ChannelConfig::default());
    let submitted = client.producer("c").submit("m").await;
    assert!(
        matches!(submitted, Err(SubmitError::Unknown(_))),
        "{submitted:?}"
    );
    assert_eq!(*calls.lock().expect("not poisoned"), 1);
}

#[tokio::test]
async fn what_trying_again_does_not_heal_is_told() {
    let site = Site::start(headwater::ChannelsConfig::default()).await;
    let client = site.sdk();
    let submitted = client.producer("c").submit("m").await;
    let Err(SubmitError::Refused(status)) = submitted else {
        panic!("there is no token: {submitted:?}");
    };
    assert_eq!(status.code, Code::Unauthenticated);
    let mut consumer = client.consumer("c", ConsumerOptions::default());
    let refused = soon("an answer", consumer.recv()).await;
    let refused = refused.expect_err("there is no token");
    assert_eq!(refused.code, Code::Unauthenticated);
}

#[tokio::test]
async fn a_full_channel_is_told_to_the_producer() {
    let mut config = open();
    config.queue.messages_max = 1;
    let site = Site::start(config).await;
    let producer = site.sdk().producer("c");
    assert_eq!(producer.submit("fits").await, Ok(1));
    let submitted = producer.submit("does not").await;
    let Err(SubmitError::Refused(status)) = submitted else {
        panic!("the channel is full: {submitted:?}");
    };
    assert_eq!(status.code, Code::ResourceExhausted);
}
