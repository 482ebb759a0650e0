//! What the driver is asked to store, and in which order things come.

use super::*;

fn outputs(queue: &mut Queue) -> Vec<String> {
    let mut outputs = Vec::new();
    while let Some(output) = queue.poll_output() {
        outputs.push(match output {
            Output::Persist { offset, .. } => format!("persist {offset}"),
            Output::PersistTaken { group, offsets } => format!("taken {group}{offsets:?}"),
            Output::Confirm { through } => format!("confirm {through}"),
            Output::Deliver { to, offset, .. } => format!("deliver {offset} to {}", to.0),
            Output::End { consumer, .. } => format!("end {}", consumer.0),
        });
    }
    outputs
}

/// S3-19: a message is pushed and confirmed only when it is stored, and its taking is stored too.
#[test]
fn s3_19_storage_comes_before_confirmation_and_delivery() {
    let now = Time::ZERO;
    let mut queue = Queue::new(QueueConfig::default());
    let consumer = queue.subscribe(
        NewConsumer {
            taking: Taking::Acknowledged { window: 0 },
            ..NewConsumer::default()
        },
        now,
    );
    let consumer = consumer.expect("it is the first");
    let fanout = NewConsumer {
        mode: Some(Mode::Fanout),
        ..NewConsumer::default()
    };
    let fanout = queue.subscribe(fanout, now).expect("there is room");
    for message in ["1", "2", "3"] {
        queue
            .submit(message.into(), None, now)
            .expect("there is room");
    }
    assert_eq!(outputs(&mut queue), ["persist 1", "persist 2", "persist 3"]);
    queue.handle(Input::Persisted { through: 2 }, now);
    queue.handle(Input::Persisted { through: 1 }, now);
    let (one, other) = (consumer.0, fanout.0);
    assert_eq!(
        outputs(&mut queue),
        [
            "confirm 2".into(),
            format!("deliver 1 to {one}"),
            format!("deliver 2 to {one}"),
            format!("deliver 1 to {other}"),
            format!("deliver 2 to {other}"),
        ],
        "those of one consumer come together"
    );
    let ranges = vec![2..=2, 1..=1];
    queue.handle(Input::Taken { consumer, ranges }, now);
    let written = Input::Written {
        consumer: fanout,
        messages: 2,
    };
    queue.handle(written, now);
    assert_eq!(
        outputs(&mut queue),
        ["taken 2..=2", "taken 1..=1"],
        "nothing is stored of a fan-out consumer"
    );
    let through = u64::MAX;
    queue.handle(Input::Persisted { through }, now);
    let expected = [
        "confirm 3".into(),
        format!("deliver 3 to {one}"),
        format!("deliver 3 to {other}"),
    ];
    assert_eq!(outputs(&mut queue), expected, "only what there is");
}

#[test]
fn neighbours_are_stored_as_taken_together() {
    let mut queue = Queue::new(QueueConfig::default());
    let now = Time::ZERO;
    let group = Name::new("a").expect("it is short");
    let consumer = queue.subscribe(
        NewConsumer {
            group,
            ..NewConsumer::default()
        },
        now,
    );
    let consumer = consumer.expect("it is the first");
    for _ in 0..5 {
        queue.submit("m".into(), None, now).expect("there is room");
    }
    queue.handle(Input::Persisted { through: 5 }, now);
    outputs(&mut queue);
    queue.handle(
        Input::Written {
            consumer,
            messages: 4,
        },
        now,
    );
    let how = Left::Cancelled;
    queue.handle(Input::Left { consumer, how }, now);
    assert_eq!(outputs(&mut queue), ["taken a1..=4"]);
}

/// A driver that forgets to drain is woken at once.
#[test]
fn outputs_that_wait_are_due_at_once() {
    let mut queue = Queue::new(QueueConfig::default());
    let now = Time::after_start(Duration::from_secs(7));
    queue.submit("m".into(), None, now).expect("there is room");
    let due = queue.poll_timeout().expect("something is due");
    assert_eq!((due.at, due.why), (now, Why::Drain));
}
