//! Random runs against a model of the lanes.

extern crate std;

use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::String,
    time::Duration,
    vec::Vec,
};

use headwater_proto::v1::{
    self, event::Event as Kind, service_frame::Frame as Said, upstream_frame::Frame as Sent,
};
use proptest::prelude::*;

use super::*;
use crate::time::Time;

#[derive(Debug, Clone)]
enum Step {
    Event { connection: u8, left: Option<u32> },
    Finish { nth: usize },
    Answer { nth: usize },
    Command,
    Result { nth: usize },
    Cancel { connection: u8, number: u64 },
    Break { resumed: bool },
    Pass { seconds: u64 },
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, prop::option::of(1..5_u32))
            .prop_map(|(connection, left)| Step::Event { connection, left }),
        5 => (0..8_usize).prop_map(|nth| Step::Finish { nth }),
        3 => (0..8_usize).prop_map(|nth| Step::Answer { nth }),
        3 => Just(Step::Command),
        3 => (0..8_usize).prop_map(|nth| Step::Result { nth }),
        1 => (0..4_u8, 0..9_u64)
            .prop_map(|(connection, number)| Step::Cancel { connection, number }),
        1 => any::<bool>().prop_map(|resumed| Step::Break { resumed }),
        2 => (0..3_u64).prop_map(|seconds| Step::Pass { seconds }),
        4 => Just(Step::Drain),
    ]
}

#[derive(Default)]
struct Model {
    event_seq: u64,
    numbers: BTreeMap<u8, u64>,
    /// What may start next, by connection; an entry that a break dropped is passed over.
    arrived: BTreeMap<String, VecDeque<u64>>,
    /// By delivery: connection, and whether it is a message.
    running: Vec<(Delivery, String, bool)>,
    started: BTreeSet<Delivery>,
    answered: BTreeSet<Delivery>,
    /// Frames of this call, by the number that they carry.
    sent_seq: u64,
    settled: BTreeSet<u64>,
    commands_sent: Vec<u64>,
    commands: BTreeSet<CommandId>,
    now: Time,
    /// When the clients of messages hear that they have failed.
    until: BTreeMap<(String, u64), Time>,
}

impl Model {
    /// Checks one output against what is allowed.
    fn output(&mut self, output: Output) -> Result<(), TestCaseError> {
        match output {
            Output::Start { delivery, event } => {
                let id = event.id.expect("was given");
                let connection = id.connection_id;
                prop_assert!(
                    self.running
                        .iter()
                        .all(|(_, other, _)| *other != connection),
                    "two handlers of {connection} at once"
                );
                let arrived = self.arrived.entry(connection.clone()).or_default();
                let at = arrived.iter().position(|number| *number == id.number);
                prop_assert!(
                    at.is_some(),
                    "{connection} {} started twice or out of order",
                    id.number
                );
                arrived.drain(..=at.unwrap_or_default());
                let until = self.until.get(&(connection.clone(), id.number));
                prop_assert!(
                    until.is_none_or(|until| self.now < *until),
                    "{connection} {} started when its client had heard of failure",
                    id.number
                );
                let message = matches!(event.event, Some(Kind::Message(_)));
                prop_assert!(
                    self.started.insert(delivery),
                    "{delivery:?} names two events"
                );
                self.running.push((delivery, connection, message));
            }
            Output::Transmit(frame) => self.transmitted(frame.frame.expect("never empty"))?,
            Output::Result { command, .. } => {
                prop_assert!(self.commands.remove(&command), "{command:?} ended twice");
            }
            Output::Cancelled(delivery) => {
                prop_assert!(
                    self.started.contains(&delivery),
                    "told before it was started"
                );
            }
            Output::Registered { .. } => {}
            Output::Refused { .. }
            | Output::Gap { .. }
            | Output::Draining { .. }
            | Output::Drained
            | Output::Close(_) => return Err(TestCaseError::fail(format!("{output:?}"))),
        }
        Ok(())
    }

    fn transmitted(&mut self, frame: Sent) -> Result<(), TestCaseError> {
        match frame {
            Sent::Ack(ack) => self.numbered(ack.seq)?,
            Sent::Command(command) => {
                self.numbered(command.seq)?;
                self.commands_sent.push(command.seq);
            }
            Sent::Settled(settled) => {
                for range in settled.ranges {
                    for seq in range.from..=range.to {
                        prop_assert!(seq <= self.event_seq, "{seq} was never sent");
                        prop_assert!(self.settled.insert(seq), "{seq} settled twice");
                    }
                }
            }
            Sent::Register(_) | Sent::ResultsThrough(_) => {}
            Sent::Authenticate(_) | Sent::Drain(_) => {
                return Err(TestCaseError::fail("nobody asked for this"));
            }
        }
        Ok(())
    }

    fn numbered(&mut self, seq: u64) -> Result<(), TestCaseError> {
        self.sent_seq += 1;
        prop_assert_eq!(seq, self.sent_seq, "a hole in the numbering");
        Ok(())
    }
}

fn say(link: &mut Link, said: Said, now: Time) {
    let frame = v1::ServiceFrame { frame: Some(said) };
    link.handle(Input::Frame(frame), now);
}

fn open(link: &mut Link, resumed: bool, applied: u64, now: Time) {
    link.handle(Input::Opened, now);
    let registered = v1::Registered {
        resumed,
        applied,
        ..v1::Registered::default()
    };
    say(link, Said::Registered(registered.into()), now);
}

fn drain(link: &mut Link, model: &mut Model) -> Result<(), TestCaseError> {
    while let Some(output) = link.poll_output() {
        model.output(output)?;
    }
    Ok(())
}

fn take(link: &mut Link, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Event { connection, left } => {
            model.event_seq += 1;
            let number = model.numbers.entry(connection).or_default();
            *number += 1;
            let name = format!("c{connection}");
            let arrived = model.arrived.entry(name.clone()).or_default();
            arrived.push_back(*number);
            let kind = match left {
                None => Kind::Connected(v1::Connected {}),
                Some(seconds) => {
                    let until = model.now + Duration::from_secs(seconds.into());
                    model.until.insert((name.clone(), *number), until);
                    Kind::Message(v1::Message::default())
                }
            };
            let event = v1::Event {
                seq: model.event_seq,
                id: Some(v1::EventId {
                    connection_id: name,
                    number: *number,
                }),
                event: Some(kind),
                time_left_ms: left.map_or(0, |seconds| 1000 * seconds),
                ..v1::Event::default()
            };
            say(link, Said::Event(Box::new(event)), model.now);
        }
        Step::Answer { nth } => {
            if let Some((delivery, _, _)) = model.running.get(nth)
                && link.reply(*delivery, v1::Reply::default()).is_ok()
            {
                prop_assert!(model.answered.insert(*delivery), "answered twice");
            }
        }
        Step::Finish { nth } => {
            let Some((delivery, _, message)) = model.running.get(nth).cloned() else {
                return Ok(());
            };
            if message && !model.answered.contains(&delivery) {
                // On a broken link there is nothing to answer any more.
                let _ = link.reply(delivery, v1::Reply::default());
            }
            prop_assert_eq!(link.done(delivery), Ok(()));
            model.running.remove(nth);
        }
        Step::Command => {
            let operation = v1::command::Operation::CloseAll(v1::CloseAllRequest::default());
            if let Ok(command) = link.command(operation, None) {
                prop_assert!(
                    model.commands.insert(command),
                    "{command:?} names two commands"
                );
            }
        }
        Step::Result { nth } => {
            if let Some(seq) = model.commands_sent.get(nth).copied() {
                let result = v1::Result {
                    seq,
                    ..v1::Result::default()
                };
                say(link, Said::Result(result), model.now);
            }
        }
        Step::Cancel { connection, number } => {
            let id = v1::EventId {
                connection_id: format!("c{connection}"),
                number,
            };
            say(link, Said::Cancel(v1::Cancel { id: Some(id) }), model.now);
        }
        Step::Break { resumed } => {
            link.handle(Input::Closed, model.now);
            drain(link, model)?;
            prop_assert!(model.commands.is_empty(), "a command without an end");
            let applied = if resumed { model.sent_seq } else { 0 };
            if !resumed {
                model.event_seq = 0;
                model.settled.clear();
            }
            model.sent_seq = applied;
            model.commands_sent.clear();
            open(link, resumed, applied, model.now);
        }
        Step::Pass { seconds } => {
            // What was started so far was started before.
            drain(link, model)?;
            model.now = model.now + Duration::from_secs(seconds);
            link.handle(Input::Timeout, model.now);
        }
        Step::Drain => drain(link, model)?,
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// S1-10: the order of a connection's events, one handler of it at a time, and one numbering without holes, whatever
    /// happens around them.
    #[test]
    fn s1_10_lanes_keep_their_order_and_numbers_have_no_holes(
        steps in prop::collection::vec(step(), 0..200)
    ) {
        let mut link = Link::new(Config::default());
        let mut model = Model::default();
        open(&mut link, false, 0, Time::ZERO);
        for step in steps {
            take(&mut link, &mut model, step)?;
        }
        drain(&mut link, &mut model)?;
        // Let all that waits run out: nothing may be stuck.
        while let Some((delivery, _, _)) = model.running.first().cloned() {
            let _ = link.reply(delivery, v1::Reply::default());
            prop_assert_eq!(link.done(delivery), Ok(()));
            model.running.remove(0);
            drain(&mut link, &mut model)?;
        }
    }
}
