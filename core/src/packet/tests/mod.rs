//! The machine against exact lists of outputs.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use bytes::Bytes;
use headwater_proto::{
    Code, Metadata, Status,
    pw_rpc::{MethodId, PacketType, RpcPacket},
};

use super::*;
use crate::{
    call::{Closed, Credit, EndedBy, Frame, Reached, Shape, Trailers},
    time::{Time, Why},
};

mod channels;
mod client;
mod credit;
mod extension;
mod lifecycle;
mod pair;
mod random;
mod runs;
mod server;
mod services;
mod unrequested;

const UNARY: &str = "/test.Service/Unary";
const SERVER_STREAM: &str = "/test.Service/ServerStream";
const CLIENT_STREAM: &str = "/test.Service/ClientStream";
const BIDI: &str = "/test.Service/Bidi";
const UNKNOWN: &str = "/test.Service/Unknown";

const METHODS: [(&str, Shape); 4] = [
    (UNARY, Shape::Unary),
    (SERVER_STREAM, Shape::ServerStreaming),
    (CLIENT_STREAM, Shape::ClientStreaming),
    (BIDI, Shape::Bidirectional),
];

/// The channel that is open.
const CHANNEL: u32 = 1;

fn services() -> Services {
    let mut services = Services::new();
    for (path, shape) in METHODS {
        services.add(Method::new(path, shape)).expect("a method");
    }
    services
}

fn shape_of(path: &str) -> Shape {
    let found = METHODS.iter().find(|(known, _)| *known == path);
    found.map(|(_, shape)| *shape).unwrap_or_default()
}

fn message(text: &'static str) -> Frame {
    Frame::Message(Bytes::from_static(text.as_bytes()))
}

/// These messages together.
fn run(messages: impl IntoIterator<Item = Bytes>) -> Run {
    let mut bytes = Vec::new();
    for message in messages {
        headwater_proto::grpc::framing::encode(&message, false, &mut bytes);
    }
    Run::take(&mut bytes.into())
}

fn end() -> Frame {
    Frame::end(Trailers::ok())
}

fn failed(code: Code) -> Trailers {
    Trailers::failed(Status::new(code, ""))
}

fn metadata(key: &str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.append(key, value).expect("valid");
    metadata
}

/// A packet on [`CHANNEL`].
fn packet(packet_type: PacketType, path: &str, call_id: u32) -> RpcPacket {
    let method = MethodId::of_path(path).expect("a path");
    RpcPacket::new(packet_type, CHANNEL, method, call_id)
}

fn with_payload(mut packet: RpcPacket, payload: &'static str) -> RpcPacket {
    packet.payload = Bytes::from_static(payload.as_bytes());
    packet
}

fn with_status(mut packet: RpcPacket, code: Code) -> RpcPacket {
    packet.status = u32::from(code.number());
    packet
}

fn server_error(path: &str, call_id: u32, code: Code) -> Output {
    let packet = packet(PacketType::ServerError, path, call_id);
    Output::Transmit(with_status(packet, code))
}

fn client_error(path: &str, call_id: u32, code: Code) -> Output {
    let packet = packet(PacketType::ClientError, path, call_id);
    Output::Transmit(with_status(packet, code))
}

fn opened(key: u64, path: &str) -> Output {
    Output::Event(Event::Opened {
        key: CallKey(key),
        opened: Box::new(Opened {
            channel: CHANNEL,
            path: path.into(),
            shape: Some(shape_of(path)),
            metadata: Metadata::new(),
            timeout: None,
        }),
    })
}

fn frame(key: u64, frame: Frame) -> Output {
    let key = CallKey(key);
    Output::Event(Event::Frame { key, frame })
}

/// The beginning of the responses of a peer that sends none.
fn no_headers(key: u64) -> Output {
    frame(key, Frame::Headers(Metadata::new()))
}

fn sent(packet: RpcPacket) -> Output {
    Output::Transmit(packet)
}

fn closed(key: u64, code: Code, message: &str, by: EndedBy) -> Output {
    Output::Event(Event::Closed {
        key: CallKey(key),
        closed: Box::new(Closed {
            status: Status::new(code, message),
            by,
            reached: Reached::Handler,
        }),
    })
}

fn rejected(rejection: Rejection) -> Output {
    Output::Event(Event::Rejected(rejection))
}

fn drain(endpoint: &mut Endpoint) -> Vec<Output> {
    core::iter::from_fn(|| endpoint.poll_output()).collect()
}

/// An endpoint and what comes out of it.
struct Script {
    endpoint: Endpoint,
}

impl Script {
    /// Pure pw_rpc, both roles, with all of [`METHODS`].
    fn plain() -> Self {
        Self::speaking(ExtensionUse::Never)
    }

    fn speaking(extension: ExtensionUse) -> Self {
        Self::new(EndpointConfig::default(), extension)
    }

    fn new(config: EndpointConfig, extension: ExtensionUse) -> Self {
        let mut endpoint = Endpoint::new(config, Arc::new(services()));
        let channel = ChannelConfig {
            extension,
            ..ChannelConfig::default()
        };
        endpoint.open_channel(CHANNEL, channel).expect("it is new");
        Self { endpoint }
    }

    fn handle(&mut self, packet: &RpcPacket) -> Vec<Output> {
        let input = Input::Packet(packet.to_bytes());
        self.endpoint.handle(input, Time::ZERO);
        drain(&mut self.endpoint)
    }

    /// What this packet leads to.
    #[track_caller]
    fn gives(&mut self, packet: RpcPacket, expected: &[Output]) {
        assert_eq!(self.handle(&packet), expected, "after {packet:?}");
    }

    /// What has been done leads to this.
    #[track_caller]
    fn did(&mut self, expected: &[Output]) {
        assert_eq!(drain(&mut self.endpoint), expected);
    }

    #[track_caller]
    fn send(&mut self, key: CallKey, frame: Frame) {
        assert_eq!(self.endpoint.send(key, frame), Ok(()));
    }

    #[track_caller]
    fn call(&mut self, path: &str) -> CallKey {
        let request = Request::new(path, shape_of(path));
        self.endpoint.call(CHANNEL, request).expect("it can call")
    }

    /// A call whose request has gone, and which waits for responses; with the requests ended where they are one.
    #[track_caller]
    fn called(&mut self, path: &str) -> CallKey {
        let key = self.call(path);
        if shape_of(path).one_request() {
            self.send(key, message("q"));
            self.send(key, end());
        }
        let outputs = drain(&mut self.endpoint);
        assert_eq!(outputs.len(), 1, "one request: {outputs:?}");
        key
    }

    /// A call that the peer has started with this id.
    #[track_caller]
    fn requested(&mut self, path: &str, call_id: u32) -> CallKey {
        let outputs = self.handle(&packet(PacketType::Request, path, call_id));
        let Some(Output::Event(Event::Opened { key, .. })) = outputs.first() else {
            panic!("it opens a call: {outputs:?}");
        };
        *key
    }
}
