//! Messages and consumers of the group without a name.

use super::*;

/// S3-05: messages wait for the first consumer. S3-12: first in, first out. S3-13: all that wait are pushed at once.
/// S3-01: the producer was answered before.
#[test]
fn s3_05_s3_12_s3_13_messages_wait_for_the_first_consumer_in_order() {
    let mut channel = Channel::new(QueueConfig::default());
    channel.submit_all(&["a", "b", "c"]);
    let consumer = channel.plain();
    assert_eq!(channel.fresh(consumer), ["a", "b", "c"]);
}

/// S3-02: one that is there is pushed what comes. S3-07: no setup call.
#[test]
fn s3_02_s3_07_a_consumer_that_came_first_is_pushed_each_message() {
    let mut channel = Channel::new(QueueConfig::default());
    let consumer = channel.plain();
    for message in ["a", "b"] {
        channel.submit_all(&[message]);
        assert_eq!(channel.fresh(consumer), [message]);
        channel.written(consumer, 1);
    }
}

/// S3-06: the union of what two consumers were pushed is all, the intersection nothing; and they share alike.
#[test]
fn s3_06_two_consumers_share_a_hundred_messages() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.plain();
    let other = channel.plain();
    for message in numbers(1..=100) {
        channel.submit_all(&[&message]);
    }
    let mut all = channel.fresh(one);
    let others = channel.fresh(other);
    assert_eq!((all.len(), others.len()), (50, 50));
    all.extend(others);
    all.sort_by_key(|text| text.parse::<u64>().expect("a number"));
    assert_eq!(all, numbers(1..=100));
}

/// S3-08: what is submitted to one channel is not pushed by another.
#[test]
fn s3_08_channels_share_nothing() {
    let mut one = Channel::new(QueueConfig::default());
    let mut other = Channel::new(QueueConfig::default());
    let (of_one, of_other) = (one.plain(), other.plain());
    one.submit_all(&["a"]);
    other.submit_all(&["b"]);
    assert_eq!(one.fresh(of_one), ["a"]);
    assert_eq!(other.fresh(of_other), ["b"]);
}

/// S3-15: one message for two consumers goes to one of them, and the other is not disturbed.
#[test]
fn s3_15_one_message_for_two_consumers() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.plain();
    let other = channel.plain();
    channel.submit_all(&["a"]);
    assert_eq!(channel.fresh(one), ["a"]);
    assert!(channel.fresh(other).is_empty());
    channel.submit_all(&["b"]);
    assert_eq!(channel.fresh(other), ["b"], "its turn");
}

/// S3-16, S3-18: a message that was not written when its consumer left goes to the next one in the same turn.
#[test]
fn s3_16_s3_18_what_was_not_written_goes_to_the_next_consumer() {
    for how in [Left::Broken, Left::Cancelled] {
        let mut channel = Channel::new(QueueConfig::default());
        let one = channel.plain();
        channel.submit_all(&["a", "b"]);
        assert_eq!(channel.fresh(one), ["a", "b"]);
        let other = channel.plain();
        channel.leave(one, how);
        assert_eq!(channel.again(other), ["a", "b"], "{how:?}");
        channel.submit_all(&["c"]);
        assert_eq!(channel.fresh(other), ["c"]);
        assert!(channel.fresh(one).is_empty(), "it has left");
    }
}

/// S3-17, S3-22: consumers that wait cost nothing: no timer and no polling, and a message disturbs only the one that is
/// pushed it.
#[test]
fn s3_17_s3_22_ten_thousand_idle_consumers_only_wait() {
    let mut channel = Channel::new(QueueConfig::default());
    let consumers: Vec<ConsumerKey> = (0..10_000).map(|_| channel.plain()).collect();
    assert_eq!(channel.queue.poll_timeout(), None, "nothing is due");
    channel.submit_all(&["a", "b"]);
    assert_eq!(channel.queue.counters().delivered, 2);
    assert_eq!(channel.fresh(consumers[0]), ["a"]);
    assert_eq!(channel.fresh(consumers[1]), ["b"]);
    for consumer in &consumers[1..] {
        channel.leave(*consumer, Left::Broken);
    }
    assert_eq!(channel.again(consumers[0]), ["b"], "it is the last one");
}
