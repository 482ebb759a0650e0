//! A hub with clients and upstreams that are numbers, and readable lists of what each was told.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use headwater_core::{
    Time,
    hub::{ConnectionKey, Hub, HubConfig, Input, LinkKey, NewConnection, Output, SimpleMode},
    outbox::Run,
};
use headwater_proto::{
    Status,
    subprotocol::{Protocol, Request},
    v1::{self, EventId, ack::Answer, command::Operation, result::Value, service_frame::Frame},
    websocket::MessageKind,
};

/// See the [module](self). Client 7 has the connection id `c7`.
pub struct Bench {
    pub hub: Hub<u32, u32>,
    pub now: Time,
    clients: BTreeMap<u32, Vec<String>>,
    links: BTreeMap<u32, Vec<String>>,
    seqs: BTreeMap<u32, u64>,
    /// One entry for each output: what the driver has to do.
    pub outputs: Vec<String>,
    protocols: BTreeMap<u32, Protocol>,
}

/// The roles of a client that may do all.
pub const ALL: &[&str] = &["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"];

pub fn json(n: u32) -> NewConnection {
    NewConnection {
        id: format!("c{n}"),
        user_id: Some(format!("u{n}")),
        roles: ALL.iter().map(ToString::to_string).collect(),
        groups: Vec::new(),
        simple_mode: SimpleMode::SendEvent,
        handshake: v1::Connect {
            subprotocols: vec!["json.webpubsub.azure.v1".into()],
            ..v1::Connect::default()
        },
    }
}

pub fn simple(n: u32) -> NewConnection {
    NewConnection {
        handshake: v1::Connect::default(),
        ..json(n)
    }
}

pub fn text(data: &str) -> Option<v1::Payload> {
    Some(v1::Payload {
        r#type: v1::DataType::Text.into(),
        data: Bytes::copy_from_slice(data.as_bytes()),
    })
}

pub fn reply(data: &str) -> Answer {
    Answer::Reply(v1::Reply {
        payload: text(data),
        state: None,
    })
}

/// A reply that tells the client nothing.
pub fn done() -> Answer {
    Answer::Reply(v1::Reply::default())
}

pub fn accept() -> Answer {
    Answer::Accept(v1::Accept::default())
}

pub fn error(code: i32, message: &str) -> Answer {
    Answer::Error(v1::Status {
        code,
        message: message.into(),
    })
}

pub fn register(app: &str) -> v1::Register {
    v1::Register {
        hub: "chat".into(),
        app: app.into(),
        ..v1::Register::default()
    }
}

/// Wants `kinds`: letters of "cod" for connect, connected, disconnected; and these user events.
pub fn filter(kinds: &str, messages: &[&str]) -> Option<v1::EventFilter> {
    Some(v1::EventFilter {
        connect: kinds.contains('c'),
        connected: kinds.contains('o'),
        disconnected: kinds.contains('d'),
        messages: messages.iter().map(ToString::to_string).collect(),
    })
}

pub fn window(events: u32, bytes: u64) -> Option<v1::Window> {
    Some(v1::Window { events, bytes })
}

pub fn to_group(group: &str, data: &str) -> Operation {
    Operation::SendToGroup(v1::SendToGroupRequest {
        group: group.into(),
        payload: text(data),
        ..v1::SendToGroupRequest::default()
    })
}

/// The request in this JSON, with `'` for `"`.
pub fn request(message: &str) -> Request {
    let message = Bytes::from(message.replace('\'', "\""));
    Protocol::Json.decode(MessageKind::Text, message).unwrap()
}

pub fn event(name: &str, ack_id: Option<u64>, data: &str) -> Request {
    let ack = ack_id.map_or(String::new(), |id| format!("'ackId':{id},"));
    request(&format!(
        "{{'type':'event','event':'{name}',{ack}'dataType':'text','data':'{data}'}}"
    ))
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let mut config = HubConfig::new("chat");
        config.epoch = "epoch".into();
        change(&mut config);
        Self {
            hub: Hub::new(config),
            now: Time::ZERO,
            clients: BTreeMap::new(),
            links: BTreeMap::new(),
            seqs: BTreeMap::new(),
            outputs: Vec::new(),
            protocols: BTreeMap::new(),
        }
    }

    /// Hands in without draining: the inputs until the next drain are one turn.
    pub fn input(&mut self, input: Input<u32, u32>) {
        self.hub.handle(input, self.now);
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            self.take(output);
        }
    }

    /// All that this client was told since the last time.
    pub fn heard(&mut self, client: u32) -> Vec<String> {
        self.drain();
        self.clients.remove(&client).unwrap_or_default()
    }

    /// All that was sent on this link since the last time.
    pub fn sent(&mut self, link: u32) -> Vec<String> {
        self.drain();
        self.links.remove(&link).unwrap_or_default()
    }

    /// Forgets what everybody was told so far.
    pub fn forget(&mut self) {
        self.drain();
        self.clients.clear();
        self.links.clear();
        self.outputs.clear();
    }

    /// Time goes by, and the driver says so.
    pub fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.input(Input::Timeout);
        self.drain();
    }

    pub fn connect(&mut self, n: u32, new: NewConnection) {
        self.input(Input::Connect {
            key: key(n),
            handle: n,
            new: Box::new(new),
        });
    }

    pub fn opened(&mut self, n: u32) {
        self.input(Input::Opened(key(n)));
    }

    /// A client with a JSON subprotocol that is let in by its token, in these groups.
    pub fn open(&mut self, n: u32, groups: &[&str]) {
        let mut new = json(n);
        new.groups = groups.iter().map(ToString::to_string).collect();
        self.connect(n, new);
        self.opened(n);
    }

    pub fn say(&mut self, n: u32, request: Request) {
        self.input(Input::Request(key(n), request));
    }

    pub fn gone(&mut self, n: u32) {
        self.input(Input::Gone {
            key: key(n),
            reason: "left".into(),
        });
    }

    pub fn link(&mut self, link: u32, register: v1::Register) {
        self.input(Input::Register {
            link: LinkKey(link.into()),
            handle: link,
            register: Box::new(register),
            registration: format!("r{link}"),
            resume_token: Bytes::from_static(b"secret"),
        });
    }

    /// Acks the event with the id `c<client>/<number>`.
    pub fn ack(&mut self, link: u32, (client, number): (u32, u64), answer: Answer) {
        let ack = v1::Ack {
            seq: self.next_seq(link),
            id: Some(EventId {
                connection_id: format!("c{client}"),
                number,
            }),
            answer: Some(answer),
        };
        self.input(Input::Ack(LinkKey(link.into()), Box::new(ack)));
    }

    pub fn next_seq(&mut self, link: u32) -> u64 {
        let seq = self.seqs.entry(link).or_default();
        *seq += 1;
        *seq
    }

    pub fn command(&mut self, link: u32, operation: Operation) {
        let command = v1::Command {
            seq: self.next_seq(link),
            trace: None,
            operation: Some(operation),
        };
        self.input(Input::Command(LinkKey(link.into()), Box::new(command)));
    }

    pub fn settle(&mut self, link: u32, from: u64, to: u64) {
        let ranges = vec![v1::Range { from, to }];
        self.input(Input::Settled(LinkKey(link.into()), v1::Settled { ranges }));
    }

    pub fn end_link(&mut self, link: u32) {
        self.input(Input::LinkEnded(LinkKey(link.into())));
    }

    pub fn drain_link(&mut self, link: u32) {
        self.input(Input::Drain(LinkKey(link.into())));
    }

    fn take(&mut self, output: Output<u32, u32>) {
        let shown = match output {
            Output::Admit { to, admission } => {
                self.protocols.insert(to, admission.protocol);
                let name = admission.subprotocol.as_deref().unwrap_or("none");
                self.tell(to, format!("admit {name}"));
                format!("{to} admit")
            }
            Output::Refuse { to, status } => {
                self.tell(to, format!("refuse {}", status.code));
                format!("{to} refuse")
            }
            Output::Send { to, run } => {
                let heard = self.read(to, &run);
                let shown = format!("{to}: {}", heard.join(" | "));
                self.tell_all(to, heard);
                shown
            }
            Output::Deliver { to, excluded, run } => {
                assert!(
                    excluded.windows(2).all(|pair| pair[0] < pair[1]),
                    "not ascending: {excluded:?}"
                );
                let to: Vec<u32> = to
                    .iter()
                    .filter(|receiver| !excluded.contains(&receiver.key))
                    .map(|receiver| receiver.handle)
                    .collect();
                let mut heard = Vec::new();
                for &to in &to {
                    heard = self.read(to, &run);
                    self.tell_all(to, heard.clone());
                }
                format!("{to:?}: {}", heard.join(" | "))
            }
            Output::Close { to, code, reason } => {
                self.tell(to, format!("close {code} {reason}"));
                format!("{to} close")
            }
            Output::Pause(to) => {
                self.tell(to, "pause".into());
                format!("{to} pause")
            }
            Output::Resume(to) => {
                self.tell(to, "resume".into());
                format!("{to} resume")
            }
            Output::Link { to, frame } => {
                let shown = show(&frame);
                self.links.entry(to).or_default().push(shown.clone());
                format!("link {to}: {shown}")
            }
            Output::EndLink { to, outcome } => {
                let shown = match outcome {
                    Ok(()) => "end OK".into(),
                    Err(status) => format!("end {}", status.code),
                };
                self.links.entry(to).or_default().push(shown.clone());
                format!("link {to}: {shown}")
            }
        };
        self.outputs.push(shown);
    }

    fn tell(&mut self, client: u32, what: String) {
        self.tell_all(client, vec![what]);
    }

    fn tell_all(&mut self, client: u32, what: Vec<String>) {
        self.clients.entry(client).or_default().extend(what);
    }

    fn read(&self, client: u32, run: &Run) -> Vec<String> {
        let is_json = self.protocols.get(&client) == Some(&Protocol::Json);
        let frames = frames(&run.bytes);
        assert_eq!(frames.len(), run.messages as usize, "count of a run");
        frames
            .into_iter()
            .map(|frame| if is_json { shorten(&frame) } else { frame })
            .collect()
    }
}

pub fn key(n: u32) -> ConnectionKey {
    ConnectionKey(n.into())
}

/// The payloads of unmasked WebSocket frames.
pub fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while let [_, length, rest @ ..] = bytes {
        let (length, rest) = match *length {
            126 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            127 => {
                let length = u64::from_be_bytes(rest[..8].try_into().unwrap());
                (usize::try_from(length).unwrap(), &rest[8..])
            }
            short => (usize::from(short), rest),
        };
        frames.push(String::from_utf8_lossy(&rest[..length]).into_owned());
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "a run holds whole frames only");
    frames
}

/// A message of the JSON subprotocol, in a few words.
fn shorten(frame: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(frame).unwrap();
    let of = |name: &str| match &json[name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match (
        of("type").as_str(),
        of("event").as_str(),
        of("from").as_str(),
    ) {
        ("system", "connected", _) => format!("connected {} {}", of("connectionId"), of("userId")),
        ("system", "disconnected", _) => format!("disconnected: {}", of("message")),
        ("ack", ..) if json["success"] == true => format!("ack {}", of("ackId")),
        ("ack", ..) => format!(
            "ack {} {}",
            of("ackId"),
            json["error"]["name"].as_str().unwrap()
        ),
        ("message", _, "group") => match json["fromUserId"].as_str() {
            Some(user) => format!("{} {user}: {}", of("group"), of("data")),
            None => format!("{}: {}", of("group"), of("data")),
        },
        ("message", _, "server") => format!("server: {}", of("data")),
        ("pong", ..) => "pong".into(),
        _ => panic!("an unknown message: {frame}"),
    }
}

fn show(frame: &Frame) -> String {
    match frame {
        Frame::Registered(registered) => {
            assert!(!registered.resumed, "nothing can be resumed yet");
            assert_eq!(
                (registered.applied, registered.epoch.as_str()),
                (0, "epoch")
            );
            format!("registered {}", registered.registration)
        }
        Frame::Event(event) => show_event(event),
        Frame::Result(result) => match &result.status {
            Some(status) => format!("result {} {}", result.seq, code(status)),
            None => format!(
                "result {} {}",
                result.seq,
                show_value(result.value.as_ref())
            ),
        },
        Frame::Refused(refused) => {
            let status = refused.status.as_ref().unwrap();
            format!("refused {} {}", refused.seq, code(status))
        }
        Frame::Cancel(cancel) => format!("cancel {}", show_id(cancel.id.as_ref())),
        Frame::Drain(drain) => format!("drain {}", drain.reconnect_within_ms),
        Frame::Gap(gap) => format!("gap {}..{}", gap.from, gap.to),
    }
}

fn show_event(event: &v1::Event) -> String {
    let what = match event.event.as_ref().unwrap() {
        v1::event::Event::Connect(_) => "connect".into(),
        v1::event::Event::Connected(_) => "connected".into(),
        v1::event::Event::Message(message) => {
            let data = message.payload.clone().unwrap().data;
            format!("{} {}", message.name, String::from_utf8_lossy(&data))
        }
        v1::event::Event::Disconnected(disconnected) => {
            format!("disconnected: {}", disconnected.reason)
        }
    };
    let again = if event.redelivered { " again" } else { "" };
    let left = match event.time_left_ms {
        0 => String::new(),
        left => format!(" ({left} ms)"),
    };
    format!(
        "{} {} {what}{again}{left}",
        event.seq,
        show_id(event.id.as_ref())
    )
}

fn show_id(id: Option<&EventId>) -> String {
    let id = id.unwrap();
    format!("{}/{}", id.connection_id, id.number)
}

fn code(status: &v1::Status) -> String {
    Status::from(status.clone()).code.to_string()
}

pub fn show_value(value: Option<&Value>) -> String {
    match value.unwrap() {
        Value::Delivered(delivered) => format!("delivered {}", delivered.connections),
        Value::Changed(changed) => format!("changed {}", changed.connections),
        Value::Answer(answer) => if answer.yes { "yes" } else { "no" }.into(),
        Value::Members(members) => {
            let ids: Vec<_> = members
                .members
                .iter()
                .map(|member| member.connection_id.as_str())
                .collect();
            format!("members {} next {:?}", ids.join(" "), members.continuation)
        }
    }
}

/// Builds a request; `hub` stays empty, as on a link.
macro_rules! op {
    ($name:ident $request:ident { $($field:ident: $value:expr),* }) => {
        headwater_proto::v1::command::Operation::$name(headwater_proto::v1::$request { $($field: $value.into(),)* ..headwater_proto::v1::$request::default() })
    };
}
pub(crate) use op;
