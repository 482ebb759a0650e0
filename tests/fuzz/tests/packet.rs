//! The codec of pw_rpc's packets on bytes, and the machine of an endpoint on lists of what can happen to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use headwater_core::{
    Time,
    call::{Closed, Credit, Frame, Shape, Trailers},
    packet::{
        self, Arrivals, CallKey, ChannelConfig, Endpoint, EndpointConfig, Event, ExtensionUse,
        INITIAL_WINDOW, Input, Method, Output, Request, Role, Services,
    },
};
use headwater_fuzz::{
    corpus,
    machine::{Machine, Ran},
    packets::{Operation, Operations, PATHS, operations, packet},
    runner,
};
use headwater_proto::{
    Code, Metadata, Status,
    grpc::framing,
    pw_rpc::{PacketType, RpcPacket, StreamId, channel_id, remap_channel_id},
};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};

/// No packet leads to more than this many outputs: an answer or two, and what its call tells.
const OUTPUTS_MAX: usize = 8;
/// A few use up the credit of a call.
const LARGE: &[u8] = &[7; 8 << 10];
const CALLS_MAX: usize = 4;

const SHAPES: [Shape; 4] = [
    Shape::Unary,
    Shape::ServerStreaming,
    Shape::ClientStreaming,
    Shape::Bidirectional,
];

/// Whatever the bytes: what is read can be written and read again, and the channel is found without reading the rest.
fn read(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut changed = bytes.to_vec();
    let _ = remap_channel_id(&mut changed, 5);
    let Ok(packet) = RpcPacket::read(Bytes::copy_from_slice(bytes)) else {
        prop_assert_eq!(StreamId::read(bytes), None);
        return Ok(());
    };
    if let Some((id, message)) = StreamId::read(bytes) {
        let expected = RpcPacket {
            payload: Bytes::copy_from_slice(message),
            ..id.packet()
        };
        prop_assert_eq!(&packet, &expected);
    }
    let again = RpcPacket::read(packet.to_bytes());
    prop_assert_eq!(&again, &Ok(packet.clone()));
    // Groups, which nobody has written since protobuf's first version, are not looked into.
    if let Ok(id) = channel_id(bytes) {
        prop_assert_eq!(id, packet.channel_id);
    }
    if changed != bytes {
        let expected = RpcPacket {
            channel_id: 5,
            ..packet
        };
        prop_assert_eq!(RpcPacket::read(changed.into()), Ok(expected));
    }
    Ok(())
}

#[test]
fn packets_are_read_and_written_alike() {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..80),
        packet().prop_map(|packet| packet.to_bytes().to_vec()),
        (
            packet(),
            vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
        )
            .prop_map(|(packet, changes)| {
                let mut bytes = packet.to_bytes().to_vec();
                for (at, byte) in changes {
                    let len = bytes.len();
                    bytes[at.index(len)] = byte;
                }
                bytes
            }),
    ];
    runner("packets", 20_000)
        .run(&bytes, |bytes| read(&bytes))
        .unwrap_or_else(|error| panic!("{error}"));
}

fn services(mask: u8) -> Arc<Services> {
    let mut services = Services::new();
    services.accepts_unknown = mask & 1 == 1;
    for (index, (path, shape)) in PATHS.into_iter().zip(SHAPES).enumerate() {
        if mask >> (index + 1) & 1 == 0 {
            let method = Method {
                calls_max: 3,
                ..Method::new(path, shape)
            };
            services.add(method).expect("it is new");
        }
    }
    Arc::new(services)
}

/// A packet, as a driver hands it in that takes all that comes together.
fn arrived(packet: &[u8]) -> Input {
    let mut arrivals = Arrivals::default();
    arrivals.push(packet);
    let input = arrivals.drain().next();
    input.expect("a packet is an input")
}

/// An endpoint, and what its application knows of its calls.
struct Run {
    endpoint: Endpoint,
    /// Those that are not over, of which nothing that ends them has been said or heard.
    live: BTreeMap<CallKey, (Role, Credit)>,
    seen: BTreeSet<CallKey>,
    /// Whether packets of channel 1 may go.
    output_works: bool,
    /// The packet that came last.
    last: Option<Input>,
    /// Everything that came out, to be compared with another run.
    log: Vec<Output>,
    /// What of the machine was reached.
    reached: BTreeSet<String>,
}

impl Run {
    fn new(config: u8) -> Self {
        let bounds = EndpointConfig {
            role: match config >> 3 & 3 {
                0 => Some(Role::Client),
                1 => Some(Role::Server),
                _ => None,
            },
            calls_max: CALLS_MAX,
            channels_max: 2,
            replies_max: 2,
            receive_window: INITIAL_WINDOW,
            send_queue: Credit {
                messages: 3,
                bytes: 100,
            },
            ..EndpointConfig::default()
        };
        let channel = ChannelConfig {
            extension: match config & 3 {
                0 => ExtensionUse::Never,
                1 => ExtensionUse::Agreed,
                _ => ExtensionUse::Announce,
            },
            ..ChannelConfig::default()
        };
        let mut endpoint = Endpoint::new(bounds, services(0));
        if config >> 2 & 1 == 0 {
            endpoint.open_channel(1, channel).expect("it is new");
        } else {
            endpoint.open_default(channel).expect("it is new");
        }
        Self {
            endpoint,
            live: BTreeMap::new(),
            seen: BTreeSet::new(),
            output_works: true,
            last: None,
            log: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    fn happens(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Packet(bytes) => {
                let input = arrived(bytes);
                self.last = Some(input.clone());
                self.endpoint.handle(input, Time::ZERO);
                let outputs = self.drain()?;
                // A grant of credit lets go what waits; the rest answers the packet.
                prop_assert!(outputs <= OUTPUTS_MAX, "{outputs} outputs for one packet");
            }
            Operation::Verb(verb, byte) => {
                // Some come in numbers, for there are windows to be filled.
                let times = match verb {
                    8 => 2 * usize::from(*byte),
                    19 => 20 * usize::from(*byte),
                    _ => 1,
                };
                for _ in 0..times {
                    self.verb(*verb, *byte);
                    self.drain()?;
                }
            }
        }
        prop_assert!(self.endpoint.server_calls() <= CALLS_MAX + PATHS.len());
        prop_assert!(self.endpoint.calls() >= self.endpoint.server_calls());
        prop_assert_eq!(self.endpoint.poll_timeout(), None);
        Ok(())
    }

    fn verb(&mut self, verb: u8, byte: u8) {
        let index = usize::from(byte);
        let path = PATHS[index % PATHS.len()];
        let shape = SHAPES[index % SHAPES.len()];
        let count = self.live.len().max(1);
        let picked = self.live.keys().nth(index % count).copied();
        let key = picked.unwrap_or(CallKey(u64::from(byte)));
        let role = self.live.get(&key).map(|(role, _)| *role);
        let endpoint = &mut self.endpoint;
        let channel = 1;
        match verb {
            1..=3 => {
                let request = Request::new(path, shape);
                let started = endpoint.call(channel, request);
                self.started(started.ok(), Role::Client);
            }
            4 => {
                let started = endpoint.await_unrequested(channel, path, shape);
                self.started(started.ok(), Role::Client);
            }
            5 => {
                let started = endpoint.respond_unrequested(channel, path);
                self.started(started.ok(), Role::Server);
            }
            7 => {
                let mut bytes = Vec::new();
                for _ in 0..=byte {
                    framing::encode(b"message", false, &mut bytes);
                }
                let _ = endpoint.send_run(key, &mut packet::Run::take(&mut bytes.into()));
            }
            6 | 8 => {
                let message = if verb == 8 { LARGE } else { b"message" };
                let _ = endpoint.send(key, Frame::Message(Bytes::from_static(message)));
            }
            9 => {
                let _ = endpoint.send(key, Frame::Headers(Metadata::new()));
            }
            10 => {
                let _ = endpoint.send(key, Frame::end(Trailers::ok()));
            }
            11 => {
                let code = Code::ALL[index % Code::ALL.len()];
                let trailers = Trailers::failed(Status::new(code, "why"));
                let _ = endpoint.try_finish(key, trailers);
            }
            12 => {
                endpoint.reset(key, Code::ALL[index % Code::ALL.len()]);
                self.live.remove(&key);
            }
            13 if role != Some(Role::Server) => {
                endpoint.abandon(key);
                self.live.remove(&key);
            }
            14 => {
                if let Some((_, unread)) = self.live.get_mut(&key) {
                    endpoint.consumed(key, std::mem::take(unread));
                }
            }
            15 => {
                self.output_works = endpoint.peer(channel).is_none();
                endpoint.handle(Input::OutputFailed { channel }, Time::ZERO);
            }
            16 => {
                self.output_works = true;
                endpoint.handle(Input::OutputWorks { channel }, Time::ZERO);
            }
            17 if byte == 0 => {
                self.output_works = true;
                let _ = endpoint.close_channel(channel);
            }
            17 if byte == 1 => endpoint.drain(),
            17 if byte == 2 => {
                self.output_works = true;
                let closed = Closed::broken("gone");
                endpoint.handle(Input::Closed(closed), Time::ZERO);
            }
            18 => endpoint.set_services(services(byte)),
            19 => {
                if let Some(packet) = self.last.clone() {
                    endpoint.handle(packet, Time::ZERO);
                }
            }
            _ => {
                let _ = endpoint.open_channel(channel, ChannelConfig::default());
            }
        }
    }

    fn started(&mut self, key: Option<CallKey>, role: Role) {
        let Some(key) = key else {
            return;
        };
        assert!(self.seen.insert(key), "{key:?} was given before");
        self.live.insert(key, (role, Credit::default()));
    }

    /// Does what it says, and says how much that was.
    fn drain(&mut self) -> Result<usize, TestCaseError> {
        let mut count = 0;
        while let Some(output) = self.endpoint.poll_output() {
            self.log.push(output.clone());
            count += 1;
            match output {
                Output::Transmit(packet) => self.transmit(&packet)?,
                Output::TransmitRun { id, run } => {
                    self.reached.insert("sent a run".to_owned());
                    for message in run.into_messages() {
                        let mut packet = id.packet();
                        packet.payload = message;
                        self.transmit(&packet)?;
                    }
                }
                Output::Event(event) => self.told(event)?,
            }
        }
        Ok(count)
    }

    fn transmit(&mut self, packet: &RpcPacket) -> Result<(), TestCaseError> {
        let kind = PacketType::try_from(packet.r#type).expect("a type that there is");
        self.reached.insert(format!("sent {kind:?}"));
        let read = RpcPacket::read(packet.to_bytes());
        prop_assert_eq!(read.as_ref(), Ok(packet), "a peer can read it");
        prop_assert_ne!(packet.channel_id, 0);
        prop_assert!(self.output_works || packet.channel_id != 1, "{packet:?}");
        let is_announcement = kind == PacketType::ServerExtension
            && packet
                .extension
                .as_ref()
                .is_some_and(|more| more.going_away);
        prop_assert!(is_announcement || (packet.service_id != 0 && packet.method_id != 0));
        Ok(())
    }

    fn told(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Opened { key, .. } => {
                self.reached.insert("opened".to_owned());
                self.started(Some(key), Role::Server);
            }
            Event::Frame { key, frame } => {
                let Some((role, unread)) = self.live.get_mut(&key) else {
                    return Err(TestCaseError::fail(format!("{key:?} is over: {frame:?}")));
                };
                let credit = frame.credit();
                prop_assert!(
                    unread.messages < INITIAL_WINDOW.messages || credit.messages == 0,
                    "more than the window"
                );
                unread.messages += credit.messages;
                unread.bytes += credit.bytes;
                let is_end = matches!(frame, Frame::End(_));
                if is_end && *role == Role::Client {
                    self.reached.insert("ended".to_owned());
                    self.live.remove(&key);
                }
            }
            Event::Run { key, run } => {
                self.reached.insert("a run".to_owned());
                let Some((_, unread)) = self.live.get_mut(&key) else {
                    return Err(TestCaseError::fail(format!("{key:?} is over: {run:?}")));
                };
                unread.messages += run.credit().messages;
                unread.bytes += run.credit().bytes;
                prop_assert!(
                    unread.messages <= INITIAL_WINDOW.messages,
                    "more than the window"
                );
            }
            Event::Closed { key, closed } => {
                let code = closed.status.code;
                self.reached
                    .insert(format!("closed {code} {:?}", closed.by));
                let ended = self.live.remove(&key);
                prop_assert!(ended.is_some(), "{key:?} was over");
            }
            Event::CompletionRequested { key } => {
                self.reached.insert("completion".to_owned());
                prop_assert!(self.live.contains_key(&key));
            }
            Event::Rejected(rejection) => {
                self.reached.insert(format!("rejected {rejection:?}"));
            }
            Event::GoingAway { .. } => {
                self.reached.insert("going away".to_owned());
            }
            // Also of a call whose last frames wait to be sent.
            Event::Writable { .. } => {
                self.reached.insert("writable".to_owned());
            }
            other => return Err(TestCaseError::fail(format!("not looked at: {other:?}"))),
        }
        Ok(())
    }
}

fn run(operations: &Operations) -> Result<Ran<Output>, TestCaseError> {
    let mut run = Run::new(operations.config);
    for operation in &operations.list {
        run.happens(operation)?;
    }
    Ok(Ran {
        log: run.log,
        reached: run.reached,
    })
}

const MACHINE: Machine<Operations, Output> = Machine {
    corpus: "packet",
    parse: Operations::parse,
    to_bytes: Operations::to_bytes,
    run,
};

#[test]
fn the_corpus_of_endpoints_keeps_its_promises() {
    MACHINE.replay_corpus();
    for (file, bytes) in corpus::read(MACHINE.corpus) {
        for operation in Operations::parse(&bytes).list {
            if let Operation::Packet(bytes) = operation {
                read(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
            }
        }
    }
}

#[test]
fn endpoints_keep_their_promises_whatever_happens() {
    let rare = [
        "sent ClientExtension",
        "closed RESOURCE_EXHAUSTED Violation",
        "writable",
        "completion",
        "going away",
    ];
    let reached = MACHINE.check_whatever_happens("endpoints", 3000, &operations(), &rare);
    assert!(reached.len() >= 39, "too little was reached: {reached:?}");
}

#[test]
fn noise_is_no_danger_to_an_endpoint() {
    MACHINE.check_noise("noise of endpoints", 3000, 200);
}
