//! S1-10 and the promises of the hub under random inputs, nonsense included. A failure names its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use headwater_core::{
    Time,
    hub::{ConnectionKey, Hub, HubConfig, Input, LinkKey, Output},
    outbox::Run,
};
use headwater_proto::{
    subprotocol::{DataType, Metadata, Operation, Payload, Protocol, Request},
    v1::{self, ack::Answer, command, service_frame::Frame},
};
use prost::Message as _;

use crate::bench::{done, error, filter, frames, json, key, register, simple, text, window};

const SEEDS: u64 = 1_000;
const STEPS: usize = 150;

#[test]
fn s1_10_every_promise_holds_under_random_inputs() {
    let mut reached = Reached::default();
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
        if let Err(panic) = outcome {
            for line in world.log.iter().rev().take(40).rev() {
                eprintln!("{line}");
            }
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
        reached.add(&world.reached);
    }
    reached.check();
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    for seed in 0..50 {
        let [first, second] = [(); 2].map(|()| {
            let mut world = World::new(seed);
            world.run();
            world.log
        });
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let place = self.below(from.len().max(1) as u64);
        from.get(usize::try_from(place).unwrap()).copied()
    }
}

/// What the runs came across: a promise about what never happens is no promise.
#[derive(Debug, Default, Clone)]
struct Reached(BTreeMap<&'static str, u64>);

impl Reached {
    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    fn check(&self) {
        for what in [
            "admit",
            "refuse",
            "ack",
            "close",
            "pause",
            "resume",
            "full window",
            "8 in a lane",
            "redelivered",
            "refused",
            "cancel",
            "end link",
            "delivered",
            "result",
        ] {
            assert!(
                self.0.get(what).copied().unwrap_or(0) > 20,
                "hardly ever reached: {what} of {:?}",
                self.0
            );
        }
    }
}

#[derive(Debug, Default)]
struct Client {
    is_simple: bool,
    admitted: bool,
    open: bool,
    ended: bool,
    paused: bool,
    /// Acks that it may expect, by id.
    expects: BTreeMap<u64, u64>,
    last_data: u64,
    /// What kind each event of it was, by number.
    events: BTreeMap<u64, u8>,
    /// Whether this side ended it, so that it is told nothing more.
    left: bool,
}

#[derive(Debug, Default)]
struct Link {
    window_events: usize,
    window_bytes: usize,
    last_seq: u64,
    unsettled: BTreeMap<u64, (u64, u64, usize)>,
    ended: bool,
}

struct World {
    random: Random,
    hub: Hub<u64, u64>,
    now: Time,
    clients: BTreeMap<u64, Client>,
    links: BTreeMap<u64, Link>,
    /// Counts all that is published and replied, so that order shows.
    data: u64,
    log: Vec<String>,
    reached: Reached,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut config = HubConfig::new("hub");
        config.seed = seed;
        config.require_connect = random.chance(30);
        config.groups_per_connection_max = 2;
        config.waiting_bytes_max = if random.chance(30) { 2_000 } else { 100_000 };
        config.connect_timeout = Duration::from_secs(20);
        Self {
            random,
            hub: Hub::new(config),
            now: Time::ZERO,
            clients: BTreeMap::new(),
            links: BTreeMap::new(),
            data: 0,
            log: Vec::new(),
            reached: Reached::default(),
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.step();
            if self.random.chance(70) {
                self.drain();
            }
        }
        self.drain();
        self.end();
    }

    /// After all have gone and all deadlines have passed nothing is left.
    fn end(&mut self) {
        self.pass(Duration::from_secs(60));
        for (key, client) in &self.clients {
            if client.open && !client.ended {
                assert!(
                    client.expects.is_empty(),
                    "client {key} still waits for {:?}",
                    client.expects
                );
            }
            assert!(
                client.admitted || client.ended,
                "client {key} was neither admitted nor refused"
            );
        }
        let keys: Vec<u64> = self.clients.keys().copied().collect();
        for key in keys {
            self.gone(key);
        }
        let links: Vec<u64> = self.links.keys().copied().collect();
        for link in links {
            self.drain();
            if self.random.chance(50) {
                self.input(Input::LinkEnded(LinkKey(link)));
                self.link(link).ended = true;
            } else {
                self.settle(link, 0, u64::MAX);
            }
            self.drain();
        }
        for round in 0..500 {
            let unsettled: Vec<u64> = self
                .links
                .iter()
                .filter(|(_, link)| !link.unsettled.is_empty() && !link.ended)
                .map(|(key, _)| *key)
                .collect();
            if unsettled.is_empty() {
                break;
            }
            assert!(round < 499, "the upstreams settle and settle");
            for link in unsettled {
                self.settle(link, 0, u64::MAX);
                self.drain();
            }
        }
        self.pass(Duration::from_secs(60));
        assert!(self.hub.is_idle(), "something is left: {:?}", self.hub);
        assert_eq!(self.hub.poll_timeout(), None);
        for (key, client) in &self.clients {
            let disconnects = client.events.values().filter(|kind| **kind == 3).count();
            assert!(disconnects <= 1, "client {key} disconnected twice");
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..8 => self.connect(),
            8..18 => self.open(),
            18..48 => self.request(),
            48..51 => {
                if let Some(key) = self.any_client() {
                    self.gone(key);
                }
            }
            51..55 => self.register(),
            55..78 => self.ack(),
            78..86 => self.settle_some(),
            86..94 => self.command(),
            94..95 => self.leave(),
            95..98 => {
                let millis = self.random.below(15_000);
                self.now = self.now + Duration::from_millis(millis);
            }
            _ => {
                let millis = self.random.below(15_000);
                self.pass(Duration::from_millis(millis));
            }
        }
    }

    fn input(&mut self, input: Input<u64, u64>) {
        self.log.push(format!("> {input:?}"));
        self.hub.handle(input, self.now);
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.input(Input::Timeout);
        self.drain();
    }

    fn any_client(&mut self) -> Option<u64> {
        let keys: Vec<u64> = self.clients.keys().rev().take(8).copied().collect();
        self.random.pick(&keys)
    }

    fn any_link(&mut self) -> Option<u64> {
        let keys: Vec<u64> = self.links.keys().rev().take(4).copied().collect();
        self.random.pick(&keys)
    }

    fn link(&mut self, link: u64) -> &mut Link {
        self.links.get_mut(&link).unwrap()
    }

    fn connect(&mut self) {
        let n = u32::try_from(self.clients.len()).unwrap() + 1;
        let is_simple = self.random.chance(25);
        let mut new = if is_simple { simple(n) } else { json(n) };
        new.user_id = Some(format!("u{}", n % 3));
        new.groups = vec!["a".into()];
        if self.random.chance(10) {
            new.roles.clear();
        }
        if self.random.chance(3) {
            new.groups = vec![String::new()];
        }
        let client = Client {
            is_simple,
            ..Client::default()
        };
        self.clients.insert(n.into(), client);
        self.input(Input::Connect {
            key: key(n),
            handle: n.into(),
            new: new.into(),
        });
    }

    fn open(&mut self) {
        self.drain();
        let ready = self
            .clients
            .iter()
            .find(|(_, client)| client.admitted && !client.open && !client.ended)
            .map(|(key, _)| *key);
        if let Some(key) = ready {
            self.input(Input::Opened(ConnectionKey(key)));
            self.clients.get_mut(&key).unwrap().open = true;
        } else if let Some(key) = self.any_client()
            && !self.clients[&key].admitted
        {
            self.input(Input::Opened(ConnectionKey(key)));
        }
    }

    fn payload(&mut self) -> Payload {
        self.data += 1;
        Payload {
            data_type: DataType::Text,
            data: Bytes::from(self.data.to_string()),
        }
    }

    fn group(&mut self) -> String {
        self.random.pick(&["a", "b", "c"]).unwrap().into()
    }

    fn request(&mut self) {
        let Some(key) = self.any_client() else { return };
        let is_simple = self.clients[&key].is_simple;
        let kind = if is_simple { 9 } else { self.random.below(10) };
        let operation = match kind {
            0 => Operation::JoinGroup {
                group: self.group(),
            },
            1 => Operation::LeaveGroup {
                group: self.group(),
            },
            2..5 => Operation::SendToGroup {
                group: self.group(),
                payload: self.payload(),
                no_echo: self.random.chance(30),
                metadata: Metadata::new(),
            },
            5 => Operation::Nothing,
            6 => Operation::Invalid { reason: "nonsense" },
            _ => Operation::Event {
                name: self.random.pick(&["message", "x", "y"]).unwrap().into(),
                payload: self.payload(),
                metadata: Metadata::new(),
            },
        };
        // One read finds several.
        for _ in 0..=self.random.below(4) {
            let ack_id = (!is_simple && self.random.chance(60)).then(|| self.random.below(30));
            let client = self.clients.get_mut(&key).unwrap();
            if let Some(id) = ack_id
                && client.open
                && !client.ended
            {
                *client.expects.entry(id).or_default() += 1;
            }
            let operation = match &operation {
                Operation::Event { name, metadata, .. } => Operation::Event {
                    name: name.clone(),
                    payload: self.payload(),
                    metadata: metadata.clone(),
                },
                Operation::SendToGroup {
                    group,
                    no_echo,
                    metadata,
                    ..
                } => Operation::SendToGroup {
                    group: group.clone(),
                    payload: self.payload(),
                    no_echo: *no_echo,
                    metadata: metadata.clone(),
                },
                other => other.clone(),
            };
            let request = Request { ack_id, operation };
            self.input(Input::Request(ConnectionKey(key), request));
        }
    }

    fn gone(&mut self, key: u64) {
        // What has fallen due comes first, and a client may hear of that.
        self.pass(Duration::ZERO);
        self.input(Input::Gone {
            key: ConnectionKey(key),
            reason: "gone".into(),
        });
        let client = self.clients.get_mut(&key).unwrap();
        client.ended = true;
        client.left = true;
    }

    fn register(&mut self) {
        let link = self.links.len() as u64 + 1;
        let events = match self.random.below(4) {
            0 => None,
            1 => filter("cod", &["message"]),
            2 => filter("od", &["*"]),
            _ => filter("", &["x"]),
        };
        let window_events = self.random.below(12) as u32;
        let window_bytes = self.random.below(3) * 1_000;
        let new = v1::Register {
            events,
            window: window(window_events, window_bytes),
            ..register(self.random.pick(&["one", "two"]).unwrap())
        };
        let or = |value: usize, default| if value == 0 { default } else { value };
        self.links.insert(
            link,
            Link {
                window_events: or(window_events as usize, 1024),
                window_bytes: or(usize::try_from(window_bytes).unwrap(), 16 << 20),
                ..Link::default()
            },
        );
        self.input(Input::Register {
            link: LinkKey(link),
            handle: link,
            register: new.into(),
            registration: format!("r{link}"),
            resume_token: Bytes::new(),
        });
    }

    fn ack(&mut self) {
        self.drain();
        let Some(link) = self.any_link() else { return };
        let events: Vec<_> = self.links[&link].unsettled.values().copied().collect();
        let (mut connection, mut number, _) = self.random.pick(&events).unwrap_or((1, 1, 0));
        let kind = self
            .clients
            .get(&connection)
            .and_then(|client| client.events.get(&number));
        let mut answer = match kind {
            Some(0) => self.answer_connect(),
            _ => self.answer_message(),
        };
        if self.random.chance(5) {
            number = self.random.below(12);
        }
        if self.random.chance(3) {
            connection = self.random.below(12);
        }
        if self.random.chance(5) {
            answer = self.answer_connect();
        }
        let ack = v1::Ack {
            seq: 1,
            id: Some(v1::EventId {
                connection_id: format!("c{connection}"),
                number,
            }),
            answer: (!self.random.chance(2)).then_some(answer),
        };
        self.input(Input::Ack(LinkKey(link), ack.into()));
    }

    fn answer_connect(&mut self) -> Answer {
        if self.random.chance(10) {
            return Answer::Reject(v1::Reject::default());
        }
        let group = if self.random.chance(5) { "" } else { "b" };
        Answer::Accept(v1::Accept {
            groups: vec![group.into()],
            ..v1::Accept::default()
        })
    }

    fn answer_message(&mut self) -> Answer {
        match self.random.below(4) {
            0 => error(13, "oops"),
            1 => done(),
            _ => {
                let payload = Some(self.payload().into());
                Answer::Reply(v1::Reply {
                    payload,
                    state: Some("s".into()),
                })
            }
        }
    }

    fn settle_some(&mut self) {
        self.drain();
        let Some(link) = self.any_link() else { return };
        let first = self.links[&link].unsettled.keys().next().copied();
        let from = if self.random.chance(80) {
            first.unwrap_or(0)
        } else {
            self.random.below(20)
        };
        let to = match self.random.below(10) {
            0 => u64::MAX,
            1 => self.random.below(10),
            _ => from.saturating_add(self.random.below(4)),
        };
        self.settle(link, from, to);
    }

    fn settle(&mut self, link: u64, from: u64, to: u64) {
        // What has fallen due makes room for events that are sent before this is looked at.
        self.pass(Duration::ZERO);
        self.link(link)
            .unsettled
            .retain(|seq, _| !(from <= *seq && *seq <= to));
        let ranges = vec![v1::Range { from, to }];
        self.input(Input::Settled(LinkKey(link), v1::Settled { ranges }));
    }

    fn command(&mut self) {
        let Some(link) = self.any_link() else { return };
        let connection = self.any_client().unwrap_or(99);
        let connection_id = format!("c{connection}");
        self.data += 1;
        let payload = text(&self.data.to_string());
        let excluded_connections = vec![connection_id.clone(); 2];
        let operation = match self.random.below(8) {
            0 => command::Operation::SendToAll(v1::SendToAllRequest {
                payload,
                excluded_connections,
                ..v1::SendToAllRequest::default()
            }),
            1 => command::Operation::SendToUser(v1::SendToUserRequest {
                user_id: "u1".into(),
                payload,
                ..v1::SendToUserRequest::default()
            }),
            2 => command::Operation::SendToConnection(v1::SendToConnectionRequest {
                connection_id,
                payload,
                ..v1::SendToConnectionRequest::default()
            }),
            3 => command::Operation::AddUserToGroup(v1::AddUserToGroupRequest {
                user_id: "u1".into(),
                group: self.group(),
                ..v1::AddUserToGroupRequest::default()
            }),
            4 => command::Operation::RemoveConnectionFromAllGroups(
                v1::RemoveConnectionFromAllGroupsRequest {
                    connection_id,
                    ..v1::RemoveConnectionFromAllGroupsRequest::default()
                },
            ),
            5 if self.random.chance(15) => {
                command::Operation::CloseConnection(v1::CloseConnectionRequest {
                    connection_id,
                    ..v1::CloseConnectionRequest::default()
                })
            }
            _ => command::Operation::SendToGroup(v1::SendToGroupRequest {
                group: self.group(),
                payload,
                ..v1::SendToGroupRequest::default()
            }),
        };
        let command = v1::Command {
            seq: 1,
            trace: None,
            operation: Some(operation),
        };
        self.input(Input::Command(LinkKey(link), command.into()));
    }

    /// An upstream leaves, one way or the other.
    fn leave(&mut self) {
        self.pass(Duration::ZERO);
        let Some(link) = self.any_link() else { return };
        if self.random.chance(50) {
            self.input(Input::Drain(LinkKey(link)));
        } else {
            let link_entry = self.link(link);
            link_entry.ended = true;
            link_entry.unsettled.clear();
            self.input(Input::LinkEnded(LinkKey(link)));
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            self.log.push(format!("< {output:?}"));
            self.check(output);
        }
    }

    fn check(&mut self, output: Output<u64, u64>) {
        match output {
            Output::Admit { to, admission } => {
                self.reached.note("admit");
                let client = self.alive(to);
                assert!(!client.admitted, "client {to} was admitted twice");
                client.admitted = true;
                assert_eq!(client.is_simple, admission.protocol == Protocol::Simple);
            }
            Output::Refuse { to, status: _ } => {
                self.reached.note("refuse");
                let client = self.alive(to);
                assert!(!client.admitted, "client {to} was let in before");
                client.ended = true;
            }
            Output::Send { to, run } => self.check_run(to, &run),
            Output::Deliver { to, excluded, run } => {
                self.reached.note("delivered");
                for receiver in to.iter().filter(|to| !excluded.contains(&to.key)) {
                    self.check_run(receiver.handle, &run);
                }
            }
            Output::Close { to, .. } => {
                self.reached.note("close");
                self.alive(to).ended = true;
            }
            Output::Pause(to) => {
                self.reached.note("pause");
                let client = self.alive(to);
                assert!(!client.paused, "client {to} is paused twice");
                client.paused = true;
            }
            Output::Resume(to) => {
                self.reached.note("resume");
                let client = self.alive(to);
                assert!(client.paused, "client {to} is resumed, and was not paused");
                client.paused = false;
            }
            Output::Link { to, frame } => self.check_frame(to, *frame),
            Output::EndLink { to, outcome } => {
                self.reached.note("end link");
                assert_eq!(outcome, Ok(()), "link {to}");
                let link = self.link(to);
                assert!(!link.ended, "link {to} ends twice");
                assert!(
                    link.unsettled.is_empty(),
                    "link {to} ends with unsettled events"
                );
                link.ended = true;
            }
        }
    }

    fn alive(&mut self, client: u64) -> &mut Client {
        let entry = self.clients.get_mut(&client).unwrap();
        assert!(!entry.ended, "client {client} has ended");
        entry
    }

    fn check_run(&mut self, to: u64, run: &Run) {
        let client = self.alive(to);
        assert!(client.open, "client {to} is not open");
        let heard = frames(&run.bytes);
        assert_eq!(heard.len(), run.messages as usize);
        let mut acks = 0;
        for frame in heard {
            if client.is_simple {
                in_order(to, client, frame.parse().unwrap());
                continue;
            }
            let json: serde_json::Value = serde_json::from_str(&frame).unwrap();
            match json["type"].as_str().unwrap() {
                "ack" => {
                    let id = json["ackId"].as_u64().unwrap();
                    let expected = client.expects.remove(&id).unwrap_or(0);
                    assert!(expected > 0, "client {to} never asked for ack {id}");
                    acks += 1;
                    if expected > 1 {
                        client.expects.insert(id, expected - 1);
                    }
                }
                "message" => {
                    let data = json["data"].as_str().unwrap().parse().unwrap();
                    in_order(to, client, data);
                }
                "system" => {}
                other => panic!("client {to} heard {other}"),
            }
        }
        for _ in 0..acks {
            self.reached.note("ack");
        }
    }

    fn check_frame(&mut self, to: u64, frame: Frame) {
        assert!(!self.link(to).ended, "link {to} has ended");
        match frame {
            Frame::Event(event) => self.check_event(to, &event),
            Frame::Refused(_) => self.reached.note("refused"),
            Frame::Cancel(_) => self.reached.note("cancel"),
            Frame::Result(_) => self.reached.note("result"),
            Frame::Registered(_) | Frame::Gap(_) | Frame::Drain(_) => {}
        }
    }

    fn check_event(&mut self, to: u64, event: &v1::Event) {
        let id = event.id.as_ref().unwrap();
        let connection: u64 = id.connection_id[1..].parse().unwrap();
        let (kind, bytes) = match event.event.as_ref().unwrap() {
            v1::event::Event::Connect(connect) => (0, connect.encoded_len()),
            v1::event::Event::Connected(_) => (1, 0),
            v1::event::Event::Message(message) => (2, message.encoded_len()),
            v1::event::Event::Disconnected(disconnected) => (3, disconnected.reason.len()),
        };
        assert_eq!(event.time_left_ms == 0, kind % 2 == 1, "time left");
        let client = self.clients.get_mut(&connection).unwrap();
        if event.redelivered {
            self.reached.note("redelivered");
            let before = client.events.get(&id.number);
            assert_eq!(before, Some(&kind), "sent again, and not sent before");
        } else {
            let last = client
                .events
                .last_key_value()
                .map_or((0, 0), |(n, k)| (*n, *k));
            assert!(
                last.0 < id.number,
                "numbers of {connection}: {last:?}, {id:?}"
            );
            assert!(
                last.1 <= kind,
                "kinds of {connection}: {last:?}, {id:?} {kind}"
            );
            client.events.insert(id.number, kind);
        }
        let link = self.link(to);
        link.last_seq += 1;
        assert_eq!(event.seq, link.last_seq, "seq of link {to}");
        link.unsettled
            .insert(event.seq, (connection, id.number, bytes + 128));
        let count = link.unsettled.len();
        let bytes: usize = link.unsettled.values().map(|(_, _, bytes)| bytes).sum();
        assert!(count <= link.window_events, "{count} events on link {to}");
        assert!(
            bytes <= link.window_bytes || count == 1,
            "{bytes} bytes on link {to}"
        );
        let full = count == link.window_events;
        let in_lane: usize = self
            .links
            .values()
            .filter(|link| !link.ended)
            .map(|link| {
                link.unsettled
                    .values()
                    .filter(|event| event.0 == connection)
                    .count()
            })
            .sum();
        assert!(in_lane <= 8, "{in_lane} unsettled events of {connection}");
        if full {
            self.reached.note("full window");
        }
        if in_lane == 8 {
            self.reached.note("8 in a lane");
        }
        let numbers: BTreeSet<u64> = self.clients[&connection].events.keys().copied().collect();
        assert!(numbers.contains(&id.number));
    }
}

/// All that is said counts up, so what one client hears must count up.
fn in_order(key: u64, client: &mut Client, data: u64) {
    assert!(
        client.last_data < data,
        "client {key} hears {data} after {}",
        client.last_data
    );
    client.last_data = data;
}
