//! What a server says about another attempt.

use core::time::Duration;

use headwater_proto::Metadata;

/// A server's wish about the next attempt: `grpc-retry-pushback-ms` in the trailers of a failed one (gRFC A6, "Pushback").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pushback {
    /// Wait exactly this long.
    After(Duration),
    /// Send nothing more: the value was negative, or none that can be understood.
    Stop,
}

impl Pushback {
    /// The key in the trailing metadata.
    pub const KEY: &str = "grpc-retry-pushback-ms";

    /// What these trailers say, if anything. The first value counts.
    pub fn of(trailers: &Metadata) -> Option<Self> {
        trailers.text(Self::KEY).map(Self::parse)
    }

    fn parse(text: &str) -> Self {
        let millis = text.parse::<i32>().ok().filter(|_| !text.starts_with('+'));
        let millis = millis.and_then(|millis| u64::try_from(millis).ok());
        millis.map_or(Self::Stop, |millis| {
            Self::After(Duration::from_millis(millis))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S4-52: `0`, `150`, `-1`, `abc`, and what else is no signed 32-bit number.
    #[test]
    fn s4_52_what_cannot_be_understood_forbids_the_retry() {
        let after = |millis| Pushback::After(Duration::from_millis(millis));
        let cases = [
            ("0", after(0)),
            ("150", after(150)),
            ("2147483647", after(2_147_483_647)),
            ("2147483648", Pushback::Stop),
            ("-1", Pushback::Stop),
            ("abc", Pushback::Stop),
            ("", Pushback::Stop),
            ("+1", Pushback::Stop),
            ("1.5", Pushback::Stop),
        ];
        for (text, expected) in cases {
            let mut trailers = Metadata::new();
            trailers.append(Pushback::KEY, text).expect("valid");
            assert_eq!(Pushback::of(&trailers), Some(expected), "{text:?}");
        }
        assert_eq!(Pushback::of(&Metadata::new()), None);
    }
}
