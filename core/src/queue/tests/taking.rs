//! When a message is taken, and when it is pushed again.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// S3-16: what an acknowledging consumer did not take goes to the next one, however it left; what it took does not.
#[test]
fn s3_16_what_was_not_acknowledged_goes_to_the_next_consumer() {
    for how in [Left::Broken, Left::Cancelled] {
        let mut channel = Channel::new(QueueConfig::default());
        let one = channel.acknowledging();
        channel.submit_all(&["1", "2", "3", "4"]);
        assert_eq!(channel.fresh(one), numbers(1..=4));
        channel.taken(one, 2..=3);
        channel.leave(one, how);
        let other = channel.acknowledging();
        assert_eq!(channel.again(other), ["1", "4"], "{how:?}");
        channel.taken(other, 1..=4);
        assert_eq!(channel.queue.counters().taken, 4);
        assert_eq!(channel.queue.counters().waiting, 0);
    }
}

/// S3-16: what was written to a connection that was then lost is pushed again: duplicates rather than loss. What was
/// written to one that worked until its call ended is not.
#[test]
fn s3_16_what_was_written_is_in_doubt_until_the_end_of_the_connection() {
    for (how, expected) in [
        (Left::Broken, vec!["1", "2", "3"]),
        (Left::Cancelled, vec!["3"]),
    ] {
        let mut channel = Channel::new(QueueConfig::default());
        let one = channel.plain();
        channel.submit_all(&["1", "2", "3"]);
        channel.written(one, 2);
        assert_eq!(channel.queue.counters().taken, 0, "they are in doubt");
        channel.leave(one, how);
        let other = channel.plain();
        assert_eq!(channel.again(other), expected, "{how:?}");
    }
}

#[test]
fn s3_16_doubts_end_after_a_time_and_by_number_and_by_size() {
    let mut channel = Channel::new(QueueConfig {
        in_doubt_messages_max: 3,
        in_doubt_bytes_max: 10,
        ..QueueConfig::default()
    });
    let one = channel.plain();
    channel.submit_all(&["1", "2", "3", "4"]);
    channel.written(one, 4);
    assert_eq!(channel.queue.counters().taken, 1, "three may be in doubt");
    channel.pass(20 * SECOND);
    channel.submit_all(&["12345678"]);
    channel.written(one, 1);
    assert_eq!(channel.queue.counters().taken, 2, "ten bytes may be");
    channel.pass(10 * SECOND);
    assert_eq!(channel.queue.counters().taken, 4, "their time is over");
    channel.leave(one, Left::Broken);
    let other = channel.plain();
    assert_eq!(channel.again(other), ["12345678"]);
}

/// What is in doubt at many consumers is bounded too: who adds to it gives up its own.
#[test]
fn doubts_of_all_consumers_keep_within_the_bounds_of_the_channel() {
    let mut channel = Channel::new(QueueConfig {
        messages_max: 3,
        ..QueueConfig::default()
    });
    let consumers = [channel.plain(), channel.plain()];
    for number in 1..=6 {
        channel.submit_all(&[&format!("{number}")]);
        let consumer = consumers[number % 2];
        channel.written(consumer, 1);
        let other = consumers[(number + 1) % 2];
        channel.written(other, 1);
    }
    let counters = channel.queue.counters();
    assert_eq!((counters.taken, counters.waiting), (3, 0), "three may be");
}

#[test]
fn a_returned_message_is_pushed_again_first_and_marked() {
    let mut channel = Channel::new(QueueConfig::default());
    let consumer = channel.subscribe(NewConsumer {
        taking: Taking::Acknowledged { window: 3 },
        ..NewConsumer::default()
    });
    channel.submit_all(&["1", "2", "3", "4", "5"]);
    assert_eq!(channel.fresh(consumer), ["1", "2", "3"]);
    let ranges = vec![3..=3, 1..=1];
    channel.handle(Input::Returned { consumer, ranges });
    assert_eq!(
        channel.again(consumer),
        ["1", "3"],
        "before what is new, and in the order of the channel"
    );
    channel.taken(consumer, 1..=3);
    assert_eq!(channel.fresh(consumer), ["4", "5"]);
}

/// As `ack_wait` of JetStream and the visibility timeout of SQS: the message goes to the group again, the consumer stays.
#[test]
fn a_message_that_is_held_too_long_is_pushed_again_and_its_consumer_stays() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.acknowledging();
    channel.submit_all(&["1"]);
    channel.pass(200 * SECOND);
    channel.submit_all(&["2"]);
    assert_eq!(channel.fresh(one), ["1", "2"]);
    let other = channel.acknowledging();
    channel.submit_all(&["3"]);
    assert_eq!(channel.fresh(one), ["3"]);
    channel.pass(100 * SECOND);
    assert_eq!(channel.again(other), ["1"], "after five minutes");
    assert!(channel.pushed(one).is_empty());
    channel.taken(one, 2..=3);
    channel.taken(other, 1..=1);
    assert_eq!(channel.queue.counters().taken, 3);
    assert!(channel.ended.is_empty(), "nobody was ended");
}

#[test]
fn a_late_answer_saves_a_duplicate_while_the_message_waits() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.subscribe(NewConsumer {
        taking: Taking::Acknowledged { window: 1 },
        ..NewConsumer::default()
    });
    channel.submit_all(&["1"]);
    let other = channel.subscribe(NewConsumer {
        taking: Taking::Acknowledged { window: 1 },
        ..NewConsumer::default()
    });
    channel.submit_all(&["2"]);
    channel.leave(one, Left::Broken);
    assert_eq!(channel.fresh(other), ["2"], "there is no room for another");
    channel.taken(other, 1..=1);
    channel.taken(other, 2..=2);
    assert!(channel.pushed(other).is_empty(), "both are taken");
    assert_eq!(channel.queue.counters().taken, 2);
}

/// Whatever a peer says of messages that it does not hold changes nothing.
#[test]
fn answers_about_messages_of_others_are_ignored() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.acknowledging();
    channel.submit_all(&["1"]);
    let other = channel.acknowledging();
    let plain = channel.plain();
    let before = channel.queue.counters();
    #[expect(clippy::reversed_empty_ranges, reason = "a peer may send one")]
    let ranges = vec![1..=1, 0..=u64::MAX, 2..=9, 1..=0, u64::MAX..=0];
    for consumer in [other, plain] {
        let ranges = ranges.clone();
        channel.handle(Input::Taken { consumer, ranges });
        let ranges = vec![0..=u64::MAX];
        channel.handle(Input::Returned { consumer, ranges });
    }
    channel.written(one, 1);
    assert_eq!(channel.queue.counters(), before);
    channel.taken(one, 1..=1);
    channel.taken(one, 1..=1);
    assert_eq!(channel.queue.counters().taken, 1, "once");
    channel.leave(one, Left::Broken);
    channel.leave(one, Left::Broken);
    assert!(channel.pushed(other).is_empty());
}

#[test]
fn a_consumer_is_pushed_no_more_than_its_window_holds() {
    let mut channel = Channel::new(QueueConfig {
        window_bytes: 10,
        window_messages_max: 5,
        ..QueueConfig::default()
    });
    channel.submit_all(&["1234", "1234", "1234", "1", "1", "1", "1", "1", "1"]);
    let consumer = channel.subscribe(NewConsumer {
        taking: Taking::Acknowledged { window: u32::MAX },
        ..NewConsumer::default()
    });
    assert_eq!(channel.pushed(consumer).len(), 3, "the last may pass it");
    channel.taken(consumer, 1..=1);
    assert_eq!(
        channel.pushed(consumer).len(),
        2,
        "one byte, two bytes more"
    );
    channel.taken(consumer, 2..=3);
    assert_eq!(channel.pushed(consumer).len(), 3, "five in all");
}

/// S3-12 on the way back: what several consumers leave behind comes in the order of the channel.
#[test]
fn s3_12_what_is_pushed_again_is_in_order() {
    let mut channel = Channel::new(QueueConfig::default());
    let consumers = [channel.acknowledging(), channel.acknowledging()];
    for message in numbers(1..=6) {
        channel.submit_all(&[&message]);
    }
    for consumer in consumers {
        channel.leave(consumer, Left::Broken);
    }
    channel.submit_all(&["7"]);
    let next = channel.acknowledging();
    let pushed = channel.pushed(next);
    let texts: Vec<String> = pushed.iter().map(|(text, _)| text.clone()).collect();
    assert_eq!(texts, numbers(1..=7));
    assert!(!pushed[6].1, "the last one was not pushed before");
}
