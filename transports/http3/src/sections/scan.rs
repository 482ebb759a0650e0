//! A look at an encoded field section (RFC 9204, 4.5) before it is decoded.
//!
//! `h3` makes a name and a value of each line, also where one byte stands for both, so what a section can grow to is known
//! only here; and it takes the last of several pseudo-headers, wherever they stand.

/// Lines that the static table has (RFC 9204, appendix A).
const STATIC_LINES: u64 = 99;
/// What each line counts beside its name and its value (RFC 9114, 4.2.2).
const LINE_BYTES: u64 = 32;
/// An integer may have so many bytes beyond the first: more than any length of a section needs.
const INTEGER_BYTES_MAX: u32 = 5;
/// The pseudo-headers (RFC 9114, 4.3), each with its lines of the static table.
const PSEUDO: [(&[u8], &[std::ops::RangeInclusive<u64>]); 5] = [
    (b":authority", &[0..=0]),
    (b":path", &[1..=1]),
    (b":method", &[15..=21]),
    (b":scheme", &[22..=23]),
    (b":status", &[24..=28, 63..=71]),
];
/// The first byte of a name in Huffman's code that begins with a colon (RFC 7541, appendix B), and what of it counts.
const HUFFMAN_COLON: (u8, u8) = (0b1011_1000, 0b1111_1110);

/// Why a section is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is larger than what is taken.
    TooLarge,
    /// It cannot be decoded, which is the connection's end (RFC 9204, 2.2).
    Undecodable,
    /// What it says is no request, response or trailers (RFC 9114, 4.1.2).
    Malformed,
}

/// Looks at a section of which at most `bytes_max` are taken, counted as in RFC 9114, 4.2.2. Trailers have no
/// pseudo-headers.
pub(super) fn check(section: &[u8], bytes_max: u64, may_have_pseudo: bool) -> Result<(), Unfit> {
    let mut rest = Rest(section);
    // No dynamic table was offered, so nothing of it can be required.
    if rest.integer(8)? != 0 || rest.integer(7)? != 0 {
        return Err(Unfit::Undecodable);
    }
    let mut bytes = 0;
    let mut seen = Seen {
        pseudo: [false; PSEUDO.len()],
        others: !may_have_pseudo,
    };
    let mut fault = None;
    while let Some(&first) = rest.0.first() {
        bytes += LINE_BYTES;
        let name = match first {
            // Indexed, static.
            0xC0..=0xFF => Name::Static(rest.integer(6)?),
            // Literal with a name of the static table.
            0x50..=0x5F | 0x70..=0x7F => {
                let name = Name::Static(rest.integer(4)?);
                bytes += rest.string(7)?.bytes.len() as u64;
                name
            }
            // Literal.
            0x20..=0x3F => {
                let name = rest.string(3)?;
                let value = rest.string(7)?;
                bytes += (name.bytes.len() + value.bytes.len()) as u64;
                Name::Literal(name)
            }
            // All others refer to the dynamic table.
            0x00..=0x1F | 0x40..=0x4F | 0x60..=0x6F | 0x80..=0xBF => {
                return Err(Unfit::Undecodable);
            }
        };
        if matches!(name, Name::Static(index) if index >= STATIC_LINES) {
            return Err(Unfit::Undecodable);
        }
        // Strings in Huffman's code grow, so this is the least that it can be; `h3` knows better.
        if bytes > bytes_max {
            return Err(Unfit::TooLarge);
        }
        // What cannot be decoded further on is worse than what is malformed here.
        fault = fault.or(seen.take(&name).err());
    }
    fault.map_or(Ok(()), Err)
}

enum Name<'a> {
    Static(u64),
    Literal(Text<'a>),
}

impl Name<'_> {
    /// Which pseudo-header it is; `None` if it is none.
    fn pseudo(&self) -> Result<Option<usize>, Unfit> {
        let name = match self {
            Self::Static(index) => {
                let holds = |lines: &[std::ops::RangeInclusive<u64>]| {
                    lines.iter().any(|range| range.contains(index))
                };
                return Ok(PSEUDO.iter().position(|(_, lines)| holds(lines)));
            }
            Self::Literal(name) => name,
        };
        let Some(&first) = name.bytes.first() else {
            return Err(Unfit::Malformed);
        };
        if name.huffman {
            let (colon, mask) = HUFFMAN_COLON;
            // All that there are have names in the table, and no encoder has a reason to spell them out.
            return if first & mask == colon {
                Err(Unfit::Malformed)
            } else {
                Ok(None)
            };
        }
        if first != b':' {
            return Ok(None);
        }
        let known = PSEUDO.iter().position(|(known, _)| *known == name.bytes);
        known.map(Some).ok_or(Unfit::Malformed)
    }
}

/// The pseudo-headers so far.
struct Seen {
    pseudo: [bool; PSEUDO.len()],
    others: bool,
}

impl Seen {
    /// Each comes once, and before all others (RFC 9114, 4.3).
    fn take(&mut self, name: &Name<'_>) -> Result<(), Unfit> {
        let Some(which) = name.pseudo()? else {
            self.others = true;
            return Ok(());
        };
        let again = std::mem::replace(&mut self.pseudo[which], true);
        if again || self.others {
            return Err(Unfit::Malformed);
        }
        Ok(())
    }
}

/// A string as it is on the wire.
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    huffman: bool,
}

/// Whether EOS is in it, which no string may have (RFC 7541, 5.2) and `h3` passes over: thirty ones in a row, which
/// nothing else has that may stand in a header of gRPC.
fn has_end_of_string(bytes: &[u8]) -> bool {
    // So many ones have two whole bytes among them, and few strings do.
    if !bytes.windows(2).any(|pair| pair == [0xFF, 0xFF]) {
        return false;
    }
    let mut ones = 0;
    bytes.iter().any(|&byte| {
        let before = ones + byte.leading_ones();
        ones = if byte == 0xFF {
            before
        } else {
            byte.trailing_ones()
        };
        before >= 30
    })
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Result<u8, Unfit> {
        let (&first, rest) = self.0.split_first().ok_or(Unfit::Undecodable)?;
        self.0 = rest;
        Ok(first)
    }

    /// An integer in the lower bits of the next byte and, if it does not fit there, what follows (RFC 7541, 5.1).
    fn integer(&mut self, bits: u32) -> Result<u64, Unfit> {
        let mask = (1_u64 << bits) - 1;
        let first = u64::from(self.byte()?) & mask;
        if first < mask {
            return Ok(first);
        }
        let mut value = first;
        for index in 0..INTEGER_BYTES_MAX {
            let byte = u64::from(self.byte()?);
            value += (byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unfit::Undecodable)
    }

    /// A string whose length begins in the lower bits of the next byte; the bit above them says how it is coded.
    fn string(&mut self, bits: u32) -> Result<Text<'a>, Unfit> {
        let first = self.0.first().copied().unwrap_or_default();
        let huffman = u32::from(first) & (1 << bits) != 0;
        let length = usize::try_from(self.integer(bits)?).map_err(|_| Unfit::Undecodable)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Unfit::Undecodable)?;
        self.0 = rest;
        if huffman && has_end_of_string(bytes) {
            return Err(Unfit::Undecodable);
        }
        Ok(Text { bytes, huffman })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: u64 = 1 << 14;
    /// `:method: POST`, `:scheme: https`, `:path: /`, `:authority: x`.
    const REQUEST: [u8; 8] = [0, 0, 0xd4, 0xd7, 0xc1, 0x50, 1, b'x'];

    fn section(lines: &[&[u8]]) -> Vec<u8> {
        let mut section = REQUEST.to_vec();
        section.extend(lines.iter().copied().flatten());
        section
    }

    #[test]
    fn what_sections_are_refused() {
        let cases: [(&str, Vec<u8>, Result<(), Unfit>); 15] = [
            ("a request", section(&[]), Ok(())),
            ("a literal line", section(&[&[0x21, b'a', 1, b'b']]), Ok(())),
            (
                "one in Huffman's code",
                section(&[&[0x29, 0x1f, 0x81, 0x1f]]),
                Ok(()),
            ),
            ("nothing", vec![], Err(Unfit::Undecodable)),
            ("a required insertion", vec![1, 0], Err(Unfit::Undecodable)),
            (
                "a dynamic line",
                section(&[&[0x80]]),
                Err(Unfit::Undecodable),
            ),
            (
                "a dynamic name",
                section(&[&[0x40, 0]]),
                Err(Unfit::Undecodable),
            ),
            (
                "a line after the base",
                section(&[&[0x10]]),
                Err(Unfit::Undecodable),
            ),
            ("line 99", section(&[&[0xff, 36]]), Err(Unfit::Undecodable)),
            (
                "a string that is cut",
                section(&[&[0x21, b'a', 2, b'b']]),
                Err(Unfit::Undecodable),
            ),
            (
                "an endless integer",
                section(&[&[0xff; 20]]),
                Err(Unfit::Undecodable),
            ),
            ("the path twice", section(&[&[0xc1]]), Err(Unfit::Malformed)),
            (
                "a late pseudo-header",
                vec![0, 0, 0x21, b'a', 0, 0xd4],
                Err(Unfit::Malformed),
            ),
            (
                "an unknown one",
                section(&[&[0x22, b':', b'a', 0]]),
                Err(Unfit::Malformed),
            ),
            (
                "one that is spelled out",
                section(&[&[0x29, 0xb8, 0]]),
                Err(Unfit::Malformed),
            ),
        ];
        for (what, section, expected) in cases {
            assert_eq!(check(&section, BYTES_MAX, true), expected, "{what}");
        }
    }

    #[test]
    fn trailers_have_no_pseudo_headers() {
        assert_eq!(
            check(&[0, 0, 0xd9], BYTES_MAX, false),
            Err(Unfit::Malformed)
        );
        assert_eq!(check(&[0, 0, 0xdd], BYTES_MAX, false), Ok(()));
    }

    #[test]
    fn a_byte_a_line_is_bounded_by_its_lines() {
        let lines = BYTES_MAX / LINE_BYTES;
        // `accept: */*` (29), one byte each.
        let at = [vec![0, 0], vec![0xdd; lines as usize]].concat();
        assert_eq!(check(&at, BYTES_MAX, true), Ok(()));
        let over = [vec![0, 0], vec![0xdd; lines as usize + 1]].concat();
        assert_eq!(check(&over, BYTES_MAX, true), Err(Unfit::TooLarge));
    }
}
