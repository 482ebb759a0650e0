//! Where connections come from: a TCP port or a Unix socket.

use std::{io, net::SocketAddr, path::Path, time::Duration};
#[cfg(unix)]
use std::{os::unix::fs::FileTypeExt as _, path::PathBuf};

use headwater_rpc::{Peer, channel::Address};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::server::{Connected as _, TcpConnectInfo};

use crate::io::Io;

/// How long to wait before the next accept when the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound address.
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, SocketFile),
}

/// A connection that was accepted, and who is on it.
pub(super) struct Accepted {
    pub(super) io: Box<dyn Io>,
    pub(super) peer: Peer,
    /// For tonic's services, which ask for it.
    pub(super) tcp: Option<TcpConnectInfo>,
}

impl Listener {
    /// Binds a Unix socket. A socket file that nobody listens on any more is removed before.
    #[cfg(unix)]
    pub(super) async fn unix(path: &Path) -> io::Result<Self> {
        if is_socket(path) && is_refused(&UnixStream::connect(path).await) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        Ok(Self::Unix(listener, SocketFile(path.to_owned())))
    }

    /// There are none on this system.
    #[cfg(not(unix))]
    #[expect(clippy::unused_async, reason = "it is one with that of other systems")]
    pub(super) async fn unix(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => Ok(Address::Socket(listener.local_addr()?)),
            #[cfg(unix)]
            Self::Unix(_, SocketFile(path)) => Ok(Address::Unix(path.clone())),
        }
    }

    /// The next connection. Cancel safe: none is lost.
    pub(super) async fn accept(&self) -> Accepted {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(io, from)| tcp(io, from)),
                #[cfg(unix)]
                Self::Unix(listener, file) => listener.accept().await.map(|(io, _)| unix(io, file)),
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::debug!(target: "headwater_http2", %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn tcp(io: TcpStream, from: SocketAddr) -> Accepted {
    // Without it small frames wait for acknowledgements; a socket that refuses works all the same.
    let _ = io.set_nodelay(true);
    let local = io
        .local_addr()
        .map(|addr| Address::Socket(addr).to_string());
    let remote = Address::Socket(from).to_string();
    let tcp = Some(io.connect_info());
    Accepted {
        io: Box::new(io),
        peer: Peer::new(remote, local.unwrap_or_default()),
        tcp,
    }
}

#[cfg(unix)]
fn unix(io: UnixStream, SocketFile(path): &SocketFile) -> Accepted {
    let local = Address::Unix(path.clone()).to_string();
    Accepted {
        io: Box::new(io),
        // A client's socket has no name.
        peer: Peer::new("unix:", local),
        tcp: None,
    }
}

#[cfg(unix)]
fn is_socket(path: &Path) -> bool {
    let metadata = std::fs::symlink_metadata(path);
    metadata.is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(unix)]
fn is_refused(connected: &io::Result<UnixStream>) -> bool {
    let error = connected.as_ref().err().map(io::Error::kind);
    error == Some(io::ErrorKind::ConnectionRefused)
}

/// The file of a Unix socket, which the system leaves behind.
#[cfg(unix)]
pub(super) struct SocketFile(PathBuf);

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it, and that is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}
