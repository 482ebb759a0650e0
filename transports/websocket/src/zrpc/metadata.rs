//! The headers of a handshake, as metadata.

use std::time::Duration;

use headwater_proto::grpc::timeout;
use headwater_rpc::Metadata;
use http::HeaderMap;

/// What belongs to the handshake and not to the calls. (Compression is agreed on where frames can say it, by each call.)
const OF_THE_HANDSHAKE: [&str; 9] = [
    "connection",
    "grpc-accept-encoding",
    "grpc-encoding",
    "host",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
];

/// The time that a client gives each call of its socket.
const TIMEOUT: &str = "grpc-timeout";

/// What every call of a socket has.
#[derive(Default)]
pub(super) struct OfSocket {
    metadata: Metadata,
    timeout: Option<Duration>,
}

impl OfSocket {
    /// From the headers of the handshake; what no metadata can be is left out.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let (name, Ok(text)) = (name.as_str(), value.to_str()) else {
                continue;
            };
            if name == TIMEOUT {
                found.timeout = timeout::parse(text);
            }
            if !OF_THE_HANDSHAKE.contains(&name) {
                // Reserved or not valid: no metadata.
                let _ = found.metadata.append_wire(name, text);
            }
        }
        found
    }

    /// Completes what a call brings itself, which comes first.
    pub(super) fn complete(&self, metadata: &mut Metadata, timeout: &mut Option<Duration>) {
        *timeout = timeout.or(self.timeout);
        for (key, value) in self.metadata.iter() {
            if metadata.values(key).next().is_none() {
                // Valid there, and so here.
                let _ = metadata.append_wire(key, &value.to_wire());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_24_a_token_of_the_handshake_is_metadata_of_the_calls() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer t"),
            ("grpc-timeout", "5S"),
            ("host", "h"),
            ("sec-websocket-key", "k"),
            ("upgrade", "websocket"),
            ("user", "ann"),
        ] {
            headers.insert(name, value.parse().expect("valid"));
        }
        let socket = OfSocket::new(&headers);
        let (mut metadata, mut timeout) = (Metadata::new(), None);
        metadata.append("user", "bob").expect("valid");
        socket.complete(&mut metadata, &mut timeout);
        assert_eq!(timeout, Some(Duration::from_secs(5)));
        assert_eq!(metadata.text("authorization"), Some("Bearer t"));
        assert_eq!(
            metadata.values("user").count(),
            1,
            "a call's own come first"
        );
        assert_eq!(metadata.text("user"), Some("bob"));
        assert_eq!(metadata.len(), 2, "{metadata:?}");
    }
}
