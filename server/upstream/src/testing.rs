//! Tests of a handler: without a service, a port, or a task of its own.
//!
//! ```
//! use headwater_upstream::{
//!     Context, Failure, Handler, Message, Reply, async_trait,
//!     testing::{Sent, TestUpstream},
//! };
//!
//! struct Greeter;
//!
//! #[async_trait]
//! impl Handler for Greeter {
//!     async fn message(&self, context: &Context, message: Message) -> Result<Reply, Failure> {
//!         context.hub().send_to_group("lobby", "somebody is here");
//!         Ok(Reply::from(format!("hello, {}", message.payload.as_text().unwrap_or("you"))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut app = TestUpstream::start(Greeter);
//! let reply = app.message("connection-1", "greet", "Ada").await;
//! assert_eq!(reply, Ok(Reply::from("hello, Ada")));
//! assert_eq!(app.commands().len(), 1);
//! # }
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    sync::Arc,
    task::Poll,
};

use headwater_core::{
    Time,
    link::upstream::{Config, Input},
};
use headwater_proto::{
    Status,
    v1::{
        self, ack::Answer, command::Operation, event::Event, result::Value,
        service_frame::Frame as Said, upstream_frame::Frame,
    },
};

use crate::{
    Accept, Connect, Failure, Handler, Hub, Message, Payload, Reject, Reply, engine::Engine,
    mailbox::Bounds,
};

/// A handler, and a stand-in for the service that sends it events, takes what it answers, and says yes to its commands.
///
/// The handler runs inside the methods of this value, so nothing happens between two calls.
pub struct TestUpstream {
    engine: Engine,
    connections: BTreeMap<String, Connection>,
    event_seq: u64,
    /// What the handler did and the test has not looked at.
    sent: VecDeque<Sent>,
    answers: BTreeMap<u64, Answer>,
    settled: Vec<v1::Range>,
    seqs: BTreeMap<(String, u64), u64>,
    respond: Respond,
}

type Respond = Box<dyn FnMut(&Operation) -> Result<Option<Value>, Status> + Send>;

#[derive(Debug, Default)]
struct Connection {
    number: u64,
    context: v1::ConnectionContext,
}

/// An event that was sent to the handler; see [`TestUpstream::send_message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending(u64);

/// What a handler sent, in its order.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// It let a client in.
    Accept(Accept),
    /// It kept a client out.
    Reject(Reject),
    /// It handled a message.
    Reply(Reply),
    /// It failed.
    Failure(Failure),
    /// It gave a command.
    Command(Operation),
}

impl TestUpstream {
    /// Starts a handler whose hub is named `test`.
    pub fn start(handler: impl Handler) -> Self {
        Self::start_in("test", handler)
    }

    /// Starts a handler of this hub.
    pub fn start_in(hub: impl Into<String>, handler: impl Handler) -> Self {
        let config = Config {
            hub: hub.into(),
            app: "test".into(),
            ..Config::default()
        };
        let bounds = Bounds {
            commands: 16 * 1024,
            bytes: 64 << 20,
        };
        let mut upstream = Self {
            engine: Engine::new(config, bounds, Arc::new(handler)),
            connections: BTreeMap::new(),
            event_seq: 0,
            sent: VecDeque::new(),
            answers: BTreeMap::new(),
            settled: Vec::new(),
            seqs: BTreeMap::new(),
            respond: Box::new(|operation| Ok(Some(default_value(operation)))),
        };
        upstream.engine.handle(Input::Opened, Time::ZERO);
        upstream.say(Said::Registered(Box::default()));
        upstream.engine.drain_link();
        upstream
    }

    /// How commands end from now on. Without this: sends and changes concern 1 connection, questions are answered with
    /// `false`, lists are empty.
    pub fn respond_with(
        &mut self,
        respond: impl FnMut(&Operation) -> Result<Option<Value>, Status> + Send + 'static,
    ) {
        self.respond = Box::new(respond);
    }

    /// The hub, as code outside of the handler has it.
    pub fn hub(&self) -> &Hub {
        self.engine.hub()
    }

    /// A client wants to connect. Gives the handler's answer once the handler has ended; a user and a state that it
    /// sets are in the context of the later events of this connection.
    pub async fn connect(&mut self, connection: &str, connect: Connect) -> Result<Accept, Reject> {
        let pending = self.send(connection, Event::Connect(connect.into()));
        match self.ended(pending).await {
            Some(Answer::Accept(accept)) => Ok(accept.into()),
            Some(Answer::Reject(reject)) => Err(rejection(reject)),
            answer @ (Some(Answer::Reply(_) | Answer::Error(_)) | None) => {
                unreachable!("the link lets no other answer pass: {answer:?}")
            }
        }
    }

    /// A client is connected. Returns once the handler has ended.
    pub async fn connected(&mut self, connection: &str) {
        let pending = self.send(connection, Event::Connected(v1::Connected {}));
        self.ended(pending).await;
    }

    /// A client says something. Gives the handler's answer once the handler has ended.
    pub async fn message(
        &mut self,
        connection: &str,
        name: &str,
        payload: impl Into<Payload>,
    ) -> Result<Reply, Failure> {
        let pending = self.send_message(connection, Message::new(name, payload));
        self.answer(pending).await
    }

    /// A client has gone. Returns once the handler has ended.
    pub async fn disconnected(&mut self, connection: &str, reason: &str) {
        let reason = reason.into();
        let disconnected = v1::Disconnected { reason };
        let pending = self.send(connection, Event::Disconnected(disconnected));
        self.ended(pending).await;
        self.connections.remove(connection);
    }

    /// A client says something, and the test goes on. The handler starts with the next call that waits.
    pub fn send_message(&mut self, connection: &str, message: Message) -> Pending {
        self.send(connection, Event::Message(message.into()))
    }

    /// Waits for the handler of a message to end, and gives its answer.
    ///
    /// # Panics
    ///
    /// If the answer was given out before.
    pub async fn answer(&mut self, pending: Pending) -> Result<Reply, Failure> {
        match self.ended(pending).await {
            Some(Answer::Reply(reply)) => Ok(reply.into()),
            Some(Answer::Error(status)) => Err(Failure(status.into())),
            Some(Answer::Accept(_) | Answer::Reject(_)) => {
                unreachable!("the link lets no such answer pass")
            }
            None => panic!("the answer was given out before"),
        }
    }

    /// Lets all handlers run until each of them has ended or waits for something other than the service.
    pub async fn settle(&mut self) {
        poll_fn(|cx| {
            self.turn(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// The client of an event has gone: tells its handler.
    pub fn cancel(&mut self, pending: Pending) {
        let event = self.seqs.iter().find(|(_, seq)| **seq == pending.0);
        let id = event.map(|((connection, number), _)| v1::EventId {
            connection_id: connection.clone(),
            number: *number,
        });
        self.say(Said::Cancel(v1::Cancel { id }));
    }

    /// What the handlers sent since this was last asked, in their order.
    pub fn sent(&mut self) -> Vec<Sent> {
        self.sent.drain(..).collect()
    }

    /// The commands among what the handlers sent since this or [`TestUpstream::sent`] was last asked.
    pub fn commands(&mut self) -> Vec<Operation> {
        let commands = self.sent.drain(..).filter_map(|sent| match sent {
            Sent::Command(operation) => Some(operation),
            Sent::Accept(_) | Sent::Reject(_) | Sent::Reply(_) | Sent::Failure(_) => None,
        });
        commands.collect()
    }

    fn send(&mut self, connection: &str, event: Event) -> Pending {
        self.event_seq += 1;
        let seq = self.event_seq;
        let known = self.connections.entry(connection.into()).or_default();
        known.number += 1;
        let number = known.number;
        let event = v1::Event {
            seq,
            id: Some(v1::EventId {
                connection_id: connection.into(),
                number,
            }),
            context: Some(known.context.clone()),
            event: Some(event),
            ..v1::Event::default()
        };
        self.seqs.insert((connection.into(), number), seq);
        self.say(Said::Event(Box::new(event)));
        Pending(seq)
    }

    async fn ended(&mut self, pending: Pending) -> Option<Answer> {
        poll_fn(|cx| {
            self.turn(cx);
            let settled = |range: &v1::Range| (range.from..=range.to).contains(&pending.0);
            if !self.settled.iter().any(settled) {
                return Poll::Pending;
            }
            Poll::Ready(self.answers.remove(&pending.0))
        })
        .await
    }

    fn turn(&mut self, cx: &mut std::task::Context<'_>) {
        loop {
            self.engine.poll(Time::ZERO, cx);
            let frames: Vec<_> = self.engine.take_frames().collect();
            if frames.is_empty() {
                return;
            }
            for frame in frames.into_iter().filter_map(|frame| frame.frame) {
                self.take(frame);
            }
        }
    }

    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Ack(ack) => self.take_ack(*ack),
            Frame::Command(command) => {
                let operation = command.operation.expect("the link sends whole commands");
                let (status, value) = match (self.respond)(&operation) {
                    Ok(value) => (None, value),
                    Err(status) => (Some(status.into()), None),
                };
                self.sent.push_back(Sent::Command(operation));
                let seq = command.seq;
                self.say(Said::Result(v1::Result { seq, status, value }));
            }
            Frame::Settled(settled) => self.settled.extend(settled.ranges),
            Frame::Register(_)
            | Frame::ResultsThrough(_)
            | Frame::Authenticate(_)
            | Frame::Drain(_) => {}
        }
    }

    fn take_ack(&mut self, ack: v1::Ack) {
        let id = ack.id.expect("the link names the event");
        let answer = ack.answer.expect("the link sends whole answers");
        if let Some(connection) = self.connections.get_mut(&id.connection_id) {
            connection.learn(&answer);
        }
        self.sent.push_back(match answer.clone() {
            Answer::Accept(accept) => Sent::Accept(accept.into()),
            Answer::Reject(reject) => Sent::Reject(rejection(reject)),
            Answer::Reply(reply) => Sent::Reply(reply.into()),
            Answer::Error(status) => Sent::Failure(Failure(status.into())),
        });
        if let Some(seq) = self.seqs.get(&(id.connection_id, id.number)) {
            self.answers.insert(*seq, answer);
        }
    }

    fn say(&mut self, said: Said) {
        let frame = v1::ServiceFrame { frame: Some(said) };
        self.engine.handle(Input::Frame(frame), Time::ZERO);
    }
}

impl Connection {
    /// Keeps what the service would keep.
    fn learn(&mut self, answer: &Answer) {
        let state = match answer {
            Answer::Accept(accept) => {
                if let Some(user) = &accept.user_id {
                    self.context.user_id = Some(user.clone());
                }
                if let Some(subprotocol) = &accept.subprotocol {
                    self.context.subprotocol.clone_from(subprotocol);
                }
                &accept.state
            }
            Answer::Reply(reply) => &reply.state,
            Answer::Reject(_) | Answer::Error(_) => &None,
        };
        if let Some(state) = state {
            self.context.state = state.clone();
        }
    }
}

impl fmt::Debug for TestUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestUpstream")
            .field("hub", self.engine.hub())
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

fn rejection(reject: v1::Reject) -> Reject {
    Reject(reject.status.unwrap_or_default().into())
}

/// What a service says to a command that succeeds and has little to do.
fn default_value(operation: &Operation) -> Value {
    match operation {
        Operation::SendToAll(_)
        | Operation::SendToGroup(_)
        | Operation::SendToUser(_)
        | Operation::SendToConnection(_) => Value::Delivered(v1::Delivered { connections: 1 }),
        Operation::ConnectionExists(_)
        | Operation::UserExists(_)
        | Operation::GroupExists(_)
        | Operation::ConnectionInGroup(_)
        | Operation::UserInGroup(_)
        | Operation::CheckPermission(_) => Value::Answer(v1::Answer { yes: false }),
        Operation::ListMembers(_) => Value::Members(v1::Members::default()),
        Operation::AddConnectionToGroup(_)
        | Operation::RemoveConnectionFromGroup(_)
        | Operation::RemoveConnectionFromAllGroups(_)
        | Operation::AddUserToGroup(_)
        | Operation::RemoveUserFromGroup(_)
        | Operation::RemoveUserFromAllGroups(_)
        | Operation::CloseConnection(_)
        | Operation::CloseUser(_)
        | Operation::CloseGroup(_)
        | Operation::CloseAll(_)
        | Operation::GrantPermission(_)
        | Operation::RevokePermission(_) => Value::Changed(v1::Changed { connections: 1 }),
    }
}
