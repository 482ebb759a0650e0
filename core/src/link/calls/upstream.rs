//! The application's end of the mapping: what a [`Link`](crate::link::upstream::Link) says becomes calls, and what comes of
//! them becomes the frames that it hears.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    string::String,
};

use bytes::Bytes;
use headwater_proto::{
    Code, Status,
    v1::{self, event::Event, result::Value, service_frame::Frame, upstream_frame::Frame as Said},
    wps_rpc,
};
use prost::Message;

use super::{
    ACK_CONNECT, ACK_MESSAGE,
    translate::{self, AckRequest, Method},
};

/// The largest answer or command, in bytes: a little is left of a message of 4 MiB for what the call adds.
const FRAME_BYTES_MAX: u64 = (4 << 20) - (1 << 10);

/// What happens to an [`UpstreamCalls`].
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The link wants this said.
    Said(v1::UpstreamFrame),
    /// The headers of the response to `register` came, with this registration; the service may not name it.
    Accepted {
        /// Empty if it is not named.
        registration: String,
    },
    /// A message of the call of `register`: one encoded `StreamingRequest`.
    Message(Bytes),
    /// The service has answered a call of [`Output::Call`].
    Answered {
        /// The number of the call.
        seq: u64,
        /// Its response, or why the service gave none.
        outcome: Result<Bytes, Status>,
    },
    /// A call of [`Output::Call`] has ended without a word of the service: it may have taken effect or not.
    Lost {
        /// The number of the call.
        seq: u64,
        /// Why it ended.
        status: Status,
    },
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this as the one request of `register`.
    Register(Box<wps_rpc::RegisterMessage>),
    /// Make a unary call. The calls need not wait for each other.
    Call {
        /// Names the call in [`Input::Answered`].
        seq: u64,
        /// The path of the method.
        path: &'static str,
        /// The request, encoded.
        request: Bytes,
    },
    /// The link hears this.
    Heard(v1::ServiceFrame),
    /// The link hears that this command is lost.
    Lost {
        /// The number of the command.
        seq: u64,
    },
    /// Calls from now on carry this token.
    Token(String),
    /// End the call of `register`: the service sent what is no `StreamingRequest`.
    Close(Status),
}

/// What a call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Ack,
    Command(Method),
}

/// One registration by `WpsRpc`, seen from the application.
///
/// It keeps what [`Link`](crate::link::upstream::Link) promises, but for what the calls cannot give: answers and commands
/// race each other, no event is cancelled, a registration is not resumed, and the service is not told that the
/// application drains. After a drain, connects and messages that still come are passed over: they fail when the call of
/// `register` ends.
#[derive(Debug)]
pub struct UpstreamCalls {
    window: v1::Window,
    hub: String,
    last_event: u64,
    draining: bool,
    asked: BTreeMap<u64, Asked>,
    outputs: VecDeque<Output>,
    skipped: u64,
}

impl UpstreamCalls {
    /// A registration to come. `window` says what the service may leave unanswered; what the link itself would say is
    /// replaced by it.
    pub const fn new(window: v1::Window) -> Self {
        Self {
            window,
            hub: String::new(),
            last_event: 0,
            draining: false,
            asked: BTreeMap::new(),
            outputs: VecDeque::new(),
            skipped: 0,
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Said(frame) => self.said(frame.frame),
            Input::Accepted { registration } => self.accepted(registration),
            Input::Message(message) => self.message(message),
            Input::Answered { seq, outcome } => self.answered(seq, outcome),
            Input::Lost { seq, status } => self.lost(seq, status),
        }
    }

    /// What to do next; `None` when drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Calls that have not ended.
    pub fn pending(&self) -> usize {
        self.asked.len()
    }

    /// Events that this version does not know.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn said(&mut self, frame: Option<Said>) {
        match frame {
            Some(Said::Register(register)) => self.register(*register),
            Some(Said::Ack(ack)) => self.ack(*ack),
            Some(Said::Command(command)) => self.command(*command),
            Some(Said::Authenticate(fresh)) => self.outputs.push_back(Output::Token(fresh.token)),
            Some(Said::Drain(_)) => self.draining = true,
            // The answers of the calls say so.
            Some(Said::Settled(_) | Said::ResultsThrough(_)) | None => {}
        }
    }

    fn register(&mut self, mut register: v1::Register) {
        self.hub.clone_from(&register.hub);
        register.window = Some(self.window);
        let register = translate::register_message(register);
        self.outputs.push_back(Output::Register(register.into()));
    }

    fn ack(&mut self, ack: v1::Ack) {
        let seq = ack.seq;
        match translate::ack_request(ack, &self.hub) {
            Ok(AckRequest::Connect(ack)) => self.call(seq, Asked::Ack, ACK_CONNECT, &ack),
            Ok(AckRequest::Message(ack)) => self.call(seq, Asked::Ack, ACK_MESSAGE, &ack),
            Err(status) => self.refused(seq, status),
        }
    }

    fn command(&mut self, command: v1::Command) {
        let seq = command.seq;
        let missing = || Status::new(Code::InvalidArgument, "the command has no operation");
        let encoded = command
            .operation
            .ok_or_else(missing)
            .and_then(|operation| Method::encode(operation, &self.hub));
        match encoded {
            Ok((method, request)) => {
                self.asked.insert(seq, Asked::Command(method));
                let path = method.path();
                self.outputs.push_back(Output::Call { seq, path, request });
            }
            Err(status) => self.result(seq, Err(status)),
        }
    }

    fn call(&mut self, seq: u64, asked: Asked, path: &'static str, request: &impl Message) {
        self.asked.insert(seq, asked);
        let request = request.encode_to_vec().into();
        self.outputs.push_back(Output::Call { seq, path, request });
    }

    fn accepted(&mut self, registration: String) {
        let registered = v1::Registered {
            registration,
            limits: Some(v1::Limits {
                commands: 0,
                frame_bytes: FRAME_BYTES_MAX,
            }),
            ..v1::Registered::default()
        };
        self.heard(Frame::Registered(registered.into()));
    }

    fn message(&mut self, message: Bytes) {
        let Ok(request) = wps_rpc::StreamingRequest::decode(message) else {
            let status = Status::new(Code::InvalidArgument, "an event cannot be decoded");
            self.outputs.push_back(Output::Close(status));
            return;
        };
        let Some(event) = translate::event(request, self.last_event + 1) else {
            self.skipped += 1;
            return;
        };
        // A notice is settled when it is sent, and would be lost.
        let waits = matches!(event.event, Some(Event::Connect(_) | Event::Message(_)));
        if self.draining && waits {
            return;
        }
        self.last_event = event.seq;
        self.heard(Frame::Event(event.into()));
    }

    fn answered(&mut self, seq: u64, outcome: Result<Bytes, Status>) {
        match (self.asked.remove(&seq), outcome) {
            (Some(Asked::Ack), Err(status)) => self.refused(seq, status),
            (Some(Asked::Command(method)), outcome) => {
                let value = outcome.and_then(|response| method.decode_response(response));
                self.result(seq, value);
            }
            (Some(Asked::Ack), Ok(_)) | (None, _) => {}
        }
    }

    fn lost(&mut self, seq: u64, status: Status) {
        match self.asked.remove(&seq) {
            Some(Asked::Ack) => self.refused(seq, status),
            Some(Asked::Command(_)) => self.outputs.push_back(Output::Lost { seq }),
            None => {}
        }
    }

    fn refused(&mut self, seq: u64, status: Status) {
        let status = Some(status.into());
        self.heard(Frame::Refused(v1::Refused { seq, status }));
    }

    fn result(&mut self, seq: u64, outcome: Result<Value, Status>) {
        let (status, value) = match outcome {
            Ok(value) => (None, Some(value)),
            Err(status) => (Some(status.into()), None),
        };
        self.heard(Frame::Result(v1::Result { seq, status, value }));
    }

    fn heard(&mut self, frame: Frame) {
        let frame = v1::ServiceFrame { frame: Some(frame) };
        self.outputs.push_back(Output::Heard(frame));
    }
}

#[cfg(test)]
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "any other output is a failure of the test"
)]
mod tests {
    use alloc::{vec, vec::Vec};

    use headwater_proto::wps_rpc::streaming_request::Request;

    use super::*;

    fn registered() -> UpstreamCalls {
        let mut calls = UpstreamCalls::new(v1::Window {
            events: 3,
            bytes: 100,
        });
        let register = v1::Register {
            hub: "chat".into(),
            app: "app".into(),
            ..v1::Register::default()
        };
        say(&mut calls, Said::Register(register.into()));
        let registration = "r".into();
        calls.handle(Input::Accepted { registration });
        calls
    }

    fn live() -> UpstreamCalls {
        let mut calls = registered();
        drain(&mut calls);
        calls
    }

    fn say(calls: &mut UpstreamCalls, frame: Said) {
        let frame = Some(frame);
        calls.handle(Input::Said(v1::UpstreamFrame { frame }));
    }

    fn message(connection: &str) -> Input {
        let request = Request::MessageRequest(wps_rpc::MessageRequest {
            connection_id: connection.into(),
            ..wps_rpc::MessageRequest::default()
        });
        let request = Some(request);
        Input::Message(wps_rpc::StreamingRequest { request }.encode_to_vec().into())
    }

    fn ack(seq: u64, answer: v1::ack::Answer) -> Said {
        let id = v1::EventId {
            connection_id: "c".into(),
            number: 4,
        };
        let (id, answer) = (Some(id), Some(answer));
        Said::Ack(v1::Ack { seq, id, answer }.into())
    }

    fn command(seq: u64, operation: v1::command::Operation) -> Said {
        let operation = Some(operation);
        let command = v1::Command {
            seq,
            operation,
            ..v1::Command::default()
        };
        Said::Command(command.into())
    }

    fn drain(calls: &mut UpstreamCalls) -> Vec<Output> {
        core::iter::from_fn(|| calls.poll_output()).collect()
    }

    fn heard(outputs: Vec<Output>) -> Vec<Frame> {
        let frame = |output| match output {
            Output::Heard(v1::ServiceFrame { frame }) => frame.expect("is never empty"),
            other => panic!("not for the link: {other:?}"),
        };
        outputs.into_iter().map(frame).collect()
    }

    #[test]
    fn a_registration_is_one_request_and_is_taken_with_the_headers() {
        let outputs = drain(&mut registered());
        let [Output::Register(register), Output::Heard(heard)] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!((&*register.hub, &*register.app), ("chat", "app"));
        assert_eq!((register.window_events, register.window_bytes), (3, 100));
        let Some(Frame::Registered(registered)) = &heard.frame else {
            panic!("{heard:?}")
        };
        assert_eq!(
            (&*registered.registration, registered.resumed),
            ("r", false)
        );
    }

    #[test]
    fn events_are_numbered_in_the_order_in_which_they_came() {
        let mut calls = live();
        for connection in ["a", "b"] {
            calls.handle(message(connection));
        }
        let events = heard(drain(&mut calls))
            .into_iter()
            .map(|frame| match frame {
                Frame::Event(event) => (event.seq, event.id.expect("it has one").connection_id),
                other => panic!("{other:?}"),
            });
        assert_eq!(
            events.collect::<Vec<_>>(),
            [(1, "a".into()), (2, "b".into())]
        );
    }

    #[test]
    fn each_answer_is_a_call_and_only_a_failed_one_is_heard_of() {
        let mut calls = live();
        say(
            &mut calls,
            ack(1, v1::ack::Answer::Accept(v1::Accept::default())),
        );
        say(
            &mut calls,
            ack(2, v1::ack::Answer::Reply(v1::Reply::default())),
        );
        let outputs = drain(&mut calls);
        let paths = outputs.iter().map(|output| match output {
            Output::Call { seq, path, .. } => (*seq, *path),
            other => panic!("{other:?}"),
        });
        assert_eq!(
            paths.collect::<Vec<_>>(),
            [(1, ACK_CONNECT), (2, ACK_MESSAGE)]
        );
        assert_eq!(calls.pending(), 2);
        let late = Status::new(Code::DeadlineExceeded, "late");
        calls.handle(Input::Answered {
            seq: 2,
            outcome: Err(late.clone()),
        });
        calls.handle(Input::Answered {
            seq: 1,
            outcome: Ok(Bytes::new()),
        });
        let refused = v1::Refused {
            seq: 2,
            status: Some(late.into()),
        };
        assert_eq!(heard(drain(&mut calls)), [Frame::Refused(refused)]);
        assert_eq!(calls.pending(), 0);
    }

    #[test]
    fn a_command_is_a_call_and_its_response_the_result() {
        let mut calls = live();
        let exists = v1::ConnectionExistsRequest {
            connection_id: "c".into(),
            ..v1::ConnectionExistsRequest::default()
        };
        say(
            &mut calls,
            command(1, v1::command::Operation::ConnectionExists(exists)),
        );
        let outputs = drain(&mut calls);
        assert!(
            matches!(
                outputs[..],
                [Output::Call {
                    seq: 1,
                    path: "/WpsRpc/connectionExists",
                    ..
                }]
            ),
            "{outputs:?}"
        );
        let yes = wps_rpc::Answer { yes: true }.encode_to_vec().into();
        calls.handle(Input::Answered {
            seq: 1,
            outcome: Ok(yes),
        });
        let result = v1::Result {
            seq: 1,
            status: None,
            value: Some(Value::Answer(v1::Answer { yes: true })),
        };
        assert_eq!(heard(drain(&mut calls)), [Frame::Result(result)]);
        say(
            &mut calls,
            command(
                2,
                v1::command::Operation::CloseAll(v1::CloseAllRequest::default()),
            ),
        );
        drain(&mut calls);
        let status = Status::new(Code::Unavailable, "the connection was lost");
        calls.handle(Input::Lost { seq: 2, status });
        assert_eq!(drain(&mut calls), [Output::Lost { seq: 2 }]);
        // A response that nobody waits for is none.
        calls.handle(Input::Answered {
            seq: 1,
            outcome: Ok(Bytes::new()),
        });
        assert_eq!(drain(&mut calls), []);
    }

    #[test]
    fn what_the_service_settles_by_itself_makes_no_call() {
        let mut calls = live();
        say(&mut calls, Said::Settled(v1::Settled::default()));
        say(
            &mut calls,
            Said::ResultsThrough(v1::ResultsThrough::default()),
        );
        assert_eq!(drain(&mut calls), []);
        say(
            &mut calls,
            Said::Authenticate(v1::Authenticate { token: "t".into() }),
        );
        assert_eq!(drain(&mut calls), [Output::Token("t".into())]);
    }

    #[test]
    fn nothing_that_waits_for_an_answer_is_given_out_after_a_drain() {
        let mut calls = live();
        say(&mut calls, Said::Drain(v1::Drain::default()));
        calls.handle(message("c"));
        assert_eq!(drain(&mut calls), []);
        let gone = Request::DisconnectedRequest(wps_rpc::DisconnectedRequest::default());
        let request = Some(gone);
        let gone = wps_rpc::StreamingRequest { request }.encode_to_vec();
        calls.handle(Input::Message(gone.into()));
        let heard = heard(drain(&mut calls));
        assert!(matches!(heard[..], [Frame::Event(_)]), "{heard:?}");
    }

    #[test]
    fn a_kind_of_event_of_a_later_version_is_counted_and_what_is_none_ends_the_call() {
        let mut calls = live();
        // Field 9, empty.
        calls.handle(Input::Message(Bytes::from_static(b"\x4a\x00")));
        assert_eq!((drain(&mut calls), calls.skipped()), (vec![], 1));
        calls.handle(Input::Message(Bytes::from_static(b"\xff")));
        let outputs = drain(&mut calls);
        assert!(matches!(outputs[..], [Output::Close(_)]), "{outputs:?}");
    }
}
