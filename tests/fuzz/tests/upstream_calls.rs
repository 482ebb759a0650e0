//! The application's end of the link in plain calls: what its link says, and events and responses as bytes, as a service
//! sends them. What it asks is read as the service reads it, and what the link hears is held against what was said.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use headwater_core::link::calls::{
    ACK_CONNECT, ACK_MESSAGE,
    translate::{Method, connect_answer, event, message_answer, streaming_request},
    upstream::{Input, Output, UpstreamCalls},
};
use headwater_fuzz::{
    machine::{Machine, Ran},
    packets::{Operation, Operations},
};
use headwater_proto::{
    Code, Status,
    v1::{
        self, ack::Answer, command::Operation as Command, event::Event, service_frame::Frame,
        upstream_frame::Frame as Said,
    },
    wps_rpc::{
        self, AckConnectRequest, AckMessageRequest, EventContext, streaming_request::Request,
    },
};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};
use prost::Message as _;

const HUB: &str = "chat";

/// What a call was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Ack,
    Command,
}

/// The machine, and what its driver knows.
struct Run {
    calls: UpstreamCalls,
    /// Of acks and commands.
    last_seq: u64,
    last_event: u64,
    skipped: u64,
    draining: bool,
    asked: BTreeMap<u64, Asked>,
    log: Vec<Output>,
    /// What of the machine was reached.
    reached: BTreeSet<String>,
}

fn window() -> v1::Window {
    v1::Window {
        events: 3,
        bytes: 100,
    }
}

fn register() -> v1::Register {
    v1::Register {
        hub: HUB.into(),
        ..v1::Register::default()
    }
}

/// One of the four answers, with and without what it can hold.
fn answer(byte: u8) -> Answer {
    let payload = || v1::Payload {
        r#type: v1::DataType::Json.into(),
        data: Bytes::from_static(b"{}"),
    };
    let status = || v1::Status {
        code: i32::from(byte) - 8,
        message: "no".into(),
    };
    match byte % 4 {
        0 => Answer::Accept(v1::Accept {
            groups: vec!["g".into(); usize::from(byte / 64)],
            ..v1::Accept::default()
        }),
        1 => Answer::Reject(v1::Reject {
            status: Some(status()),
        }),
        2 => Answer::Reply(v1::Reply {
            payload: (byte & 4 == 0).then(payload),
            ..v1::Reply::default()
        }),
        _ => Answer::Error(status()),
    }
}

impl Run {
    fn new() -> Self {
        let mut calls = UpstreamCalls::new(window());
        let frame = Some(Said::Register(register().into()));
        calls.handle(Input::Said(v1::UpstreamFrame { frame }));
        Self {
            calls,
            last_seq: 0,
            last_event: 0,
            skipped: 0,
            draining: false,
            asked: BTreeMap::new(),
            log: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    fn reach(&mut self, what: impl Into<String>) {
        self.reached.insert(what.into());
    }

    fn drain(&mut self) -> Vec<Output> {
        let outputs: Vec<_> = std::iter::from_fn(|| self.calls.poll_output()).collect();
        self.log.extend(outputs.iter().cloned());
        outputs
    }

    fn registers(&mut self) -> Result<(), TestCaseError> {
        let outputs = self.drain();
        let [Output::Register(asked)] = &outputs[..] else {
            return Err(TestCaseError::fail(format!("{outputs:?}")));
        };
        prop_assert_eq!((&*asked.hub, asked.window_events), (HUB, window().events));
        Ok(())
    }

    fn happens(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Packet(bytes) => self.service_says(bytes)?,
            Operation::Verb(number, byte) => self.verb(*number, *byte)?,
        }
        prop_assert_eq!(self.calls.pending(), self.asked.len());
        prop_assert_eq!(self.calls.skipped(), self.skipped);
        prop_assert_eq!(self.calls.poll_output(), None);
        Ok(())
    }

    fn verb(&mut self, number: u8, byte: u8) -> Result<(), TestCaseError> {
        match number {
            1..=3 => self.ack(byte),
            4..=6 => self.command(byte),
            7 => self.lost(byte.into()),
            8 => {
                let token = byte.to_string();
                let fresh = v1::Authenticate {
                    token: token.clone(),
                };
                self.link_says(Said::Authenticate(fresh));
                prop_assert_eq!(self.drain(), [Output::Token(token)]);
                Ok(())
            }
            9 => {
                self.link_says(Said::Settled(v1::Settled::default()));
                self.link_says(Said::ResultsThrough(v1::ResultsThrough::default()));
                prop_assert_eq!(self.drain(), [], "the calls say so");
                Ok(())
            }
            10 => {
                self.link_says(Said::Drain(v1::Drain::default()));
                self.draining = true;
                prop_assert_eq!(self.drain(), [], "there is no call for it");
                Ok(())
            }
            11 => self.accepted(byte),
            _ => Ok(()),
        }
    }

    fn link_says(&mut self, frame: Said) {
        let frame = Some(frame);
        self.calls.handle(Input::Said(v1::UpstreamFrame { frame }));
    }

    fn accepted(&mut self, byte: u8) -> Result<(), TestCaseError> {
        let registration = byte.to_string();
        self.calls.handle(Input::Accepted {
            registration: registration.clone(),
        });
        let Frame::Registered(registered) = self.heard()? else {
            return Err(TestCaseError::fail("it was accepted"));
        };
        prop_assert_eq!(registered.registration, registration);
        Ok(())
    }

    /// The one frame that the link hears.
    fn heard(&mut self) -> Result<Frame, TestCaseError> {
        let mut outputs = self.drain();
        match (outputs.pop(), outputs.is_empty()) {
            (Some(Output::Heard(v1::ServiceFrame { frame: Some(frame) })), true) => Ok(frame),
            (last, _) => Err(TestCaseError::fail(format!("{outputs:?} {last:?}"))),
        }
    }

    /// The call that is made: its path and its request.
    fn called(&mut self) -> Result<(&'static str, Bytes), TestCaseError> {
        let outputs = self.drain();
        match &outputs[..] {
            [Output::Call { seq, path, request }] if *seq == self.last_seq => {
                Ok((path, request.clone()))
            }
            _ => Err(TestCaseError::fail(format!("{outputs:?}"))),
        }
    }

    fn ack(&mut self, byte: u8) -> Result<(), TestCaseError> {
        self.last_seq += 1;
        let id = v1::EventId {
            connection_id: "c".into(),
            number: byte.into(),
        };
        let ack = v1::Ack {
            seq: self.last_seq,
            id: Some(id.clone()),
            answer: Some(answer(byte)),
        };
        self.link_says(Said::Ack(ack.into()));
        let (path, request) = self.called()?;
        self.asked.insert(self.last_seq, Asked::Ack);
        let read = match path {
            ACK_CONNECT => AckConnectRequest::decode(request).map(|ack| {
                let answer = connect_answer(ack.ack_connect_message);
                (ack.connection_id, ack.event_id, ack.hub, answer)
            }),
            ACK_MESSAGE => AckMessageRequest::decode(request).map(|ack| {
                let answer = message_answer(ack.ack_event_message);
                (ack.connection_id, ack.event_id, ack.hub, answer)
            }),
            _ => return Err(TestCaseError::fail(path)),
        };
        let said = (id.connection_id, id.number, HUB.to_owned(), answer(byte));
        prop_assert_eq!(read, Ok(said));
        Ok(())
    }

    fn command(&mut self, byte: u8) -> Result<(), TestCaseError> {
        self.last_seq += 1;
        let method = Method::ALL[usize::from(byte) % Method::ALL.len()];
        // The hub, which is field 15 of all.
        let mut request = vec![0x7a, HUB.len() as u8];
        request.extend(HUB.bytes());
        let operation = method.decode(request.into()).expect("it names a hub");
        self.commanded(method, operation)
    }

    fn commanded(&mut self, method: Method, operation: Command) -> Result<(), TestCaseError> {
        let command = v1::Command {
            seq: self.last_seq,
            operation: Some(operation.clone()),
            ..v1::Command::default()
        };
        self.link_says(Said::Command(command.into()));
        let (path, request) = self.called()?;
        self.asked.insert(self.last_seq, Asked::Command);
        prop_assert_eq!(path, method.path());
        prop_assert_eq!(method.decode(request), Ok(operation));
        Ok(())
    }

    fn lost(&mut self, seq: u64) -> Result<(), TestCaseError> {
        let status = Status::new(Code::Unavailable, "lost");
        let asked = self.asked.remove(&seq);
        let input = Input::Lost {
            seq,
            status: status.clone(),
        };
        self.calls.handle(input);
        let outputs = self.drain();
        match asked {
            Some(Asked::Ack) => prop_assert_eq!(outputs, [refused(seq, status)]),
            Some(Asked::Command) => {
                self.reach("lost command");
                prop_assert_eq!(outputs, [Output::Lost { seq }]);
            }
            None => prop_assert_eq!(outputs, []),
        }
        Ok(())
    }

    /// An event or the end of a call, with any bytes: what of it, for which call, and the message.
    fn service_says(&mut self, bytes: &[u8]) -> Result<(), TestCaseError> {
        let [what, seq, message @ ..] = bytes else {
            return Ok(());
        };
        let (seq, message) = (u64::from(*seq), Bytes::copy_from_slice(message));
        match what {
            0 => self.event(message),
            1 => self.answered(seq, Ok(message)),
            code => {
                let code = Code::from_number((code % 17).into()).unwrap_or(Code::Unknown);
                self.answered(seq, Err(Status::new(code, "no")))
            }
        }
    }

    fn answered(&mut self, seq: u64, outcome: Result<Bytes, Status>) -> Result<(), TestCaseError> {
        let asked = self.asked.remove(&seq);
        self.calls.handle(Input::Answered {
            seq,
            outcome: outcome.clone(),
        });
        match (asked, outcome) {
            (Some(Asked::Ack), Err(status)) => {
                self.reach("refused");
                prop_assert_eq!(self.drain(), [refused(seq, status)]);
            }
            (Some(Asked::Command), outcome) => {
                let Frame::Result(result) = self.heard()? else {
                    return Err(TestCaseError::fail("it was a command"));
                };
                prop_assert_eq!(result.seq, seq);
                prop_assert_ne!(result.status.is_some(), result.value.is_some());
                match (outcome, result.status.map(Status::from)) {
                    (Err(said), heard) => prop_assert_eq!(heard, Some(said)),
                    (Ok(_), Some(unread)) => {
                        self.reach("unreadable response");
                        prop_assert_eq!(unread.code, Code::Internal);
                    }
                    (Ok(_), None) => self.reach("result"),
                }
            }
            (Some(Asked::Ack), Ok(_)) | (None, _) => prop_assert_eq!(self.drain(), []),
        }
        Ok(())
    }

    fn event(&mut self, message: Bytes) -> Result<(), TestCaseError> {
        self.calls.handle(Input::Message(message.clone()));
        let Ok(sent) = wps_rpc::StreamingRequest::decode(message) else {
            self.reach("close");
            let outputs = self.drain();
            prop_assert!(matches!(outputs[..], [Output::Close(_)]), "{outputs:?}");
            return Ok(());
        };
        let waits = match &sent.request {
            Some(Request::ConnectRequest(_) | Request::MessageRequest(_)) => true,
            Some(Request::ConnectedRequest(_) | Request::DisconnectedRequest(_)) => false,
            None => {
                self.skipped += 1;
                self.reach("skipped");
                prop_assert_eq!(self.drain(), []);
                return Ok(());
            }
        };
        if waits && self.draining {
            self.reach("passed over");
            prop_assert_eq!(self.drain(), [], "it would not be answered");
            return Ok(());
        }
        let Frame::Event(heard) = self.heard()? else {
            return Err(TestCaseError::fail("it was an event"));
        };
        self.last_event += 1;
        prop_assert_eq!(heard.seq, self.last_event, "no hole");
        let is_waiting = matches!(heard.event, Some(Event::Connect(_) | Event::Message(_)));
        prop_assert_eq!(is_waiting, waits);
        // A service would say the same of it again.
        let again = streaming_request((*heard).clone(), HUB).expect("what was sent can be sent");
        let again = again.and_then(|request| event(request, heard.seq));
        prop_assert_eq!(again, Some(*heard));
        Ok(())
    }
}

fn refused(seq: u64, status: Status) -> Output {
    let status = Some(status.into());
    let frame = Some(Frame::Refused(v1::Refused { seq, status }));
    Output::Heard(v1::ServiceFrame { frame })
}

/// An event of any kind, with a little in it.
fn request() -> impl Strategy<Value = Request> {
    ("[a-c]{0,2}", any::<u64>(), any::<bool>(), 0..8_u8).prop_map(
        |(connection_id, event_id, traced, kind)| {
            let context = Some(EventContext {
                event_id,
                traceparent: if traced { "00-a".into() } else { String::new() },
                ..EventContext::default()
            });
            let text = wps_rpc::message::Data::TextData(connection_id.clone());
            match kind {
                0 | 1 => Request::ConnectRequest(wps_rpc::ConnectRequest {
                    connection_id,
                    context,
                    subprotocols: vec!["s".into()],
                    ..wps_rpc::ConnectRequest::default()
                }),
                2 => Request::ConnectedRequest(wps_rpc::ConnectedRequest {
                    connection_id,
                    context,
                    ..wps_rpc::ConnectedRequest::default()
                }),
                3 => Request::DisconnectedRequest(wps_rpc::DisconnectedRequest {
                    connection_id,
                    context,
                    ..wps_rpc::DisconnectedRequest::default()
                }),
                _ => Request::MessageRequest(wps_rpc::MessageRequest {
                    connection_id,
                    context,
                    message: Some(wps_rpc::Message { data: Some(text) }),
                    ..wps_rpc::MessageRequest::default()
                }),
            }
        },
    )
}

fn operations() -> impl Strategy<Value = Operations> {
    let event = request().prop_map(|request| {
        let request = Some(request);
        let event = wps_rpc::StreamingRequest { request };
        [vec![0, 0], event.encode_to_vec()].concat()
    });
    // Of the first calls. The responses hold a number, a page of members, or what is neither.
    let response = prop_oneof![
        Just(vec![]),
        Just(vec![8, 1]),
        Just(vec![0x0a, 0]),
        vec(any::<u8>(), 0..6)
    ];
    let outcome = (1..20_u8, 1..20_u8, response)
        .prop_map(|(what, seq, response)| [vec![what.min(3), seq], response].concat());
    let packet = prop_oneof![event, outcome];
    let changed = (packet.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            let len = bytes.len();
            bytes[at.index(len)] = byte;
            bytes
        },
    );
    let verb = prop_oneof![
        8 => (1..7_u8, any::<u8>()),
        2 => (7..8_u8, 1..20_u8),
        1 => (8..12_u8, any::<u8>()),
    ];
    let operation = prop_oneof![
        6 => packet.prop_map(Operation::Packet),
        1 => changed.prop_map(Operation::Packet),
        6 => verb.prop_map(|(number, byte)| Operation::Verb(number, byte)),
    ];
    vec(operation, 0..80).prop_map(|list| Operations { config: 0, list })
}

fn run(operations: &Operations) -> Result<Ran<Output>, TestCaseError> {
    let mut run = Run::new();
    run.registers()?;
    for operation in &operations.list {
        run.happens(operation)?;
    }
    Ok(Ran {
        log: run.log,
        reached: run.reached,
    })
}

const MACHINE: Machine<Operations, Output> = Machine {
    corpus: "upstream_calls",
    parse: Operations::parse,
    to_bytes: Operations::to_bytes,
    run,
};

#[test]
fn the_corpus_of_upstreams_keeps_its_promises() {
    MACHINE.replay_corpus();
}

/// Each command has one result, an ack is heard of if it failed, and events are numbered without a hole.
#[test]
fn upstreams_keep_their_promises_whatever_happens() {
    let rare = [
        "close",
        "lost command",
        "passed over",
        "refused",
        "result",
        "skipped",
        "unreadable response",
    ];
    MACHINE.check_whatever_happens("upstreams", 2000, &operations(), &rare);
}

#[test]
fn noise_is_no_danger_to_an_upstream() {
    MACHINE.check_noise("noise of upstreams", 3000, 200);
}
