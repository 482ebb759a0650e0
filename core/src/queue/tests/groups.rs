//! Groups, fan-out, and what is kept for whom.

use super::*;

fn named(group: &str, from_offset: u64) -> NewConsumer {
    NewConsumer {
        group: Name::new(group).expect("it is short"),
        from_offset,
        ..NewConsumer::default()
    }
}

fn fanout(from_offset: u64) -> NewConsumer {
    NewConsumer {
        mode: Some(Mode::Fanout),
        from_offset,
        ..NewConsumer::default()
    }
}

/// S3-11: every group has every message since it began, and one consumer of it each.
#[test]
fn s3_11_each_group_has_each_message_once() {
    let mut channel = Channel::new(QueueConfig::default());
    let nameless = channel.plain();
    let of_a = [
        channel.subscribe(named("a", 0)),
        channel.subscribe(named("a", 0)),
    ];
    let of_b = channel.subscribe(named("b", 0));
    for message in numbers(1..=10) {
        channel.submit_all(&[&message]);
    }
    assert_eq!(channel.fresh(nameless), numbers(1..=10));
    assert_eq!(channel.fresh(of_b), numbers(1..=10));
    let mut both = channel.fresh(of_a[0]);
    both.extend(channel.fresh(of_a[1]));
    both.sort_by_key(|text| text.parse::<u64>().expect("a number"));
    assert_eq!(both, numbers(1..=10));
}

/// S3-11: a named group keeps its place while it has no consumer.
#[test]
fn s3_11_messages_wait_for_a_named_group() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.subscribe(named("a", 0));
    channel.leave(one, Left::Cancelled);
    channel.submit_all(&["1", "2"]);
    let other = channel.subscribe(named("a", 1));
    assert_eq!(channel.fresh(other), ["1", "2"]);
}

/// S3-11, S3-22: a fan-out consumer is one by subscription: two of the same kind have everything, each.
#[test]
fn s3_11_s3_22_every_fan_out_consumer_has_every_message() {
    let mut channel = Channel::new(QueueConfig {
        mode: Mode::Fanout,
        ..QueueConfig::default()
    });
    channel.submit_all(&["before"]);
    assert_eq!(channel.queue.counters().waiting, 0, "nobody waits for it");
    let consumers = [channel.plain(), channel.plain(), channel.plain()];
    channel.submit_all(&["1", "2"]);
    for consumer in consumers {
        assert_eq!(channel.fresh(consumer), ["1", "2"]);
    }
    channel.leave(consumers[0], Left::Broken);
    channel.submit_all(&["3"]);
    assert!(channel.pushed(consumers[0]).is_empty());
    assert_eq!(channel.fresh(consumers[1]), ["3"]);
    assert_eq!(channel.queue.counters().groups, 2);
}

/// S3-11: in a channel of this mode the group without a name begins like a named one.
#[test]
fn s3_11_a_shared_group_in_a_fan_out_channel() {
    let mut channel = Channel::new(QueueConfig {
        mode: Mode::Fanout,
        ..QueueConfig::default()
    });
    channel.submit_all(&["1", "2"]);
    let shared = NewConsumer {
        mode: Some(Mode::Shared),
        from_offset: 2,
        ..NewConsumer::default()
    };
    let one = channel.subscribe(shared.clone());
    assert_eq!(channel.fresh(one), ["2"]);
    channel.leave(one, Left::Broken);
    let other = channel.subscribe(shared);
    assert_eq!(channel.again(other), ["2"]);
}

/// A group begins where it says, of what is kept; what has not come yet is from now on.
#[test]
fn a_group_begins_at_an_offset() {
    for (from, expected) in [
        (0, vec!["6"]),
        (1, vec!["3", "4", "5", "6"]),
        (4, vec!["4", "5", "6"]),
        (6, vec!["6"]),
        (u64::MAX, vec!["6"]),
    ] {
        for new in [named("a", from), fanout(from)] {
            let mut channel = Channel::new(QueueConfig {
                mode: Mode::Fanout,
                history_messages_max: 3,
                ..QueueConfig::default()
            });
            channel.submit_all(&["1", "2", "3", "4", "5"]);
            let consumer = channel.subscribe(new);
            channel.submit_all(&["6"]);
            assert_eq!(channel.fresh(consumer), expected, "from {from}");
        }
    }
}

#[test]
fn one_message_is_one_allocation_for_a_thousand_consumers() {
    let mut channel = Channel::new(QueueConfig::default());
    for _ in 0..1000 {
        channel.subscribe(fanout(0));
    }
    let message = bytes::Bytes::from(vec![7_u8; 100]);
    let place = message.as_ptr();
    let now = channel.now;
    let offset = channel.queue.submit(message, None, now);
    assert_eq!(offset, Ok(1));
    channel.queue.handle(Input::Persisted { through: 1 }, now);
    let mut delivered = 0;
    while let Some(output) = channel.queue.poll_output() {
        if let Output::Deliver { message, .. } = output {
            assert_eq!(message.as_ptr(), place, "it was copied");
            delivered += 1;
        }
    }
    assert_eq!(delivered, 1000);
}

/// S3-19: one that reads too slowly does not make the channel full for others: it is ended, and told why.
#[test]
fn s3_19_a_fan_out_consumer_far_behind_is_ended_and_disturbs_nobody() {
    let mut channel = Channel::new(QueueConfig {
        mode: Mode::Fanout,
        messages_max: 10,
        window_messages: 2,
        history_messages_max: 0,
        ..QueueConfig::default()
    });
    let slow = channel.plain();
    let fast = channel.plain();
    for number in 1..=30 {
        channel.submit_all(&[&format!("{number}")]);
        channel.written(fast, 1);
        assert_eq!(channel.ended.contains(&slow), number > 10, "at {number}");
    }
    assert_eq!(channel.fresh(fast), numbers(1..=30));
    assert_eq!(channel.fresh(slow), ["1", "2"], "its window");
    let counters = channel.queue.counters();
    assert_eq!((counters.too_slow, counters.left_behind), (1, 10));
    assert!(!channel.ended.contains(&fast));
}

/// S3-19: groups and consumers have bounds, and each answer says which.
#[test]
fn s3_19_one_more_group_or_consumer_is_refused() {
    let mut channel = Channel::new(QueueConfig {
        groups_max: 2,
        consumers_max: 4,
        ..QueueConfig::default()
    });
    channel.subscribe(named("a", 0));
    let now = channel.now;
    let refused = channel.queue.subscribe(named("b", 0), now);
    assert_eq!(refused, Err(Refusal::TooManyGroups(2)));
    channel.subscribe(named("a", 0));
    channel.plain();
    let last = channel.subscribe(fanout(0));
    let refused = channel.queue.subscribe(named("a", 0), now);
    assert_eq!(refused, Err(Refusal::TooManyConsumers(4)));
    channel.leave(last, Left::Cancelled);
    channel.subscribe(named("a", 0));
    let contradiction = NewConsumer {
        mode: Some(Mode::Fanout),
        ..named("a", 0)
    };
    let refused = channel.queue.subscribe(contradiction, now);
    assert_eq!(refused, Err(Refusal::GroupOfFanout));
}

/// A name has one bound, checked in one place: 256 bytes, not characters, whatever they are.
#[test]
fn a_name_of_ten_megabytes_is_refused() {
    for (name, is_good) in [
        (String::new(), true),
        ("é".repeat(128), true),
        ("é".repeat(129), false),
        ("\n\0".into(), true),
        ("a".repeat(10 << 20), false),
    ] {
        let checked = Name::new(&name);
        assert_eq!(checked.is_ok(), is_good, "{} bytes", name.len());
        let status = checked.err().map(headwater_proto::Status::from);
        assert!(
            status.is_none_or(
                |status| status.code == headwater_proto::Code::InvalidArgument
                    && status.message.len() < 100
            ),
            "the answer is short and the client's fault"
        );
    }
}
