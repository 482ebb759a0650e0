//! S1-10 and the promises of the hub under random inputs, nonsense included. A failure names its seed.

mod checks;
mod upstreams;

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
            "heard as a member",
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
    /// Who has yet to hear what a command published, and was a member at that time.
    expected: BTreeMap<u64, BTreeSet<u64>>,
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
            expected: BTreeMap::new(),
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
}
