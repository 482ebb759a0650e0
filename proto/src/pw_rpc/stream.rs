//! Packets that are nothing but a message of a stream, of which most packets are: read and written without going through
//! every field.

use alloc::vec::Vec;

use super::{
    MethodId,
    wire::{PacketType, RpcPacket},
};

/// Field 1, the type: a varint.
const TYPE: u8 = 0x08;
/// Field 2, the channel: a varint.
const CHANNEL: u8 = 0x10;
/// Field 3, the service: four bytes.
const SERVICE: u8 = 0x1d;
/// Field 4, the method: four bytes.
const METHOD: u8 = 0x25;
/// Field 5, the payload: bytes behind their length.
const PAYLOAD: u8 = 0x2a;
/// Field 7, the call: a varint.
const CALL: u8 = 0x38;

const CLIENT_STREAM: u8 = PacketType::ClientStream as u8;
const SERVER_STREAM: u8 = PacketType::ServerStream as u8;

/// What the packets of one direction of one call have in common: all but the message.
///
/// Such a packet is of the type CLIENT_STREAM or SERVER_STREAM, and has neither status nor extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// Whether they go from the server to the client.
    pub from_server: bool,
    /// The channel; not 0.
    pub channel_id: u32,
    /// The service and the method; neither is 0.
    pub method: MethodId,
    /// The call.
    pub call_id: u32,
}

impl StreamId {
    /// Reads a packet that is nothing but a message, and gives the message. `None` for all others, and for one whose
    /// fields do not stand in the order of their numbers: those are for [`RpcPacket::read`].
    #[inline]
    pub fn read(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (&[TYPE, kind, CHANNEL], rest) = packet.split_first_chunk()? else {
            return None;
        };
        let from_server = match kind {
            CLIENT_STREAM => false,
            SERVER_STREAM => true,
            _ => return None,
        };
        let (channel_id, rest) = varint(rest)?;
        let (&[SERVICE, a, b, c, d, METHOD, e, f, g, h], rest) = rest.split_first_chunk()? else {
            return None;
        };
        let method = MethodId {
            service: u32::from_le_bytes([a, b, c, d]),
            method: u32::from_le_bytes([e, f, g, h]),
        };
        let (payload, rest) = match rest.split_first() {
            Some((&PAYLOAD, rest)) => {
                let (length, rest) = varint(rest)?;
                rest.split_at_checked(usize::try_from(length).ok()?)?
            }
            Some(_) | None => (&[][..], rest),
        };
        let call_id = match rest.split_first() {
            Some((&CALL, rest)) => match varint(rest)? {
                (call_id, []) => call_id,
                (_, _) => return None,
            },
            Some(_) => return None,
            None => 0,
        };
        let id = Self {
            from_server,
            channel_id,
            method,
            call_id,
        };
        let is_named = channel_id != 0 && method.service != 0 && method.method != 0;
        is_named.then_some((id, payload))
    }

    /// The type of its packets.
    pub const fn packet_type(&self) -> PacketType {
        match self.from_server {
            true => PacketType::ServerStream,
            false => PacketType::ClientStream,
        }
    }

    /// One of its packets, without a message yet.
    pub fn packet(&self) -> RpcPacket {
        RpcPacket::new(
            self.packet_type(),
            self.channel_id,
            self.method,
            self.call_id,
        )
    }

    /// How its packets are written.
    pub fn layout(&self) -> StreamLayout {
        let mut before = Piece::default();
        before.push(TYPE);
        before.push(self.packet_type() as u8);
        before.push(CHANNEL);
        before.push_varint(self.channel_id);
        before.push(SERVICE);
        before.push_all(self.method.service.to_le_bytes());
        before.push(METHOD);
        before.push_all(self.method.method.to_le_bytes());
        let mut after = Piece::default();
        if self.call_id != 0 {
            after.push(CALL);
            after.push_varint(self.call_id);
        }
        StreamLayout { before, after }
    }
}

/// What stands around each message in the packets of a [`StreamId`]. [`StreamLayout::append_before`] and then
/// [`StreamLayout::append_after`] write the same bytes as [`RpcPacket::append`].
#[derive(Debug, Clone, Copy)]
pub struct StreamLayout {
    before: Piece<24>,
    after: Piece<8>,
}

impl StreamLayout {
    /// The most that a packet has beside its message, in bytes.
    pub const OVERHEAD_BYTES_MAX: usize = 24 + 8;

    /// How many bytes the packet of a message of so many bytes has.
    #[inline]
    pub const fn packet_len(&self, message_bytes: usize) -> usize {
        let length = match message_bytes {
            0 => 0,
            1.. => 1 + varint_len(message_bytes),
        };
        self.before.len + length + message_bytes + self.after.len
    }

    /// Appends what stands before a message of so many bytes, less than 4 GiB; the same for all of that length.
    pub fn append_before(&self, message_bytes: usize, out: &mut Vec<u8>) {
        let mut before = self.before;
        if message_bytes > 0 {
            before.push(PAYLOAD);
            before.push_varint(message_bytes as u32);
        }
        before.append(out);
    }

    /// Appends the message and what stands behind it.
    #[inline]
    pub fn append_after(&self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(message);
        self.after.append(out);
    }
}

/// A few bytes.
#[derive(Debug, Clone, Copy)]
struct Piece<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> Default for Piece<MAX> {
    fn default() -> Self {
        Self {
            bytes: [0; MAX],
            len: 0,
        }
    }
}

impl<const MAX: usize> Piece<MAX> {
    #[inline]
    const fn push(&mut self, byte: u8) {
        if self.len < MAX {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    fn push_all<const N: usize>(&mut self, bytes: [u8; N]) {
        for byte in bytes {
            self.push(byte);
        }
    }

    #[inline]
    const fn push_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    /// All of it is copied, which is cheaper than exactly what there is, and cut.
    #[inline]
    fn append(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

/// How many bytes this takes as a varint.
const fn varint_len(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// The number at the start, in at most five bytes, and what follows it.
#[inline]
fn varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((u32::from(first), rest));
    }
    let mut value = u64::from(first & 0x7f);
    for shift in [7, 14, 21, 28] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((u32::try_from(value).ok()?, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn ids() -> impl Iterator<Item = StreamId> {
        let method = MethodId::new("pw.rpc.EchoService", "Echo");
        let numbers = [1, 127, 128, 300, (1 << 21) - 1, u32::MAX];
        numbers.into_iter().flat_map(move |number| {
            [(false, number, 1), (true, 1, number), (true, number, 0)].map(
                move |(from_server, channel_id, call_id)| StreamId {
                    from_server,
                    channel_id,
                    method,
                    call_id,
                },
            )
        })
    }

    #[test]
    fn what_is_written_is_what_the_whole_packet_would_be() {
        for id in ids() {
            for len in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
                let message = alloc::vec![7; len];
                let mut packet = id.packet();
                packet.payload = Bytes::from(message.clone());
                let mut out = alloc::vec![1];
                let layout = id.layout();
                layout.append_before(len, &mut out);
                layout.append_after(&message, &mut out);
                assert_eq!(out[1..], packet.to_bytes(), "{id:?}, {len} bytes");
                assert_eq!(out.len(), 1 + layout.packet_len(len), "{id:?}, {len} bytes");
                assert!(out.len() <= 1 + len + StreamLayout::OVERHEAD_BYTES_MAX);
                let read = StreamId::read(&out[1..]);
                assert_eq!(read, Some((id, &message[..])), "{len} bytes");
            }
        }
    }

    /// Such packets are left to those who look at every field.
    #[test]
    fn what_is_more_than_a_message_is_not_taken() {
        let id = ids().next().expect("one");
        let whole = {
            let mut packet = id.packet();
            packet.payload = "hello".into();
            packet
        };
        let mut more = [(); 6].map(|()| whole.clone());
        more[0].extend();
        more[1].status = 1;
        more[2].set_type(PacketType::Response);
        more[3].channel_id = 0;
        more[4].service_id = 0;
        more[5].method_id = 0;
        for packet in more {
            assert_eq!(StreamId::read(&packet.to_bytes()), None, "{packet:?}");
        }
        let bytes = whole.to_bytes();
        for cut in 0..bytes.len() {
            let read = StreamId::read(&bytes[..cut]);
            // Without its last field it is the packet of a call without an id.
            let is_whole = RpcPacket::read(bytes.slice(..cut)).is_ok_and(|it| it.call_id == 0);
            assert!(read.is_none() || is_whole, "{cut} bytes: {read:?}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(StreamId::read(&longer), None);
    }
}
