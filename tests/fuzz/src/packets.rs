//! What can happen to an endpoint of packets: packets of a peer, mostly valid, and verbs of its application. A list of it
//! is written as bytes, and any bytes are such a list.

use std::fmt;

use headwater_proto::pw_rpc::{Credit, MethodId, OPEN_CALL_ID, PacketType, RpcPacket};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::corpus;

/// The methods that both sides know, with the last one known to nobody.
pub const PATHS: [&str; 5] = [
    "/test.Service/Unary",
    "/test.Service/ServerStream",
    "/test.Service/ClientStream",
    "/test.Service/Bidi",
    "/test.Service/Unknown",
];

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The peer sent these bytes.
    Packet(Vec<u8>),
    /// The application did something: which, with what.
    Verb(u8, u8),
}

/// All that happens to one endpoint. `Debug` gives the bytes as the corpus has them.
#[derive(Clone, PartialEq, Eq)]
pub struct Operations {
    /// Which bounds and which extension it has.
    pub config: u8,
    /// In order.
    pub list: Vec<Operation>,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&corpus::format(&self.to_bytes()))
    }
}

impl Operations {
    /// Any bytes: one of configuration; then for each operation a number. 0 is a packet, with its length in one byte,
    /// and any other a verb, with one byte to choose by. What is cut off does not happen.
    pub fn parse(bytes: &[u8]) -> Self {
        let (config, mut rest) = bytes.split_first().map_or((0, bytes), |(c, r)| (*c, r));
        let mut list = Vec::new();
        while let [number, byte, after @ ..] = rest {
            rest = after;
            if *number != 0 {
                list.push(Operation::Verb(*number, *byte));
                continue;
            }
            let packet;
            (packet, rest) = rest.split_at(rest.len().min((*byte).into()));
            list.push(Operation::Packet(packet.to_vec()));
        }
        Self { config, list }
    }

    /// The bytes that [`Operations::parse`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.config];
        for operation in &self.list {
            match operation {
                Operation::Packet(packet) => {
                    bytes.extend([0, packet.len().try_into().expect("a short packet")]);
                    bytes.extend(packet);
                }
                Operation::Verb(number, byte) => bytes.extend([*number, *byte]),
            }
        }
        bytes
    }
}

/// Lists of which most packets are valid and meet a call.
pub fn operations() -> impl Strategy<Value = Operations> {
    let operation = prop_oneof![
        8 => packet().prop_map(|packet| Operation::Packet(packet.to_bytes().to_vec())),
        1 => (packet(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(packet, at, byte)| {
            let mut bytes = packet.to_bytes().to_vec();
            let len = bytes.len();
            bytes[at.index(len)] = byte;
            Operation::Packet(bytes)
        }),
        8 => (1..21_u8, 0..8_u8).prop_map(|(number, byte)| Operation::Verb(number, byte)),
    ];
    (0..32_u8, vec(operation, 0..60)).prop_map(|(config, list)| Operations { config, list })
}

/// A packet, with any combination of fields.
pub fn packet() -> impl Strategy<Value = RpcPacket> {
    let packet_type = prop_oneof![
        30 => select(vec![0, 0, 1, 2, 2, 2, 4, 5, 7, 7, 7, 8, 16, 17]),
        1 => any::<i32>(),
    ];
    let channel = prop_oneof![20 => Just(1_u32), 1 => 0..4_u32];
    let call_id = prop_oneof![20 => 1..4_u32, 1 => Just(0), 1 => Just(OPEN_CALL_ID)];
    let method = prop_oneof![8 => Just(3_usize), 4 => 0..PATHS.len()];
    let status = prop_oneof![2 => Just(0_u32), 1 => 0..20_u32];
    let payload = "[a-z]{0,8}";
    (
        packet_type,
        channel,
        method,
        call_id,
        status,
        payload,
        extension(),
    )
        .prop_map(
            |(packet_type, channel, method, call_id, status, payload, extension)| {
                let id = MethodId::of_path(PATHS[method]).expect("a path");
                let mut packet = RpcPacket {
                    status,
                    payload: payload.into(),
                    ..RpcPacket::new(PacketType::Request, channel, id, call_id)
                };
                packet.r#type = packet_type;
                if let Some(flags) = extension {
                    extend(&mut packet, flags, PATHS[method]);
                }
                packet
            },
        )
}

fn extension() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![Just(None), Just(Some(0)), any::<u16>().prop_map(Some)]
}

fn extend(packet: &mut RpcPacket, flags: u16, path: &'static str) {
    let is_set = |bit: u16| flags >> bit & 1 == 1;
    let extension = packet.extend();
    extension.has_message = is_set(0);
    extension.half_close = is_set(1);
    extension.compressed = is_set(2) && is_set(3);
    if is_set(4) {
        extension.path = path.into();
    }
    extension.timeout_nanos = is_set(5).then_some(u64::from(flags));
    // An entry, and one that is cut off.
    let metadata: &'static [u8] = if is_set(15) {
        b"\x0a\x06\x0a\x01k\x12\x01v"
    } else {
        b"\x0a\x06\x0a\x01k"
    };
    extension.headers = is_set(6).then(|| metadata.into());
    if is_set(7) {
        extension.trailers = metadata.into();
    }
    if is_set(8) {
        extension.credit = Some(Credit {
            messages: if is_set(9) { u32::MAX } else { 1 },
            bytes: if is_set(10) { u64::MAX } else { 100 },
        });
    }
    extension.refused = is_set(11);
    extension.going_away = is_set(12) && is_set(13) && is_set(14);
}
