//! The `grpc-timeout` header: at most 8 digits and a unit.

use alloc::{format, string::String};
use core::time::Duration;

/// The units from fine to coarse: nanoseconds in one, and the letter.
const UNITS: [(u128, char); 6] = [
    (1, 'n'),
    (1_000, 'u'),
    (1_000_000, 'm'),
    (1_000_000_000, 'S'),
    (60_000_000_000, 'M'),
    (3_600_000_000_000, 'H'),
];

const DIGITS_MAX: usize = 8;
const VALUE_MAX: u128 = 99_999_999;

/// Reads the header. `None` if it is not 1 to 8 digits and one of `H M S m u n`.
pub fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let (nanos, letter) = UNITS.into_iter().find(|(_, letter)| *letter == unit)?;
    let digits = text.strip_suffix(letter)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    // 8 digits of hours fit in seconds of `u64`; the part below a second is below 10^9.
    let total = u128::from(value) * nanos;
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    let rest = u32::try_from(total % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

/// Writes the header in the finest unit that fits 8 digits, rounded up, so that the peer never gives up before we do.
/// Longer than 99999999 hours is written as that.
pub fn format(timeout: Duration) -> String {
    let nanos = timeout.as_nanos();
    for (unit, letter) in UNITS {
        let value = nanos.div_ceil(unit);
        if value <= VALUE_MAX {
            return format!("{value}{letter}");
        }
    }
    format!("{VALUE_MAX}H")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4-11: at most 8 digits and one of `H M S m u n`.
    #[test]
    fn s4_11_timeouts_parse_by_the_table() {
        let table = [
            ("1n", Some(Duration::from_nanos(1))),
            ("20u", Some(Duration::from_micros(20))),
            ("300m", Some(Duration::from_millis(300))),
            ("4S", Some(Duration::from_secs(4))),
            ("5M", Some(Duration::from_secs(300))),
            ("6H", Some(Duration::from_secs(21_600))),
            ("0S", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1 S", None),
            ("1ä", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "grpc-timeout {text:?}");
        }
    }

    /// S4-11: written in at most 8 digits, never shorter than what was asked.
    #[test]
    fn s4_11_timeouts_format_by_the_table() {
        let table = [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_001), "100001u"),
            (Duration::from_secs(1), "1000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(3600 * 24 * 365), "31536000S"),
            (Duration::MAX, "99999999H"),
        ];
        for (timeout, expected) in table {
            let text = format(timeout);
            assert_eq!(text, expected, "{timeout:?}");
            let read = parse(&text).expect("what is written can be read");
            assert!(read >= timeout || timeout == Duration::MAX, "{timeout:?}");
        }
    }
}
