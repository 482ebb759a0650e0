//! Who is on the other side of a call.

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// The two ends of the connection that a call came over, each as `<transport>:<address>`: `ipv4:127.0.0.1:50051`,
/// `ipv6:[::1]:50051`, `unix:/run/app.sock`, `in-process:4711`. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    ends: Arc<Ends>,
    channel: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ends {
    remote: Box<str>,
    local: Box<str>,
    certificates: Vec<Bytes>,
}

impl Peer {
    /// The peer at `remote`, seen from `local`.
    pub fn new(remote: impl Into<Box<str>>, local: impl Into<Box<str>>) -> Self {
        let ends = Ends {
            remote: remote.into(),
            local: local.into(),
            certificates: Vec::new(),
        };
        Self {
            ends: Arc::new(ends),
            channel: None,
        }
    }

    /// The same, with the certificates by which the other side proved who it is.
    #[must_use]
    pub fn with_certificates(mut self, certificates: Vec<Bytes>) -> Self {
        Arc::make_mut(&mut self.ends).certificates = certificates;
        self
    }

    /// The same, on this channel of the connection.
    #[must_use]
    pub const fn with_channel(mut self, channel: u32) -> Self {
        self.channel = Some(channel);
        self
    }

    /// The other side.
    pub fn remote(&self) -> &str {
        &self.ends.remote
    }

    /// This side.
    pub fn local(&self) -> &str {
        &self.ends.local
    }

    /// The other side's certificate and its chain, in DER, the end entity first. Empty unless TLS asked for it and the
    /// transport has checked it.
    pub fn certificates(&self) -> &[Bytes] {
        &self.ends.certificates
    }

    /// The channel that the call came on, of a connection that has several: pw_rpc's packets, over WebSocket. Who answers it
    /// on another connection, after a restart, needs it.
    pub const fn channel(&self) -> Option<u32> {
        self.channel
    }
}

/// The other side.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.remote())
    }
}
