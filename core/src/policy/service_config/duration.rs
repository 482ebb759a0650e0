//! Durations as protobuf's JSON has them: `"1.5s"`.

use core::time::Duration;

/// The largest of protobuf's durations, in seconds: about 10,000 years.
const SECONDS_MAX: u64 = 315_576_000_000;

/// Reads seconds with at most nine decimals and an `s`. As in gRFC A6's own examples, the digits before the point may be
/// missing. `None` for anything else, below zero included.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (seconds, fraction) = match number.split_once('.') {
        Some(("", fraction)) => ("0", fraction),
        Some(parts) => parts,
        None => (number, "0"),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(seconds) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds = seconds.parse().ok().filter(|it| *it <= SECONDS_MAX)?;
    let digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    if seconds == SECONDS_MAX && nanos > 0 {
        return None;
    }
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4-45: `"1.5s"`, down to nanoseconds and up to protobuf's limit.
    #[test]
    fn s4_45_durations_have_seconds_and_up_to_nine_decimals() {
        let good = [
            ("1.5s", Duration::from_millis(1500)),
            ("0s", Duration::ZERO),
            (".1s", Duration::from_millis(100)),
            ("0.000000001s", Duration::from_nanos(1)),
            ("007s", Duration::from_secs(7)),
            ("315576000000s", Duration::from_secs(SECONDS_MAX)),
        ];
        for (text, expected) in good {
            assert_eq!(parse(text), Some(expected), "{text:?}");
        }
        let bad = [
            "",
            "s",
            ".s",
            "1",
            "1.s",
            "1.5",
            "1.5S",
            "1.5 s",
            "-1s",
            "+1s",
            "1e3s",
            "1.0000000001s",
            "1,5s",
            "315576000001s",
            "315576000000.1s",
            "99999999999999999999s",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
