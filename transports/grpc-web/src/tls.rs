//! TLS on a connection that was accepted.

use std::io;

use bytes::Bytes;
use headwater_rpc::{Peer, tls::TlsServer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// What ALPN may choose (RFC 7301; RFC 9113, 3.2).
pub(crate) const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The bytes of a connection, with TLS or without.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The handshake on a new connection, if there is to be one, and what the client proved by it.
pub(crate) async fn secure(
    io: TcpStream,
    peer: Peer,
    tls: Option<&TlsServer>,
) -> io::Result<(Box<dyn Io>, Peer)> {
    let Some(tls) = tls else {
        return Ok((Box::new(io), peer));
    };
    let stream = tls.accept(io).await?;
    let (_, session) = stream.get_ref();
    let peer = match session.peer_certificates() {
        None => peer,
        Some(chain) => {
            let chain = chain.iter().map(|der| Bytes::copy_from_slice(der));
            peer.with_certificates(chain.collect())
        }
    };
    Ok((Box::new(stream), peer))
}
