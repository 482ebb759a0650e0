//! All orders in which small programs may run side by side, against the [model](super::model).

use super::{
    random::{Run, Step},
    *,
};

/// What a producer, a consumer, the storage or the driver does next.
#[derive(Debug, Clone)]
enum Act {
    Submit,
    Subscribe(NewConsumer),
    Written,
    Taken,
    Leave(Left),
    Store,
    Drain,
}

/// A run in which each program is at some place.
struct Programs<'a> {
    programs: &'a [Vec<Act>],
    stores: bool,
    runs: usize,
}

impl Programs<'_> {
    /// Tries all orders that begin with this one: which program goes next, time after time.
    fn explore(&mut self, order: &mut Vec<usize>) {
        let mut is_whole = true;
        for (index, program) in self.programs.iter().enumerate() {
            let done = order.iter().filter(|other| **other == index).count();
            if done < program.len() {
                is_whole = false;
                order.push(index);
                self.explore(order);
                order.pop();
            }
        }
        if is_whole {
            self.run(order);
            self.runs += 1;
        }
    }

    fn run(&self, order: &[usize]) {
        let mut run = Run::new(QueueConfig::default());
        run.stores = self.stores;
        let mut places = vec![0; self.programs.len()];
        let mut keys = BTreeMap::new();
        for index in order {
            let act = self.programs[*index][places[*index]].clone();
            places[*index] += 1;
            if let Act::Subscribe(new) = act {
                let before = run.model.consumers();
                run.take(Step::Subscribe(new));
                let mut consumers = run.model.consumers().into_iter();
                let key = consumers.find(|key| !before.contains(key));
                keys.insert(*index, key.expect("there is room"));
                continue;
            }
            let consumers = run.model.consumers();
            let nth = keys
                .get(index)
                .and_then(|key| consumers.iter().position(|it| it == key));
            if let Some(step) = step(act, nth) {
                run.take(step);
            }
        }
        run.finish();
        assert!(run.model.is_done(), "something is left over in {order:?}");
        let counters = run.queue.counters();
        assert_eq!(counters.taken, counters.submitted, "lost in {order:?}");
    }
}

fn step(act: Act, nth: Option<usize>) -> Option<Step> {
    Some(match act {
        Act::Submit => Step::Submit {
            bytes: 1,
            seconds: None,
        },
        Act::Store => Step::Store,
        Act::Drain => Step::Drain,
        Act::Written => Step::Written {
            nth: nth?,
            messages: 1,
        },
        Act::Taken => Step::Taken {
            nth: nth?,
            ranges: vec![0..=u64::MAX],
        },
        Act::Leave(how) => Step::Leave { nth: nth?, how },
        Act::Subscribe(_) => return None,
    })
}

fn explore(programs: &[Vec<Act>], stores: bool) -> usize {
    let mut all = Programs {
        programs,
        stores,
        runs: 0,
    };
    all.explore(&mut Vec::new());
    all.runs
}

fn plain() -> Act {
    Act::Subscribe(NewConsumer::default())
}

fn acknowledging() -> Act {
    Act::Subscribe(NewConsumer {
        taking: Taking::Acknowledged { window: 1 },
        ..NewConsumer::default()
    })
}

/// S3-14: no order of submitting, subscribing, writing and leaving loses a wake-up: whenever the machine is drained, no
/// message waits while a consumer has room. S3-15: nor does one raise anything.
#[test]
fn s3_14_s3_15_no_interleaving_loses_a_wake_up() {
    let runs = explore(
        &[
            vec![Act::Submit, Act::Submit],
            vec![plain(), Act::Written, Act::Leave(Left::Broken)],
            vec![acknowledging(), Act::Taken],
            vec![Act::Drain, Act::Drain],
        ],
        true,
    );
    assert_eq!(runs, 7560, "all of them");
}

/// S3-14: the same with a storage that takes its time.
#[test]
fn s3_14_no_interleaving_with_the_storage_loses_a_message() {
    let runs = explore(
        &[
            vec![Act::Submit, Act::Submit],
            vec![acknowledging(), Act::Leave(Left::Cancelled)],
            vec![plain(), Act::Leave(Left::Cancelled)],
            vec![Act::Store, Act::Drain, Act::Drain],
        ],
        false,
    );
    assert_eq!(runs, 7560, "all of them");
}
