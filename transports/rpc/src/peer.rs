//! Who is on the other side of a call.

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// The two ends of the connection that a call came over, each as `<transport>:<address>`: `ipv4:127.0.0.1:50051`,
/// `ipv6:[::1]:50051`, `unix:/run/app.sock`, `in-process:4711`. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer(Arc<Ends>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ends {
    remote: Box<str>,
    local: Box<str>,
    certificates: Vec<Bytes>,
}

impl Peer {
    /// The peer at `remote`, seen from `local`.
    pub fn new(remote: impl Into<Box<str>>, local: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Ends {
            remote: remote.into(),
            local: local.into(),
            certificates: Vec::new(),
        }))
    }

    /// The same, with the certificates by which the other side proved who it is.
    #[must_use]
    pub fn with_certificates(self, certificates: Vec<Bytes>) -> Self {
        let mut ends = Arc::unwrap_or_clone(self.0);
        ends.certificates = certificates;
        Self(Arc::new(ends))
    }

    /// The other side.
    pub fn remote(&self) -> &str {
        &self.0.remote
    }

    /// This side.
    pub fn local(&self) -> &str {
        &self.0.local
    }

    /// The other side's certificate and its chain, in DER, the end entity first. Empty unless TLS asked for it and the
    /// transport has checked it.
    pub fn certificates(&self) -> &[Bytes] {
        &self.0.certificates
    }
}

/// The other side.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.remote())
    }
}
