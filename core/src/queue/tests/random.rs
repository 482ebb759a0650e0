//! Random runs against the [model](super::model).

use std::cell::RefCell;

use proptest::{prelude::*, test_runner::TestRunner};

use super::{model::Model, *};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Submit {
        bytes: usize,
        seconds: Option<u64>,
    },
    Subscribe(NewConsumer),
    Written {
        nth: usize,
        messages: u32,
    },
    Taken {
        nth: usize,
        ranges: Vec<RangeInclusive<u64>>,
    },
    Returned {
        nth: usize,
        ranges: Vec<RangeInclusive<u64>>,
    },
    Leave {
        nth: usize,
        how: Left,
    },
    Pass {
        seconds: u64,
    },
    Store,
    Drain,
}

/// The machine and the model, side by side.
pub(super) struct Run {
    pub(super) queue: Queue,
    pub(super) model: Model,
    now: Time,
    /// Whether what is to be stored is stored at once.
    pub(super) stores: bool,
    pub(super) log: Vec<Output>,
}

impl Run {
    pub(super) fn new(config: QueueConfig) -> Self {
        Self {
            queue: Queue::new(config.clone()),
            model: Model::new(config),
            now: Time::ZERO,
            stores: true,
            log: Vec::new(),
        }
    }

    fn store(&mut self) {
        let through = self.model.last();
        self.queue.handle(Input::Persisted { through }, self.now);
        self.model.stored = through;
    }

    pub(super) fn drain(&mut self) {
        if self.stores {
            self.store();
        }
        while let Some(output) = self.queue.poll_output() {
            self.model.output(&output);
            self.log.push(output);
        }
        self.model.check_drained(&self.queue);
    }

    fn nth(&self, nth: usize) -> Option<ConsumerKey> {
        let consumers = self.model.consumers();
        consumers.get(nth % consumers.len().max(1)).copied()
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Submit { bytes, seconds } => {
                let ttl = seconds.map(Duration::from_secs);
                let message = bytes::Bytes::from(vec![0; bytes]);
                let expected = self.model.submit(bytes, ttl);
                let submitted = self.queue.submit(message, ttl, self.now);
                assert_eq!(submitted, expected);
            }
            Step::Subscribe(new) => {
                let key = self.queue.subscribe(new.clone(), self.now);
                self.model.subscribe(key.ok(), &new);
            }
            Step::Written { nth, messages } => {
                let Some(consumer) = self.nth(nth) else {
                    return;
                };
                self.model.written(consumer, messages as usize);
                self.handle(Input::Written { consumer, messages });
            }
            Step::Taken { nth, ranges } => {
                let Some(consumer) = self.nth(nth) else {
                    return;
                };
                self.model.answered(consumer, &ranges, true);
                self.handle(Input::Taken { consumer, ranges });
            }
            Step::Returned { nth, ranges } => {
                let Some(consumer) = self.nth(nth) else {
                    return;
                };
                self.model.answered(consumer, &ranges, false);
                self.handle(Input::Returned { consumer, ranges });
            }
            Step::Leave { nth, how } => {
                let Some(consumer) = self.nth(nth) else {
                    return;
                };
                self.model.leave(consumer, how);
                self.handle(Input::Left { consumer, how });
            }
            Step::Pass { seconds } => {
                self.now = self.now + Duration::from_secs(seconds);
                self.model.advance(self.now);
                self.handle(Input::Timeout);
            }
            Step::Store => self.store(),
            Step::Drain => self.drain(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.queue.handle(input, self.now);
    }

    /// Takes all that is left, and lets time do the rest.
    pub(super) fn finish(&mut self) {
        self.stores = true;
        self.drain();
        for nth in (0..self.model.consumers().len()).rev() {
            let how = Left::Broken;
            self.take(Step::Leave { nth, how });
        }
        let names = ["", "a", "b", "c"].map(|name| Name::new(name).expect("it is short"));
        for group in names {
            self.take(Step::Subscribe(NewConsumer {
                group,
                mode: Some(Mode::Shared),
                taking: Taking::Acknowledged { window: 0 },
                ..NewConsumer::default()
            }));
        }
        loop {
            self.drain();
            let delivered = self.queue.counters().delivered;
            for nth in 0..self.model.consumers().len() {
                let ranges = vec![0..=u64::MAX];
                self.take(Step::Taken { nth, ranges });
            }
            self.drain();
            if self.queue.counters().delivered == delivered {
                break;
            }
        }
    }
}

fn name() -> impl Strategy<Value = Name> {
    let names = prop_oneof![3 => Just(""), 2 => Just("a"), 1 => Just("b"), 1 => Just("c")];
    names.prop_map(|name| Name::new(name).expect("it is short"))
}

fn new_consumer() -> impl Strategy<Value = NewConsumer> {
    let mode = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Mode::Shared)),
        1 => Just(Some(Mode::Fanout)),
    ];
    let taking = prop_oneof![
        Just(Taking::Written),
        (0..4_u32).prop_map(|window| Taking::Acknowledged { window }),
    ];
    (name(), mode, 0..20_u64, taking).prop_map(|(group, mode, from_offset, taking)| NewConsumer {
        group,
        mode,
        from_offset,
        taking,
    })
}

fn ranges() -> impl Strategy<Value = Vec<RangeInclusive<u64>>> {
    let range = prop_oneof![
        4 => (0..40_u64, 0..4_u64).prop_map(|(from, more)| from..=from + more),
        1 => (0..40_u64, 0..40_u64).prop_map(|(from, to)| from..=to),
        2 => Just(0..=u64::MAX),
    ];
    prop::collection::vec(range, 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![Just(Left::Broken), Just(Left::Cancelled)];
    let seconds = prop_oneof![3 => Just(None), 1 => (1..20_u64).prop_map(Some)];
    prop_oneof![
        9 => (0..6_usize, seconds).prop_map(|(bytes, seconds)| Step::Submit { bytes, seconds }),
        2 => new_consumer().prop_map(Step::Subscribe),
        5 => (0..9_usize, 0..5_u32).prop_map(|(nth, messages)| Step::Written { nth, messages }),
        4 => (0..9_usize, ranges()).prop_map(|(nth, ranges)| Step::Taken { nth, ranges }),
        2 => (0..9_usize, ranges()).prop_map(|(nth, ranges)| Step::Returned { nth, ranges }),
        1 => (0..9_usize, how).prop_map(|(nth, how)| Step::Leave { nth, how }),
        2 => (0..15_u64).prop_map(|seconds| Step::Pass { seconds }),
        3 => Just(Step::Store),
        6 => Just(Step::Drain),
    ]
}

fn config() -> impl Strategy<Value = QueueConfig> {
    let mode = prop_oneof![3 => Just(Mode::Shared), 1 => Just(Mode::Fanout)];
    let full = prop_oneof![Just(Full::Refuse), Just(Full::DropOldest)];
    let bounds = (1..20_usize, 1..60_usize, 0..10_usize, 0..30_usize);
    let windows = (1..6_u32, 1..20_usize, 0..5_usize, 0..15_usize);
    let times = (1..60_u64, 1..30_u64, 1..40_u64, 1..40_u64);
    (mode, full, bounds, windows, times).prop_map(|(mode, full, bounds, windows, times)| {
        QueueConfig {
            mode,
            messages_max: bounds.0,
            bytes_max: bounds.1,
            message_bytes_max: usize::MAX,
            full,
            expires_after: Duration::from_secs(times.0),
            history_messages_max: bounds.2,
            history_bytes_max: bounds.3,
            groups_max: 3,
            consumers_max: 8,
            window_messages: windows.0,
            window_messages_max: 3,
            window_bytes: windows.1,
            in_doubt_timeout: Duration::from_secs(times.1),
            in_doubt_messages_max: windows.2,
            in_doubt_bytes_max: windows.3,
            stall_timeout: Duration::from_secs(times.2),
            ack_timeout: Duration::from_secs(times.3),
        }
    })
}

fn run(config: &QueueConfig, stores: bool, steps: &[Step]) -> Run {
    let mut run = Run::new(config.clone());
    run.stores = stores;
    for step in steps {
        run.take(step.clone());
    }
    run.finish();
    assert!(run.model.is_done(), "something is left over");
    run
}

/// S3-03, S3-06, S3-12, S3-16, S3-19: each message is taken once by each group, or it expired, was dropped or refused, and is
/// counted as such; in order; within the bounds; whatever consumers do.
#[test]
fn s3_06_s3_16_s3_19_each_message_is_taken_once_by_each_group() {
    let config_of_runner = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let all = RefCell::new(Counters::default());
    let inputs = (
        config(),
        any::<bool>(),
        prop::collection::vec(step(), 0..100),
    );
    TestRunner::new(config_of_runner)
        .run(&inputs, |(config, stores, steps)| {
            let one = run(&config, stores, &steps);
            let other = run(&config, stores, &steps);
            prop_assert_eq!(one.log, other.log, "the same inputs give the same outputs");
            let (mut all, new) = (all.borrow_mut(), one.queue.counters());
            all.redelivered += new.redelivered;
            all.expired += new.expired;
            all.dropped += new.dropped;
            all.left_behind += new.left_behind;
            all.too_slow += new.too_slow;
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let all = all.into_inner();
    let rare = [
        all.redelivered,
        all.expired,
        all.dropped,
        all.left_behind,
        all.too_slow,
    ];
    assert!(
        rare.iter().all(|count| *count > 5),
        "too little was reached: {all:?}"
    );
}
