//! The channel of an encoded packet, for who passes packets on without reading them.

use core::ops::Range;

use prost::encoding::{WireType, decode_varint};

use super::packet::Undecodable;

/// Field 2 of a packet.
const CHANNEL_ID: u64 = 2;
/// The largest id that takes one byte.
const ONE_BYTE_MAX: u32 = 127;

/// Why the channel of a packet cannot be replaced in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RemapError {
    /// It is not a packet (`DATA_LOSS`), or has no channel.
    #[error("not a pw_rpc packet")]
    Undecodable,
    /// The old or the new id is over 127, so that the packet's length may change (`OUT_OF_RANGE`).
    #[error("a channel id is over 127")]
    OutOfRange,
}

/// The channel of an encoded packet; 0 if it names none. (`ExtractChannelId` of pw_rpc.)
///
/// # Errors
///
/// It is not a packet, as far as this had to look.
pub fn channel_id(packet: &[u8]) -> Result<u32, Undecodable> {
    let Some((id, _)) = find(packet)? else {
        return Ok(0);
    };
    Ok(id)
}

/// Replaces the channel of an encoded packet in place. (`ChangeEncodedChannelId` of pw_rpc.)
///
/// # Errors
///
/// It is not a packet that names a channel; or one of the ids is over 127. Then it is as it was.
pub fn remap_channel_id(packet: &mut [u8], channel_id: u32) -> Result<(), RemapError> {
    let (old, place) = find(packet)
        .map_err(|_| RemapError::Undecodable)?
        .ok_or(RemapError::Undecodable)?;
    if old > ONE_BYTE_MAX || channel_id > ONE_BYTE_MAX || place.len() != 1 {
        return Err(RemapError::OutOfRange);
    }
    packet[place.start] = channel_id.to_le_bytes()[0];
    Ok(())
}

/// The last channel that the packet names, which is the one that counts, and where it stands.
fn find(packet: &[u8]) -> Result<Option<(u32, Range<usize>)>, Undecodable> {
    let mut rest = packet;
    let mut found = None;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let wire_type = WireType::try_from(key & 7).map_err(|_| Undecodable)?;
        let length = match wire_type {
            WireType::Varint => {
                let start = packet.len() - rest.len();
                let value = varint(&mut rest)?;
                if key >> 3 == CHANNEL_ID {
                    // As protobuf reads a uint32: the upper bits do not count.
                    found = Some((value as u32, start..packet.len() - rest.len()));
                }
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => {
                usize::try_from(varint(&mut rest)?).map_err(|_| Undecodable)?
            }
            WireType::StartGroup | WireType::EndGroup => return Err(Undecodable),
        };
        rest = rest.get(length..).ok_or(Undecodable)?;
    }
    Ok(found)
}

fn varint(rest: &mut &[u8]) -> Result<u64, Undecodable> {
    decode_varint(rest).map_err(|_| Undecodable)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::pw_rpc::{MethodId, PacketType, RpcPacket};

    fn packet(channel_id: u32) -> Vec<u8> {
        let method = MethodId::new("package.Service", "Method");
        let mut packet = RpcPacket::new(PacketType::Request, channel_id, method, 7);
        packet.payload = "\u{10}\u{2a}".into();
        packet.extend().has_message = true;
        packet.to_bytes().to_vec()
    }

    /// S5-57: the id is read from the encoded packet; `DATA_LOSS` if it is none.
    #[test]
    fn s5_57_the_channel_of_an_encoded_packet_is_read() {
        for id in [0, 1, 127, 128, u32::MAX] {
            assert_eq!(channel_id(&packet(id)), Ok(id), "channel {id}");
        }
        for bytes in [&[1, 2][..], b"\x10", b"\x2a\x05x", b"\x0b", b"\xff\xff"] {
            assert_eq!(channel_id(bytes), Err(Undecodable), "{bytes:?}");
        }
    }

    /// S5-57: in place, and only among ids below 128; else `OUT_OF_RANGE`.
    #[test]
    fn s5_57_the_channel_of_an_encoded_packet_is_replaced_in_place() {
        let table = [
            (1, 127, Ok(())),
            (127, 0, Ok(())),
            (23, 23, Ok(())),
            (128, 1, Err(RemapError::OutOfRange)),
            (1, 128, Err(RemapError::OutOfRange)),
            // An id of 0 is not written.
            (0, 1, Err(RemapError::Undecodable)),
        ];
        for (old, new, expected) in table {
            let mut bytes = packet(old);
            let result = remap_channel_id(&mut bytes, new);
            assert_eq!(result, expected, "{old} to {new}");
            let now = if result.is_ok() {
                packet(new)
            } else {
                packet(old)
            };
            let read = |bytes: Vec<u8>| RpcPacket::read(bytes.into()).expect("a packet");
            let (bytes, now) = (read(bytes), read(now));
            assert_eq!(bytes, now, "{old} to {new}: nothing else changes");
        }
        let result = remap_channel_id(&mut [1, 2], 1);
        assert_eq!(result, Err(RemapError::Undecodable));
    }
}
