//! Full channels, expiry, slow consumers, history, and when a channel is idle.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// S3-19: limit and policy. One message more is refused, by number or size; what is there is not disturbed.
#[test]
fn s3_19_a_full_channel_refuses_and_goes_on() {
    let mut channel = Channel::new(QueueConfig {
        messages_max: 3,
        bytes_max: 10,
        ..QueueConfig::default()
    });
    assert_eq!(channel.submit("12345678901"), Err(Refusal::TooLarge(10)));
    channel.submit_all(&["1234", "12345"]);
    assert_eq!(channel.submit("12"), Err(Refusal::Full), "11 bytes");
    channel.submit_all(&["1"]);
    assert_eq!(channel.submit(""), Err(Refusal::Full), "4 messages");
    let consumer = channel.acknowledging();
    assert_eq!(channel.fresh(consumer), ["1234", "12345", "1"]);
    assert_eq!(channel.submit("1"), Err(Refusal::Full), "not taken yet");
    channel.taken(consumer, 1..=2);
    channel.submit_all(&["2", "3"]);
    assert_eq!(channel.fresh(consumer), ["2", "3"]);
    assert_eq!(channel.queue.counters().refused, 4);
}

/// S3-19: the other policy. The oldest go, in the consumer's hands or not, and are counted.
#[test]
fn s3_19_a_full_channel_may_drop_the_oldest() {
    let mut channel = Channel::new(QueueConfig {
        messages_max: 3,
        full: Full::DropOldest,
        ..QueueConfig::default()
    });
    channel.submit_all(&["1", "2", "3", "4", "5"]);
    let one = channel.subscribe(NewConsumer {
        taking: Taking::Acknowledged { window: 1 },
        ..NewConsumer::default()
    });
    assert_eq!(channel.fresh(one), ["3"]);
    channel.submit_all(&["6"]);
    assert_eq!(channel.queue.counters().dropped, 3);
    channel.leave(one, Left::Broken);
    let other = channel.plain();
    assert_eq!(channel.fresh(other), ["4", "5", "6"]);
    assert_eq!(channel.queue.counters().waiting, 3);
}

/// S3-19: what comes back from a lost connection is the oldest again.
#[test]
fn s3_19_what_comes_back_is_dropped_before_what_is_newer() {
    let mut channel = Channel::new(QueueConfig {
        messages_max: 2,
        full: Full::DropOldest,
        ..QueueConfig::default()
    });
    let one = channel.plain();
    channel.submit_all(&["1", "2"]);
    channel.written(one, 2);
    channel.submit_all(&["3", "4", "5"]);
    assert_eq!(
        channel.queue.counters().dropped,
        1,
        "3, for the others were written"
    );
    channel.leave(one, Left::Broken);
    assert_eq!(channel.queue.counters().waiting, 4);
    channel.submit_all(&["6"]);
    let other = channel.plain();
    let pushed = channel.pushed(other);
    let texts: Vec<String> = pushed.into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["5", "6"]);
}

/// S3-19: what is in doubt does not make a channel full.
#[test]
fn s3_19_what_was_written_makes_room() {
    let mut channel = Channel::new(QueueConfig {
        messages_max: 2,
        ..QueueConfig::default()
    });
    let consumer = channel.plain();
    for message in numbers(1..=20) {
        channel.submit_all(&[&message]);
        channel.written(consumer, 1);
    }
    channel.leave(consumer, Left::Broken);
    let next = channel.plain();
    assert_eq!(channel.again(next), ["19", "20"], "two may be in doubt");
}

/// S3-19: TTL. A message expires after its own time or the channel's, and is pushed to nobody afterwards.
#[test]
fn s3_19_an_expired_message_is_never_pushed() {
    let mut channel = Channel::new(QueueConfig::default());
    let now = channel.now;
    for (message, seconds) in [("1", None), ("2", Some(5)), ("3", Some(1)), ("4", Some(9))] {
        let time = seconds.map(Duration::from_secs);
        let submitted = channel.queue.submit(message.into(), time, now);
        submitted.expect("there is room");
    }
    channel.drain();
    let due = |channel: &Channel| channel.queue.poll_timeout().map(|due| (due.at, due.why));
    assert_eq!(due(&channel), Some((Time::ZERO + SECOND, Why::Expiry)));
    channel.pass(5 * SECOND);
    assert_eq!(due(&channel), Some((Time::ZERO + 9 * SECOND, Why::Expiry)));
    let consumer = channel.acknowledging();
    assert_eq!(channel.fresh(consumer), ["1", "4"]);
    assert_eq!(channel.queue.counters().expired, 2);
    channel.pass(4 * SECOND);
    channel.returned(consumer, 4..=4);
    assert_eq!(
        channel.queue.counters().expired,
        3,
        "in its hands it did not"
    );
    channel.taken(consumer, 1..=1);
    assert_eq!(channel.queue.counters().waiting, 0);
    let kept = channel.queue.history(0, 10, usize::MAX).messages;
    assert_eq!(kept.len(), 1, "they leave history too");
    channel.submit_all(&["5"]);
    channel.leave(consumer, Left::Broken);
    channel.pass(2 * DAY);
    let other = channel.plain();
    assert!(channel.pushed(other).is_empty(), "the default time");
    assert_eq!(due(&channel), None);
}

#[test]
fn a_message_that_expires_in_a_consumers_hands_may_still_be_taken() {
    let mut channel = Channel::new(QueueConfig {
        ack_timeout: 2 * DAY,
        ..QueueConfig::default()
    });
    let consumer = channel.acknowledging();
    channel.submit_all(&["1", "2"]);
    channel.pass(DAY);
    channel.taken(consumer, 1..=1);
    let counters = channel.queue.counters();
    assert_eq!((counters.taken, counters.expired), (1, 0));
    channel.leave(consumer, Left::Broken);
    let counters = channel.queue.counters();
    assert_eq!((counters.taken, counters.expired), (1, 1));
    assert!(channel.queue.is_idle(), "nothing is kept of them");
}

/// A plain consumer that does not read is ended; what it was pushed goes to the next one.
#[test]
fn a_consumer_that_takes_nothing_for_a_while_is_ended() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.plain();
    channel.pass(100 * SECOND);
    channel.submit_all(&["1", "2", "3"]);
    channel.pass(29 * SECOND);
    channel.written(one, 1);
    channel.pass(29 * SECOND);
    assert!(channel.ended.is_empty(), "it has taken something");
    let other = channel.plain();
    channel.pass(SECOND);
    assert!(channel.ended.contains(&one));
    assert_eq!(channel.again(other), ["2", "3"], "the doubt is over for 1");
    channel.written(other, 2);
    channel.pass(100 * SECOND);
    assert!(!channel.ended.contains(&other), "it has nothing to take");
    let counters = channel.queue.counters();
    assert_eq!((counters.taken, counters.too_slow), (3, 1));
}

/// S3-21: history for those who come late, paged by offset, taken or not.
#[test]
fn s3_21_history_is_paged_by_offset() {
    let mut channel = Channel::new(QueueConfig {
        history_messages_max: 5,
        ..QueueConfig::default()
    });
    let consumer = channel.acknowledging();
    for message in numbers(1..=8) {
        channel.submit_all(&[&message]);
    }
    channel.taken(consumer, 2..=8);
    let offsets = |from, limit, bytes_max| {
        let page = channel.queue.history(from, limit, bytes_max);
        let offsets: Vec<u64> = page.messages.iter().map(|kept| kept.offset).collect();
        (offsets, page.next_offset)
    };
    let all = usize::MAX;
    assert_eq!(offsets(0, 3, all), (vec![1, 4, 5], 6), "1 waits");
    assert_eq!(offsets(6, 3, all), (vec![6, 7, 8], 0));
    assert_eq!(offsets(2, 3, 2), (vec![4, 5], 6), "two bytes");
    assert_eq!(offsets(2, 3, 0), (vec![4], 5), "one message at least");
    assert_eq!(offsets(9, 3, all), (vec![], 0));
    assert_eq!(offsets(u64::MAX, 3, all), (vec![], 0));
}

/// S3-21: history is bounded in bytes too, and shows nothing that is not stored.
#[test]
fn s3_21_history_is_bounded() {
    let mut channel = Channel::new(QueueConfig {
        mode: Mode::Fanout,
        history_bytes_max: 10,
        ..QueueConfig::default()
    });
    channel.submit_all(&["1234", "1234", "123456"]);
    let page = channel.queue.history(0, 10, usize::MAX);
    assert_eq!(page.messages.len(), 2);
    channel.submit_all(&["12345678901"]);
    let page = channel.queue.history(0, 10, usize::MAX);
    assert!(page.messages.is_empty(), "that is more than it may have");
    let now = channel.now;
    let submitted = channel.queue.submit("1".into(), None, now);
    assert_eq!(submitted, Ok(5));
    let page = channel.queue.history(0, 10, usize::MAX);
    assert!(page.messages.is_empty(), "not stored yet");
}

/// A channel may end when nobody would miss it; history alone keeps it until it expires.
#[test]
fn a_channel_is_idle_once_its_history_has_expired() {
    let mut channel = Channel::new(QueueConfig::default());
    assert!(channel.queue.is_idle());
    let consumer = channel.plain();
    assert!(!channel.queue.is_idle(), "somebody consumes");
    channel.submit_all(&["1"]);
    channel.written(consumer, 1);
    channel.leave(consumer, Left::Cancelled);
    assert!(!channel.queue.is_idle(), "history keeps it");
    channel.pass(DAY);
    assert!(channel.queue.is_idle());
    assert_eq!(channel.queue.poll_timeout(), None);
}

/// One message that waits for long does not keep the memory of all that came after it.
#[test]
fn a_message_that_waits_keeps_no_others() {
    let mut channel = Channel::new(QueueConfig::default());
    let one = channel.acknowledging();
    for number in 1..=20_000 {
        channel.submit_all(&[&format!("{number}")]);
        channel.taken(one, number.max(2)..=number);
    }
    assert!(
        channel.queue.ledger.log.slots() < 5000,
        "slots are left behind"
    );
    channel.leave(one, Left::Broken);
    let other = channel.acknowledging();
    assert_eq!(channel.again(other), ["1"]);
    let page = channel.queue.history(0, 2, usize::MAX);
    assert_eq!(page.messages[0].offset, 1);
    channel.leave(other, Left::Broken);
    channel.pass(DAY);
    assert!(channel.queue.is_idle(), "it expires as it would have");
    assert_eq!(channel.queue.counters().expired, 1);
}

/// S3-19: a producer that is refused for what waits costs no fan-out consumer its place.
#[test]
fn s3_19_a_refused_message_ends_nobody() {
    let mut channel = Channel::new(QueueConfig {
        bytes_max: 10,
        ..QueueConfig::default()
    });
    let fanout = channel.subscribe(NewConsumer {
        mode: Some(Mode::Fanout),
        ..NewConsumer::default()
    });
    let shared = channel.acknowledging();
    channel.submit_all(&["12345678"]);
    channel.taken(shared, 1..=1);
    channel.submit_all(&["12", "12", "12", "12"]);
    assert_eq!(channel.submit("1234"), Err(Refusal::Full));
    assert_eq!(channel.queue.counters().too_slow, 0);
    assert!(!channel.ended.contains(&fanout));
}
