//! The service's end of the link in plain calls: what the hub says to it, and acks and commands as bytes, as upstreams send
//! them. All that it says is held against a list of what waits, numbers and times at their ends included.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use headwater_core::{
    Time,
    link::calls::{
        service::{ENDED_MAX, Input, Kind, Output, ServiceCalls, Target},
        translate::{Method, connect_answer, message_answer, streaming_request},
    },
};
use headwater_fuzz::{
    machine::{Machine, Ran},
    packets::{Operation, Operations},
};
use headwater_proto::{
    Code,
    v1::{self, ack::Answer, event::Event, service_frame::Frame},
    wps_rpc::{AckConnectRequest, AckMessageRequest, RegisterMessage},
};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};
use prost::Message as _;

const HUB: &str = "chat";
/// Of one burst; two of them are more than is remembered.
const BURST: u64 = 600;
/// A verb for a burst, which is much: rarely.
const BURST_VERB: u8 = 16;

/// One event that was sent, and not dealt with.
#[derive(Debug, Clone)]
struct Waiting {
    connection: String,
    number: u64,
    kind: Kind,
    seq: u64,
    until: Time,
}

/// The machine, what its driver knows, and what it has to say next.
struct Run {
    calls: ServiceCalls,
    now: Time,
    /// Of the hub's numbers.
    last_seq: u64,
    /// Of the events of all connections, which is as good as one for each.
    last_number: u64,
    last_ack: u64,
    skipped: u64,
    waiting: Vec<Waiting>,
    /// The latest last, with what a late ack is told.
    ended: VecDeque<(Waiting, Code)>,
    expected: Vec<Output>,
    log: Vec<Output>,
    /// What of the machine was reached.
    reached: BTreeSet<String>,
}

fn connection(byte: u8) -> String {
    ["a", "b", ""][usize::from(byte % 16 / 7)].into()
}

fn settled(seq: u64) -> Output {
    let range = v1::Range { from: seq, to: seq };
    Output::Settled(v1::Settled {
        ranges: vec![range],
    })
}

impl Run {
    fn new(config: u8) -> Self {
        let is_set = |bit: u8| config >> bit & 1 == 1;
        let register = RegisterMessage {
            hub: HUB.into(),
            ..RegisterMessage::default()
        };
        let (calls, _) = ServiceCalls::new(register).expect("a hub with a name");
        let first = |is_late| if is_late { u64::MAX - 5000 } else { 0 };
        Self {
            calls,
            now: Time::ZERO + Duration::from_millis(first(is_set(0))),
            last_seq: first(is_set(1)),
            last_number: first(is_set(2)),
            last_ack: 0,
            skipped: 0,
            waiting: Vec::new(),
            ended: VecDeque::new(),
            expected: Vec::new(),
            log: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    fn reach(&mut self, what: impl Into<String>) {
        self.reached.insert(what.into());
    }

    fn happens(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Packet(bytes) => self.called(bytes)?,
            Operation::Verb(number, byte) => self.verb(*number, *byte),
        }
        self.drain()
    }

    fn verb(&mut self, number: u8, byte: u8) {
        match number {
            1..=7 => self.event(number, byte),
            8 => self.cancel(byte),
            9 => self.pass(Duration::from_millis(u64::from(byte) * 10)),
            10 => self.pass(Duration::ZERO),
            11 => self.refused(byte),
            12 => self.tell(Frame::Drain(v1::Drain::default()), Some(Output::Drain)),
            13 => self.registered(byte),
            14 => self.unsaid(Frame::Gap(v1::Gap::default())),
            15 => self.unsaid(Frame::Result(v1::Result::default())),
            BURST_VERB => self.burst(),
            _ => {}
        }
    }

    fn tell(&mut self, frame: Frame, answer: Option<Output>) {
        self.calls.handle(Input::Frame(frame), self.now);
        self.expected.extend(answer);
    }

    fn unsaid(&mut self, frame: Frame) {
        self.skipped += 1;
        self.tell(frame, None);
    }

    fn refused(&mut self, byte: u8) {
        let status = v1::Status {
            code: i32::from(byte) - 3,
            message: "no".into(),
        };
        let seq = byte.into();
        let refused = v1::Refused {
            seq,
            status: Some(status.clone()),
        };
        let status = status.into();
        self.tell(
            Frame::Refused(refused),
            Some(Output::Refused { seq, status }),
        );
    }

    fn registered(&mut self, byte: u8) {
        let registration = byte.to_string();
        let registered = v1::Registered {
            registration: registration.clone(),
            ..v1::Registered::default()
        };
        self.tell(
            Frame::Registered(registered.into()),
            Some(Output::Registered(registration)),
        );
    }

    /// The hub sends an event. It numbers them without repeating itself.
    fn event(&mut self, what: u8, byte: u8) {
        self.last_seq += 1;
        self.last_number += 1;
        let payload = |data: &'static [u8]| {
            Some(v1::Payload {
                r#type: v1::DataType::Text.into(),
                data: Bytes::from_static(data),
            })
        };
        let message = |payload| {
            Event::Message(v1::Message {
                payload,
                ..v1::Message::default()
            })
        };
        let (kind, event) = match what {
            1 | 2 => (
                Some(Kind::Connect),
                Some(Event::Connect(v1::Connect::default())),
            ),
            3 | 4 => (Some(Kind::Message), Some(message(payload(b"hi")))),
            5 => (None, Some(Event::Connected(v1::Connected {}))),
            6 => (None, Some(message(payload(b"\xff")))),
            _ => (None, None),
        };
        let left = match byte {
            255 => u32::MAX,
            tens => u32::from(tens / 16) * 10,
        };
        let connection = connection(byte);
        let sent = v1::Event {
            seq: self.last_seq,
            id: Some(v1::EventId {
                connection_id: connection.clone(),
                number: self.last_number,
            }),
            time_left_ms: left,
            event,
            ..v1::Event::default()
        };
        self.tell(Frame::Event(sent.clone().into()), None);
        if let Ok(Some(request)) = streaming_request(sent, HUB) {
            self.expected.push(Output::Transmit(request.into()));
        } else {
            self.skipped += 1;
            self.reach("skipped");
        }
        let Some(kind) = kind else {
            return self.expected.push(settled(self.last_seq));
        };
        self.waiting.push(Waiting {
            connection,
            number: self.last_number,
            kind,
            seq: self.last_seq,
            until: self.now + Duration::from_millis(u64::from(left) + 1),
        });
    }

    fn burst(&mut self) {
        for _ in 0..BURST {
            self.event(3, 0);
        }
        self.pass(Duration::from_millis(1));
    }

    /// A client has gone whose event may wait, or may be any.
    fn cancel(&mut self, byte: u8) {
        let place = usize::from(byte) % (self.waiting.len() + 1);
        let (connection, number) = match self.waiting.get(place) {
            Some(event) => (event.connection.clone(), event.number),
            None => (connection(byte), byte.into()),
        };
        let is_it = |event: &Waiting| event.connection == connection && event.number == number;
        let place = self.waiting.iter().position(is_it);
        let id = v1::EventId {
            connection_id: connection,
            number,
        };
        let cancel = v1::Cancel { id: Some(id) };
        self.tell(Frame::Cancel(cancel), None);
        if let Some(place) = place {
            self.end(place, Code::Cancelled);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.calls.handle(Input::Timeout, self.now);
        let is_due = |event: &mut Waiting| event.until <= self.now;
        let mut due: Vec<_> = self.waiting.extract_if(.., is_due).collect();
        due.sort_by_key(|event| (event.until, event.seq));
        for event in due {
            self.ended(event, Code::DeadlineExceeded);
        }
    }

    /// Nothing more comes of what waits at this place.
    fn end(&mut self, place: usize, late_ack: Code) {
        let event = self.waiting.remove(place);
        self.ended(event, late_ack);
    }

    fn ended(&mut self, event: Waiting, late_ack: Code) {
        self.expected.push(settled(event.seq));
        self.ended.push_back((event, late_ack));
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
            self.reach("forgotten");
        }
    }

    /// A call of the upstream, with any bytes.
    fn called(&mut self, bytes: &[u8]) -> Result<(), TestCaseError> {
        let Some((method, request)) = bytes.split_first() else {
            return Ok(());
        };
        let request = Bytes::copy_from_slice(request);
        match usize::from(*method) {
            0 => {
                let Ok(ack) = AckConnectRequest::decode(request) else {
                    return Ok(());
                };
                let answer = connect_answer(ack.ack_connect_message);
                self.ack(&ack.connection_id, ack.event_id, Kind::Connect, answer)
            }
            1 => {
                let Ok(ack) = AckMessageRequest::decode(request) else {
                    return Ok(());
                };
                let answer = message_answer(ack.ack_event_message);
                self.ack(&ack.connection_id, ack.event_id, Kind::Message, answer)
            }
            other => self.command(Method::ALL[other % Method::ALL.len()], request),
        }
    }

    fn ack(
        &mut self,
        connection_id: &str,
        event_id: u64,
        kind: Kind,
        answer: Answer,
    ) -> Result<(), TestCaseError> {
        let target = Target {
            connection_id,
            event_id,
            kind,
        };
        let is_it = |event: &Waiting| {
            event.connection == connection_id
                && event.kind == kind
                && [0, event.number].contains(&event_id)
        };
        let place = self.waiting.iter().position(is_it);
        let place = place.filter(|_| !connection_id.is_empty());
        let number = place.map(|place| self.waiting[place].number);
        if !connection_id.is_empty() {
            prop_assert_eq!(self.calls.waits(target), number);
        }
        let found = self.calls.find(target);
        prop_assert_eq!(found.as_ref().ok(), number.as_ref());
        let acked = self.calls.ack(target, answer.clone());
        let Some(place) = place else {
            prop_assert_eq!(&acked, &found, "as it was told before");
            let is_misfit = |event: &Waiting| {
                event.connection == connection_id && event.number == event_id && event.kind != kind
            };
            let code = if connection_id.is_empty() || self.waiting.iter().any(is_misfit) {
                Code::InvalidArgument
            } else {
                let ended = self.ended.iter().rev().find(|(event, _)| is_it(event));
                ended.map_or(Code::NotFound, |(_, code)| *code)
            };
            self.reach(format!("refused {code:?}"));
            prop_assert_eq!(acked.err().map(|status| status.code), Some(code));
            return Ok(());
        };
        self.reach("acked");
        self.last_ack += 1;
        prop_assert_eq!(acked, Ok(self.last_ack));
        let ack = v1::Ack {
            seq: self.last_ack,
            id: Some(v1::EventId {
                connection_id: connection_id.into(),
                number: self.waiting[place].number,
            }),
            answer: Some(answer),
        };
        self.expected.push(Output::Ack(ack.into()));
        self.end(place, Code::AlreadyExists);
        Ok(())
    }

    /// What can be read of a command means the same when it is written again.
    fn command(&mut self, method: Method, request: Bytes) -> Result<(), TestCaseError> {
        let Ok(operation) = method.decode(request) else {
            return Ok(());
        };
        self.reach(method.path());
        let again = Method::encode(operation.clone(), "")
            .and_then(|(same, request)| Ok((same, same.decode(request)?)));
        prop_assert_eq!(again, Ok((method, operation)));
        Ok(())
    }

    fn drain(&mut self) -> Result<(), TestCaseError> {
        for expected in self.expected.drain(..) {
            let output = self.calls.poll_output();
            prop_assert_eq!(output.as_ref(), Some(&expected));
            self.log.extend(output);
        }
        prop_assert_eq!(self.calls.poll_output(), None);
        prop_assert_eq!(self.calls.skipped(), self.skipped);
        let due = self.waiting.iter().map(|event| event.until).min();
        prop_assert_eq!(self.calls.poll_timeout().map(|due| due.at), due);
        Ok(())
    }

    /// Time alone settles all that is left.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        self.pass(Duration::MAX);
        self.drain()?;
        prop_assert!(self.waiting.is_empty());
        prop_assert_eq!(self.calls.poll_timeout(), None);
        Ok(())
    }
}

/// What was asked for of a connection that is there, rarely of another, and rarely bytes that are changed afterwards.
fn operations() -> impl Strategy<Value = Operations> {
    let event_id = prop_oneof![4 => Just(0), 4 => 1..30_u64, 1 => Just(u64::MAX), 2 => u64::MAX - 4999..u64::MAX - 4980];
    let connection_id = prop_oneof![6 => Just("a"), 6 => Just("b"), 1 => Just("c"), 1 => Just("")];
    let ack = (0..2_u8, connection_id, event_id).prop_map(|(kind, connection_id, event_id)| {
        // The same fields have the same numbers in both.
        let request = AckMessageRequest {
            connection_id: connection_id.into(),
            event_id,
            ..AckMessageRequest::default()
        };
        [vec![kind], request.encode_to_vec()].concat()
    });
    let command = (2..64_u8, "[ab]{0,3}").prop_map(|(method, text)| {
        // A string as field 1, which most requests have.
        let len = text.len() as u8;
        [&[method, 0x0a, len][..], text.as_bytes()].concat()
    });
    let packet = prop_oneof![4 => ack, 1 => command];
    let changed = (packet.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            let len = bytes.len();
            bytes[at.index(len)] = byte;
            bytes
        },
    );
    let verb = (1..BURST_VERB, any::<u8>());
    let operation = prop_oneof![
        60 => packet.prop_map(Operation::Packet),
        10 => changed.prop_map(Operation::Packet),
        100 => verb.prop_map(|(number, byte)| Operation::Verb(number, byte)),
        1 => Just(Operation::Verb(BURST_VERB, 0)),
    ];
    (0..8_u8, vec(operation, 0..80)).prop_map(|(config, list)| Operations { config, list })
}

fn run(operations: &Operations) -> Result<Ran<Output>, TestCaseError> {
    let mut run = Run::new(operations.config);
    for operation in &operations.list {
        run.happens(operation)?;
    }
    run.finish()?;
    Ok(Ran {
        log: run.log,
        reached: run.reached,
    })
}

const MACHINE: Machine<Operations, Output> = Machine {
    corpus: "service_calls",
    parse: Operations::parse,
    to_bytes: Operations::to_bytes,
    run,
};

#[test]
fn the_corpus_of_registrations_keeps_its_promises() {
    MACHINE.replay_corpus();
}

/// An ack without an event is for the oldest of its connection; each event is settled once, and a second or late ack
/// is told why it has no effect.
#[test]
fn registrations_keep_their_promises_whatever_happens() {
    let rare = [
        "acked",
        "skipped",
        "forgotten",
        "refused InvalidArgument",
        "refused AlreadyExists",
        "refused DeadlineExceeded",
        "refused Cancelled",
        "refused NotFound",
    ];
    let reached = MACHINE.check_whatever_happens("registrations", 400, &operations(), &rare);
    for method in Method::ALL {
        assert!(reached.contains(method.path()), "not reached: {method:?}");
    }
}

#[test]
fn noise_is_no_danger_to_a_registration() {
    MACHINE.check_noise("noise of registrations", 500, 200);
}
