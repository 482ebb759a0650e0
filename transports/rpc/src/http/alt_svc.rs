//! Where a server can be reached by HTTP/3 too, as it says so (RFC 7838).

use std::{sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderValue, header::ALT_SVC};
use tokio::{sync::watch, time::Instant};

/// What announces HTTP/3 (RFC 9114, 3.1.1).
const H3: &str = "h3";
/// How long an announcement is good that does not say it (RFC 7838, 3.1).
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// An announcement of HTTP/3, as the header `alt-svc` has it: on the same host, at this port of UDP.
///
/// Other hosts, which the header could name, are neither announced nor followed: the same host is what its certificate
/// and the client's URL are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AltSvc {
    /// The port of UDP.
    pub port: u16,
    /// How long clients may remember it, in whole seconds.
    pub max_age: Duration,
}

impl AltSvc {
    /// HTTP/3 at this port, to be remembered for a day.
    pub const fn new(port: u16) -> Self {
        Self {
            port,
            max_age: MAX_AGE,
        }
    }

    /// The value of the header, such as `h3=":8443"; ma=86400`.
    pub fn to_header(self) -> HeaderValue {
        let value = format!("{H3}=\":{}\"; ma={}", self.port, self.max_age.as_secs());
        HeaderValue::try_from(value).expect("digits and punctuation are valid in a header")
    }

    /// The first alternative in the value of the header that is HTTP/3 on the same host; `None` if none is, which also is
    /// what `clear` says.
    pub fn parse(value: &str) -> Option<Self> {
        split(value, ',').find_map(Self::parse_one)
    }

    fn parse_one(alternative: &str) -> Option<Self> {
        let mut parts = split(alternative, ';');
        let (protocol, authority) = parts.next()?.split_once('=')?;
        let authority = authority.strip_prefix('"')?.strip_suffix('"')?;
        if protocol != H3 {
            return None;
        }
        let port = authority.strip_prefix(':')?.parse().ok()?;
        let seconds = parts.find_map(|parameter| parameter.strip_prefix("ma="));
        let seconds = seconds.and_then(|text| text.trim_matches('"').parse().ok());
        let max_age = seconds.map_or(MAX_AGE, Duration::from_secs);
        (port != 0).then_some(Self { port, max_age })
    }
}

/// The parts of a list, without the blanks around them. What stands within quotes separates nothing.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let ends = move |char: char| {
        is_quoted ^= char == '"';
        char == separator && !is_quoted
    };
    text.split(ends).map(str::trim)
}

/// What was announced last: written by the transport that reads the answers, and followed by a
/// [`Fallback`](super::Fallback). Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Alternatives(Arc<watch::Sender<Option<Announced>>>);

/// A port, and until when it is good.
#[derive(Debug, Clone, Copy)]
struct Announced {
    port: u16,
    until: Instant,
}

fn port(announced: Option<Announced>, now: Instant) -> Option<u16> {
    let announced = announced.filter(|announced| now < announced.until);
    announced.map(|announced| announced.port)
}

impl Alternatives {
    /// Takes what the headers of an answer announce, if they have an `alt-svc`: it takes the place of all that was announced
    /// before (RFC 7838, 3).
    pub fn announce(&self, headers: &HeaderMap) {
        let mut values = headers.get_all(ALT_SVC).iter().peekable();
        if values.peek().is_none() {
            return;
        }
        let at = values.find_map(|value| value.to_str().ok().and_then(AltSvc::parse));
        let now = Instant::now();
        let announced = at.and_then(|at| {
            let until = now.checked_add(at.max_age)?;
            let port = at.port;
            Some(Announced { port, until })
        });
        self.0.send_if_modified(|last| {
            let before = port(*last, now);
            *last = announced;
            before != port(announced, now)
        });
    }

    /// The port of UDP that was announced, unless that is too old.
    pub(super) fn port(&self) -> Option<u16> {
        port(*self.0.borrow(), Instant::now())
    }

    /// Tells when another port is announced, or none any more.
    pub(super) fn watch(&self) -> Changes {
        Changes(self.0.subscribe())
    }
}

/// See [`Alternatives::watch`].
pub(super) struct Changes(watch::Receiver<Option<Announced>>);

impl Changes {
    /// Waits for the next change. For ever, once nobody can announce anything.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_85_the_header_says_the_port_and_for_how_long() {
        let at = |port, seconds| {
            Some(AltSvc {
                port,
                max_age: Duration::from_secs(seconds),
            })
        };
        for (value, expected) in [
            (r#"h3=":8443""#, at(8443, 86400)),
            (r#"h3=":8443"; ma=60; persist=1"#, at(8443, 60)),
            (r#"h3=":8443";ma="60""#, at(8443, 60)),
            (r#"h2=":443"; ma=1, h3=":8443"; ma=2"#, at(8443, 2)),
            (r#"w="a,h3=b", h3=":1""#, at(1, 86400)),
            (r#"h3="other.example:8443", h3=":2""#, at(2, 86400)),
            (r#"h3=":8443"; ma=soon"#, at(8443, 86400)),
            ("clear", None),
            ("", None),
            (r#"h3-29=":8443""#, None),
            (r#"h3=":0""#, None),
            (r#"h3=":65536""#, None),
            (r#"h3=8443"#, None),
            (r#"h3=":8443"#, None),
        ] {
            assert_eq!(AltSvc::parse(value), expected, "{value}");
        }
        let announced = AltSvc::new(8443);
        assert_eq!(announced.to_header(), r#"h3=":8443"; ma=86400"#);
        let value = announced.to_header();
        assert_eq!(value.to_str().ok().and_then(AltSvc::parse), Some(announced));
    }

    #[tokio::test(start_paused = true)]
    async fn s4_85_an_announcement_is_good_until_it_is_too_old_or_taken_back() {
        let alternatives = Alternatives::default();
        let header = |value| HeaderMap::from_iter([(ALT_SVC, HeaderValue::from_static(value))]);
        alternatives.announce(&header(r#"h3=":1"; ma=10"#));
        assert_eq!(alternatives.port(), Some(1));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(alternatives.port(), None, "it is too old");
        alternatives.announce(&header(r#"h3=":1"; ma=10"#));
        assert_eq!(
            alternatives.port(),
            Some(1),
            "said again, it is as good as new"
        );
        alternatives.announce(&HeaderMap::new());
        assert_eq!(alternatives.port(), Some(1), "silence takes nothing back");
        alternatives.announce(&header("clear"));
        assert_eq!(alternatives.port(), None, "it was taken back");
        alternatives.announce(&header(r#"h3=":1"; ma=0"#));
        assert_eq!(alternatives.port(), None, "it is too old at once");
    }
}
