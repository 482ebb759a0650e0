//! Where a connection goes.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// One place that a connection can be made to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A port of a host.
    Socket(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// As a peer is described: `ipv4:127.0.0.1:50051`, `ipv6:[::1]:50051`, `unix:/run/app.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(SocketAddr::V4(addr)) => write!(f, "ipv4:{addr}"),
            Self::Socket(SocketAddr::V6(addr)) => write!(f, "ipv6:{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
