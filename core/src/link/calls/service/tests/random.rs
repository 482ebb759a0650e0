//! Whatever happens, in whatever order: each event is settled once, and nothing is kept of it but how it ended.

use alloc::collections::BTreeSet;

use proptest::{collection, prelude::*};

use super::*;

/// What happens, to connection 0 to 2.
#[derive(Debug, Clone)]
enum Step {
    Event {
        connection: u8,
        notice: bool,
        connect: bool,
    },
    Cancel {
        connection: u8,
        number: u64,
    },
    Ack {
        connection: u8,
        event_id: u64,
        connect: bool,
    },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let connection = || 0..3_u8;
    let step = prop_oneof![
        4 => (connection(), any::<bool>(), any::<bool>())
            .prop_map(|(connection, notice, connect)| Step::Event { connection, notice, connect }),
        1 => (connection(), 0..20_u64).prop_map(|(connection, number)| Step::Cancel { connection, number }),
        4 => (connection(), 0..20_u64, any::<bool>())
            .prop_map(|(connection, event_id, connect)| Step::Ack { connection, event_id, connect }),
        1 => (0..80_u64).prop_map(Step::Wait),
    ];
    collection::vec(step, 0..80)
}

#[derive(Default)]
struct Model {
    sent: u64,
    numbers: [u64; 3],
    /// Of what waits: the connection, the number, whether it is a connect; the oldest first.
    waiting: Vec<(u8, u64, bool, u64)>,
    settled: BTreeSet<u64>,
    now: u64,
}

impl Model {
    fn oldest(&self, connection: u8, event_id: u64, connect: bool) -> Option<u64> {
        let mut fitting = self.waiting.iter().filter(|&&(of, number, is_connect, _)| {
            of == connection && is_connect == connect && [0, number].contains(&event_id)
        });
        fitting.next().map(|&(_, number, ..)| number)
    }

    /// Takes what the machine says; how many acks it told.
    fn hear(&mut self, machine: &mut ServiceCalls) -> usize {
        let mut acks = 0;
        for output in drain(machine) {
            match output {
                Output::Ack(_) => acks += 1,
                Output::Settled(settled) => {
                    let seq = settled.ranges[0].from;
                    assert!(self.settled.insert(seq), "{seq} is settled twice");
                }
                Output::Transmit(_) => {}
                other @ (Output::Registered(_) | Output::Refused { .. } | Output::Drain) => {
                    panic!("nothing else happened: {other:?}")
                }
            }
        }
        acks
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn run(steps: Vec<Step>) {
    let mut machine = machine();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Event {
                connection,
                notice,
                connect,
            } => {
                let name = NAMES[usize::from(connection)];
                model.sent += 1;
                let number = &mut model.numbers[usize::from(connection)];
                *number += 1;
                let (seq, number) = (model.sent, *number);
                let input = match (notice, connect) {
                    (true, _) => event(seq, name, number, Event::Connected(v1::Connected {})),
                    (false, true) => super::connect(seq, name, number),
                    (false, false) => message(seq, name, number),
                };
                machine.handle(input, at(model.now));
                if !notice {
                    model.waiting.push((connection, number, connect, model.now));
                }
                assert_eq!(model.hear(&mut machine), 0);
            }
            Step::Cancel { connection, number } => {
                machine.handle(
                    cancel(NAMES[usize::from(connection)], number),
                    at(model.now),
                );
                let is_it = |of: u8, which: u64| (of, which) == (connection, number);
                model.waiting.retain(|&(of, which, ..)| !is_it(of, which));
                assert_eq!(model.hear(&mut machine), 0);
            }
            Step::Ack {
                connection,
                event_id,
                connect,
            } => {
                let kind = if connect {
                    Kind::Connect
                } else {
                    Kind::Message
                };
                let target = target(NAMES[usize::from(connection)], event_id, kind);
                let expected = model.oldest(connection, event_id, connect);
                assert_eq!(machine.find(target).ok(), expected, "{target:?}");
                let acked = machine.ack(target, reply()).is_ok();
                assert_eq!(
                    (acked, model.hear(&mut machine)),
                    (expected.is_some(), usize::from(acked))
                );
                model
                    .waiting
                    .retain(|&(of, which, ..)| of != connection || Some(which) != expected);
            }
            Step::Wait(ms) => {
                model.now += ms;
                machine.handle(Input::Timeout, at(model.now));
                let now = model.now;
                model.waiting.retain(|&(.., since)| since + 101 > now);
                assert_eq!(model.hear(&mut machine), 0);
            }
        }
        assert_eq!(machine.deadlines.len(), model.waiting.len());
        let held: usize = machine.waiting.values().map(Vec::len).sum();
        assert_eq!(held, model.waiting.len());
        let unsettled = model.sent - model.settled.len() as u64;
        assert_eq!(
            unsettled,
            model.waiting.len() as u64,
            "what waits, and no more"
        );
    }
    machine.handle(Input::Timeout, at(model.now + 1000));
    model.hear(&mut machine);
    assert_eq!(model.settled.len() as u64, model.sent, "all in the end");
    assert!(machine.waiting.is_empty() && machine.poll_timeout().is_none());
}

proptest! {
    #[test]
    fn each_event_is_settled_once_whatever_happens(steps in steps()) {
        run(steps);
    }
}
