//! One consumer has each message: the first version of the push channel.

use std::collections::BTreeSet;

use super::*;
use crate::support::*;

/// S3-01: the reply comes before any consumer exists. S3-05: what was submitted meanwhile waits.
#[tokio::test]
async fn s3_01_s3_05_a_submission_is_answered_at_once_and_waits_for_a_consumer() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        for (at, text) in (1..).zip(["a", "b", "c"]) {
            assert_eq!(submit(&client, "c", text).await, at, "{url}: its place");
        }
        assert_eq!(site.consumers("c"), 0);
        let mut consumer = Consumer::push(&client, channel("c")).await;
        assert_eq!(
            consumer.texts(3).await,
            ["a", "b", "c"],
            "{url}: first in, first out"
        );
    }
}

/// S3-02: delivery without a request for each message.
#[tokio::test]
async fn s3_02_one_request_has_every_message_pushed() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let (producer, client) = (site.client(), site.client());
        let mut consumer = Consumer::push(&client, channel("c")).await;
        for text in ["x", "y", "z"] {
            submit(&producer, "c", text).await;
            assert_eq!(consumer.text().await, text, "{url}");
        }
    }
}

/// S3-03: three producers, none of their messages lost, each one's in its order.
#[tokio::test]
async fn s3_03_three_producers_lose_nothing() {
    const MESSAGES: usize = 50;
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let mut consumer = Consumer::push(&site.client(), channel("c")).await;
        let producers = ["a", "b", "c"].map(|name| {
            let client = site.client();
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    submit(&client, "c", &format!("{name}{number}")).await;
                }
            })
        });
        let texts = consumer.texts(3 * MESSAGES).await;
        for (name, producer) in ["a", "b", "c"].into_iter().zip(producers) {
            producer.await.expect("no panic");
            let its = texts.iter().filter(|text| text.starts_with(name));
            let expected: Vec<_> = (0..MESSAGES)
                .map(|number| format!("{name}{number}"))
                .collect();
            assert!(its.eq(expected.iter()), "{url}: those of {name}");
        }
    }
}

/// S3-04: the name of a channel is the address of a site, which dials out: the only port is the service's.
#[tokio::test]
async fn s3_04_a_message_is_routed_to_the_site_that_dialled_in_by_that_name() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let mut here = Consumer::push(&site.client(), channel("site-1")).await;
        let mut there = Consumer::push(&site.client(), channel("site-2")).await;
        let cloud = site.client();
        submit(&cloud, "site-2", "for the second").await;
        submit(&cloud, "site-1", "for the first").await;
        assert_eq!(here.text().await, "for the first", "{url}");
        assert_eq!(there.text().await, "for the second", "{url}");
    }
}

/// S3-06: two consumers, 100 messages: each goes to exactly one.
#[tokio::test]
async fn s3_06_each_of_100_messages_goes_to_exactly_one_of_two_consumers() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let mut one = Consumer::push(&client, channel("c")).await;
        let mut other = Consumer::push(&site.client(), channel("c")).await;
        for number in 0..100 {
            submit(&client, "c", &number.to_string()).await;
        }
        // They have them by turns, so that it is known how many to wait for.
        let one: BTreeSet<_> = one.texts(50).await.into_iter().collect();
        let other: BTreeSet<_> = other.texts(50).await.into_iter().collect();
        assert_eq!(one.union(&other).count(), 100, "{url}: nothing is lost");
        assert_eq!(
            one.intersection(&other).count(),
            0,
            "{url}: nothing came twice"
        );
    }
}

/// S3-07: no call sets a channel up, from either side; and one that nobody uses is not there.
#[tokio::test]
async fn s3_07_a_channel_begins_with_the_first_call_that_names_it() {
    let site = Site::start(open()).await;
    let client = site.client();
    assert_eq!(site.service.channel_counters("consumed"), None);
    let mut consumer = Consumer::push(&client, channel("consumed")).await;
    assert_eq!(site.consumers("consumed"), 1);
    submit(&client, "consumed", "m").await;
    assert_eq!(consumer.text().await, "m");
    submit(&client, "submitted", "m").await;
    assert_eq!(site.waiting("submitted"), 1);

    let empty = Consumer::push(&client, channel("left again")).await;
    drop(empty);
    let gone = || site.service.channel_counters("left again").is_none();
    until("the channel to be dropped", gone).await;
}

/// S3-08: two channels.
#[tokio::test]
async fn s3_08_channels_do_not_leak_into_each_other() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        for (name, text) in [("left", "l1"), ("right", "r1"), ("left", "l2")] {
            submit(&client, name, text).await;
        }
        let mut left = Consumer::push(&client, channel("left")).await;
        let mut right = Consumer::push(&client, channel("right")).await;
        assert_eq!(left.texts(2).await, ["l1", "l2"], "{url}");
        assert_eq!(right.text().await, "r1", "{url}");
        submit(&client, "right", "r2").await;
        assert_eq!(right.text().await, "r2", "{url}");
        for name in ["left", "right"] {
            let counters = site.service.channel_counters(name).expect("it is there");
            let counted = (counters.submitted, counters.delivered);
            assert_eq!(counted, (2, 2), "{url}: those of {name} and no more");
        }
    }
}

/// S3-18: a consumer that cancels is no consumer any more, without any time passing.
#[tokio::test]
async fn s3_18_a_consumer_that_leaves_is_noticed_within_one_tick() {
    for url in upstream_urls() {
        let site = Site::at(&url, open()).await;
        let client = site.client();
        let leaving = Consumer::push(&client, channel("c")).await;
        let mut staying = Consumer::push(&client, channel("c")).await;
        assert_eq!(site.consumers("c"), 2, "{url}");
        drop(leaving);
        until("the consumer to leave", || site.consumers("c") == 1).await;
        for text in ["x", "y"] {
            submit(&client, "c", text).await;
            assert_eq!(staying.text().await, text, "{url}: nobody else is given it");
        }
    }
}

/// S3-18: in virtual time, none of which passes.
#[tokio::test(start_paused = true)]
async fn s3_18_a_consumer_that_leaves_costs_no_wait() {
    let site = Site::start(open()).await;
    let client = site.client();
    let consumer = Consumer::push(&client, channel("c")).await;
    let before = tokio::time::Instant::now();
    drop(consumer);
    while site.service.channel_counters("c").is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(before.elapsed(), std::time::Duration::ZERO);
}

/// S3-17: 10,000 idle consumers in one process hold nobody up.
#[tokio::test]
async fn s3_17_10000_idle_consumers_hold_nobody_up() {
    const CONSUMERS: usize = 10_000;
    let site = Site::start(open()).await;
    let client = site.client();
    let mut consumers = Vec::new();
    for number in 0..CONSUMERS {
        // Half of them alone in their channel, the others all in one.
        let name = if number % 2 == 0 {
            format!("c{number}")
        } else {
            "crowd".into()
        };
        consumers.push(Consumer::push(&client, channel(&name)).await);
    }
    assert_eq!(site.consumers("crowd"), CONSUMERS / 2);
    submit(&client, "c4444", "wake up").await;
    assert_eq!(consumers[4444].text().await, "wake up");
    submit(&client, "crowd", "for the one who waits longest").await;
    assert_eq!(consumers[1].text().await, "for the one who waits longest");
}
