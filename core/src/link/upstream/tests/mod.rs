//! Inputs to exact output lists, on a clock that stands still unless a test moves it.

use alloc::{boxed::Box, string::ToString, vec, vec::Vec};
use core::time::Duration;

use headwater_proto::{
    Code, Status,
    v1::{
        self, ack::Answer, command::Operation, event::Event as Kind, service_frame::Frame as Said,
        upstream_frame::Frame as Sent,
    },
};

use super::*;
use crate::time::{Time, Why};

mod ends;
mod late;
mod stored;

struct Bench {
    link: Link,
    now: Time,
}

impl Bench {
    fn new() -> Self {
        let config = Config {
            hub: "chat".into(),
            app: "demo".into(),
            window_events: 4,
            ..Config::default()
        };
        Self {
            link: Link::new(config),
            now: Time::ZERO,
        }
    }

    /// One whose registration is up, with everything of that drained.
    fn registered() -> Self {
        let mut bench = Self::new();
        bench.link.handle(Input::Opened, bench.now);
        bench.say(Said::Registered(registered(false, 0)));
        bench.drain();
        bench
    }

    fn say(&mut self, said: Said) {
        let frame = v1::ServiceFrame { frame: Some(said) };
        self.link.handle(Input::Frame(frame), self.now);
    }

    fn drain(&mut self) -> Vec<Output> {
        core::iter::from_fn(|| self.link.poll_output()).collect()
    }

    /// Lets an event arrive and gives out what it was started as.
    fn start(&mut self, event: v1::Event) -> Delivery {
        self.say(Said::Event(Box::new(event)));
        let outputs = self.drain();
        match outputs.as_slice() {
            [Output::Start { delivery, .. }] => *delivery,
            outputs => panic!("expected one start, got {outputs:?}"),
        }
    }
}

fn registered(resumed: bool, applied: u64) -> Box<v1::Registered> {
    Box::new(v1::Registered {
        registration: "r1".into(),
        resume_token: "secret".into(),
        epoch: "e1".into(),
        resumed,
        applied,
        limits: Some(v1::Limits {
            commands: 2,
            frame_bytes: 100,
        }),
    })
}

fn id(connection: &str, number: u64) -> v1::EventId {
    v1::EventId {
        connection_id: connection.into(),
        number,
    }
}

fn event(seq: u64, connection: &str, number: u64, kind: Kind) -> v1::Event {
    v1::Event {
        seq,
        id: Some(id(connection, number)),
        event: Some(kind),
        ..v1::Event::default()
    }
}

fn message(seq: u64, connection: &str, number: u64) -> v1::Event {
    event(
        seq,
        connection,
        number,
        Kind::Message(v1::Message::default()),
    )
}

fn notice(seq: u64, connection: &str, number: u64) -> v1::Event {
    event(seq, connection, number, Kind::Connected(v1::Connected {}))
}

fn to_group(group: &str) -> Operation {
    Operation::SendToGroup(v1::SendToGroupRequest {
        group: group.into(),
        ..v1::SendToGroupRequest::default()
    })
}

fn transmit(frame: Sent) -> Output {
    Output::Transmit(v1::UpstreamFrame { frame: Some(frame) })
}

fn ack(seq: u64, id: v1::EventId, answer: Answer) -> Output {
    let ack = v1::Ack {
        seq,
        id: Some(id),
        answer: Some(answer),
    };
    transmit(Sent::Ack(Box::new(ack)))
}

fn command(seq: u64, operation: Operation) -> Output {
    let command = v1::Command {
        seq,
        trace: None,
        operation: Some(operation),
    };
    transmit(Sent::Command(Box::new(command)))
}

fn settled(ranges: &[(u64, u64)]) -> Output {
    let ranges = ranges
        .iter()
        .map(|&(from, to)| v1::Range { from, to })
        .collect();
    transmit(Sent::Settled(v1::Settled { ranges }))
}

fn results_through(seq: u64) -> Output {
    transmit(Sent::ResultsThrough(v1::ResultsThrough { seq }))
}

fn result(seq: u64, status: Option<v1::Status>) -> Said {
    let value = status
        .is_none()
        .then_some(v1::result::Value::Changed(v1::Changed { connections: 1 }));
    Said::Result(v1::Result { seq, status, value })
}

fn register(resume: Option<v1::Resume>) -> Output {
    transmit(Sent::Register(Box::new(v1::Register {
        hub: "chat".into(),
        app: "demo".into(),
        events: None,
        window: Some(v1::Window {
            events: 4,
            bytes: 16 << 20,
        }),
        resume,
        app_version: "".into(),
    })))
}

#[test]
fn s1_31_register_comes_first_and_carries_hub_app_and_window() {
    let mut bench = Bench::new();
    assert_eq!(bench.drain(), [], "nothing before the call is open");
    bench.link.handle(Input::Opened, bench.now);
    assert_eq!(bench.drain(), [register(None)]);
    assert_eq!(
        bench.link.command(to_group("g"), None),
        Err(CommandError::NotRegistered),
        "no command before the answer"
    );
    bench.say(Said::Registered(registered(false, 0)));
    assert_eq!(bench.drain(), [Output::Registered { resumed: false }]);
}

#[test]
fn a_service_that_does_not_answer_register_is_left() {
    let mut bench = Bench::new();
    bench.link.handle(Input::Opened, bench.now);
    let deadline = bench.link.poll_timeout().map(|deadline| deadline.why);
    assert_eq!(deadline, Some(Why::Drain), "the frame is not sent yet");
    bench.drain();
    let deadline = bench.link.poll_timeout().expect("waits for the answer");
    assert_eq!(deadline.why, Why::Register);
    assert_eq!(deadline.at, Time::after_start(Duration::from_secs(10)));
    bench
        .link
        .handle(Input::Timeout, Time::after_start(Duration::from_secs(9)));
    assert_eq!(bench.drain(), [], "not due yet");
    bench.link.handle(Input::Timeout, deadline.at);
    assert_eq!(
        bench.drain(),
        [Output::Close(Violation::NoAnswerToRegister)]
    );
    assert_eq!(bench.link.poll_timeout(), None);
}

#[test]
fn s1_10_one_lane_runs_one_handler_and_others_run_beside_it() {
    let mut bench = Bench::registered();
    bench.say(Said::Event(Box::new(message(1, "a", 3))));
    bench.say(Said::Event(Box::new(message(2, "a", 4))));
    bench.say(Said::Event(Box::new(message(3, "b", 1))));
    let outputs = bench.drain();
    let [
        Output::Start {
            delivery: a3,
            event: first,
        },
        Output::Start {
            delivery: b1,
            event: second,
        },
    ] = outputs.as_slice()
    else {
        panic!("a waits behind itself only: {outputs:?}");
    };
    assert_eq!(first.id, Some(id("a", 3)));
    assert_eq!(second.id, Some(id("b", 1)));

    let reply = v1::Reply::default();
    assert_eq!(bench.link.reply(*b1, reply.clone()), Ok(1));
    assert_eq!(bench.link.done(*b1), Ok(()));
    assert_eq!(
        bench.drain(),
        [
            ack(1, id("b", 1), Answer::Reply(reply.clone())),
            settled(&[(3, 3)])
        ],
        "s1_20: the later event of another connection is answered first"
    );

    assert_eq!(bench.link.reply(*a3, reply.clone()), Ok(2));
    assert_eq!(bench.drain(), [ack(2, id("a", 3), Answer::Reply(reply))]);
    assert_eq!(bench.link.done(*a3), Ok(()));
    let outputs = bench.drain();
    let [Output::Start { event, .. }, settle] = outputs.as_slice() else {
        panic!("the next of the lane starts when the one before is done: {outputs:?}");
    };
    assert_eq!(event.id, Some(id("a", 4)));
    assert_eq!(*settle, settled(&[(1, 1)]));
}

#[test]
fn s1_07_s1_09_a_notice_wants_no_answer_and_is_settled() {
    let mut bench = Bench::registered();
    let delivery = bench.start(notice(1, "a", 2));
    assert_eq!(
        bench.link.reply(delivery, v1::Reply::default()),
        Err(AnswerError::Unfit)
    );
    assert_eq!(bench.link.done(delivery), Ok(()));
    assert_eq!(bench.drain(), [settled(&[(1, 1)])]);
    assert_eq!(bench.link.done(delivery), Err(AnswerError::NotRunning));
}

#[test]
fn s1_05_s1_06_a_connect_is_accepted_or_rejected() {
    let mut bench = Bench::registered();
    let first = bench.start(event(1, "a", 1, Kind::Connect(v1::Connect::default())));
    let second = bench.start(event(2, "b", 1, Kind::Connect(v1::Connect::default())));
    let accept = v1::Accept {
        user_id: Some("u".into()),
        ..v1::Accept::default()
    };
    let status = v1::Status {
        code: 16,
        message: "no".into(),
    };
    assert_eq!(bench.link.done(first), Err(AnswerError::Unanswered));
    assert_eq!(
        bench.link.fail(first, status.clone()),
        Err(AnswerError::Unfit)
    );
    assert_eq!(bench.link.accept(first, accept.clone()), Ok(1));
    assert_eq!(
        bench.link.accept(first, accept.clone()),
        Err(AnswerError::Answered),
        "s1_24: one answer an event"
    );
    assert_eq!(bench.link.reject(second, status.clone()), Ok(2));
    let reject = v1::Reject {
        status: Some(status),
    };
    assert_eq!(
        bench.drain(),
        [
            ack(1, id("a", 1), Answer::Accept(accept)),
            ack(2, id("b", 1), Answer::Reject(reject)),
        ]
    );
}

#[test]
fn s1_29_an_answer_and_then_commands_keep_the_order_of_the_calls() {
    let mut bench = Bench::registered();
    let delivery = bench.start(message(1, "a", 1));
    let reply = v1::Reply::default();
    assert_eq!(bench.link.reply(delivery, reply.clone()), Ok(1));
    assert!(bench.link.command(to_group("g"), None).is_ok());
    assert!(bench.link.command(to_group("h"), None).is_ok());
    assert_eq!(bench.link.done(delivery), Ok(()));
    assert_eq!(
        bench.drain(),
        [
            ack(1, id("a", 1), Answer::Reply(reply)),
            command(2, to_group("g")),
            command(3, to_group("h")),
            settled(&[(1, 1)]),
        ]
    );
}

#[test]
fn s1_22_each_command_hears_how_it_ended_and_results_are_confirmed_in_order() {
    let mut bench = Bench::registered();
    let first = bench.link.command(to_group("g"), None).expect("granted");
    let second = bench.link.command(to_group("h"), None).expect("granted");
    bench.drain();
    let status = v1::Status {
        code: 5,
        message: "no such connection".into(),
    };
    bench.say(result(2, Some(status)));
    let failed = Status::new(Code::NotFound, "no such connection");
    assert_eq!(
        bench.drain(),
        [Output::Result {
            command: second,
            outcome: Err(CommandFailure::Failed(failed))
        }],
        "not confirmed while the result before it is missing"
    );
    bench.say(result(1, None));
    bench.say(result(1, None));
    let value = v1::result::Value::Changed(v1::Changed { connections: 1 });
    assert_eq!(
        bench.drain(),
        [
            Output::Result {
                command: first,
                outcome: Ok(Some(value))
            },
            results_through(2)
        ]
    );
    assert_eq!(bench.link.skipped(), 1, "the second result of one command");
}

#[test]
fn commands_beyond_the_window_are_refused_here_and_seen_results_make_room() {
    let mut bench = Bench::registered();
    bench.link.command(to_group("a"), None).expect("granted");
    bench.link.command(to_group("b"), None).expect("granted");
    assert!(!bench.link.may_command());
    assert_eq!(
        bench.link.command(to_group("c"), None),
        Err(CommandError::TooMany)
    );
    bench.drain();
    bench.say(result(1, None));
    assert!(bench.link.may_command());
    assert!(bench.link.command(to_group("c"), None).is_ok());
    let outputs = bench.drain();
    assert_eq!(
        outputs[1..],
        [results_through(1), command(3, to_group("c"))],
        "the service hears of the room before the command uses it, and no number is lost"
    );
}

#[test]
fn what_the_service_does_not_take_is_not_sent() {
    let mut bench = Bench::registered();
    let delivery = bench.start(message(1, "a", 1));
    assert_eq!(
        bench.link.command(to_group(&"g".repeat(100)), None),
        Err(CommandError::TooLarge)
    );
    let payload = v1::Payload {
        r#type: 0,
        data: vec![0; 100].into(),
    };
    let reply = v1::Reply {
        payload: Some(payload),
        state: None,
    };
    assert_eq!(
        bench.link.reply(delivery, reply),
        Err(AnswerError::TooLarge)
    );
    assert_eq!(bench.link.reply(delivery, v1::Reply::default()), Ok(1));
}

#[test]
fn settled_events_share_one_frame_a_drain() {
    let mut bench = Bench::registered();
    let deliveries = [1, 2, 3, 4].map(|seq| bench.start(notice(seq, &seq.to_string(), 1)));
    for at in [3, 0, 1] {
        bench.link.done(deliveries[at]).expect("runs");
    }
    assert_eq!(bench.drain(), [settled(&[(1, 2), (4, 4)])]);
    assert_eq!(bench.drain(), []);
}

#[test]
fn s1_24_a_refused_answer_names_the_handler_that_still_runs() {
    let mut bench = Bench::registered();
    let delivery = bench.start(message(1, "a", 1));
    bench
        .link
        .reply(delivery, v1::Reply::default())
        .expect("first");
    bench.drain();
    let late = || {
        Said::Refused(v1::Refused {
            seq: 1,
            status: Some(v1::Status {
                code: 4,
                message: "".into(),
            }),
        })
    };
    let refused = |delivery| Output::Refused {
        delivery,
        seq: 1,
        status: Status::new(Code::DeadlineExceeded, ""),
    };
    bench.say(late());
    assert_eq!(bench.drain(), [refused(Some(delivery))]);
    bench.link.done(delivery).expect("runs");
    bench.drain();
    bench.say(late());
    assert_eq!(bench.drain(), [refused(None)]);
}

#[test]
fn s1_32_the_handler_hears_that_its_client_has_gone_even_if_it_starts_later() {
    let mut bench = Bench::registered();
    let first = bench.start(message(1, "a", 1));
    bench.say(Said::Event(Box::new(message(2, "a", 2))));
    let cancel = |number| {
        Said::Cancel(v1::Cancel {
            id: Some(id("a", number)),
        })
    };
    bench.say(cancel(1));
    bench.say(cancel(2));
    bench.say(cancel(3));
    assert_eq!(bench.drain(), [Output::Cancelled(first)]);
    bench
        .link
        .reply(first, v1::Reply::default())
        .expect("advice only");
    bench.link.done(first).expect("runs");
    let outputs = bench.drain();
    let [
        _,
        Output::Start { delivery, .. },
        Output::Cancelled(cancelled),
        _,
    ] = outputs.as_slice()
    else {
        panic!("started and told at once: {outputs:?}");
    };
    assert_eq!(delivery, cancelled);
}

#[test]
fn s1_19_what_is_unknown_is_counted_and_skipped() {
    let mut bench = Bench::registered();
    bench
        .link
        .handle(Input::Frame(v1::ServiceFrame::default()), bench.now);
    let unknown = v1::Event {
        event: None,
        ..message(1, "a", 1)
    };
    bench.say(Said::Event(Box::new(unknown)));
    assert_eq!(
        bench.drain(),
        [settled(&[(1, 1)])],
        "an unknown event frees its window"
    );
    bench.say(result(77, None));
    bench.say(Said::Cancel(v1::Cancel { id: None }));
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.link.skipped(), 4);
    bench.start(message(2, "a", 2));
}
