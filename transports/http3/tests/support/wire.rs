//! Frames of HTTP/3 as bytes, made by hand.

pub(crate) const DATA: u64 = 0x0;
pub(crate) const HEADERS: u64 = 0x1;
pub(crate) const SETTINGS: u64 = 0x4;
pub(crate) const GOAWAY: u64 = 0x7;

pub(crate) fn varint(value: u64) -> Vec<u8> {
    match value {
        0..=0x3F => vec![value as u8],
        0x40..=0x3FFF => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..=0x3FFF_FFFF => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xC000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

pub(crate) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
}

/// A literal line with a literal name, neither in Huffman's code.
pub(crate) fn line(name: &str, value: &str) -> Vec<u8> {
    let integer = |first: u8, bits: u32, value: usize| {
        let mask = (1 << bits) - 1;
        if value < mask {
            return vec![first | value as u8];
        }
        let mut bytes = vec![first | mask as u8];
        let mut rest = value - mask;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 0x80);
            rest /= 128;
        }
        bytes.push(rest as u8);
        bytes
    };
    [
        integer(0x20, 3, name.len()),
        name.as_bytes().to_vec(),
        integer(0, 7, value.len()),
        value.as_bytes().to_vec(),
    ]
    .concat()
}

/// A header section.
pub(crate) fn section(lines: &[(&str, &str)]) -> Vec<u8> {
    let lines = lines.iter().flat_map(|(name, value)| line(name, value));
    [0, 0].into_iter().chain(lines).collect()
}

/// A request of gRPC, with more lines.
pub(crate) fn request(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut lines = vec![
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    lines.extend(more);
    frame(HEADERS, &section(&lines))
}

/// A message of gRPC in a DATA frame.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    let prefix = [&[0][..], &(payload.len() as u32).to_be_bytes(), payload].concat();
    frame(DATA, &prefix)
}

/// A response of gRPC.
pub(crate) fn response() -> Vec<u8> {
    let lines = [(":status", "200"), ("content-type", "application/grpc")];
    frame(HEADERS, &section(&lines))
}

pub(crate) fn trailers(status: &str) -> Vec<u8> {
    frame(HEADERS, &section(&[("grpc-status", status)]))
}
