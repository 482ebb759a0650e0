//! TLS on a connection that was accepted.

use std::io;

use bytes::Bytes;
use headwater_rpc::{Peer, tls::TlsServer};
use tokio_rustls::server::TlsStream;

use crate::{ALPN, io::Io};

/// The handshake on a new connection, and what the client proved by it.
pub(super) async fn accept(
    tls: &TlsServer,
    io: Box<dyn Io>,
    peer: Peer,
) -> io::Result<(Box<dyn Io>, Peer)> {
    let stream = tls.accept(io).await?;
    let (_, session) = stream.get_ref();
    if tls.config().alpn_required && session.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the client did not ask for h2 by ALPN",
        ));
    }
    let peer = with_certificates(peer, &stream);
    Ok((Box::new(stream), peer))
}

fn with_certificates(peer: Peer, stream: &TlsStream<Box<dyn Io>>) -> Peer {
    let (_, session) = stream.get_ref();
    let Some(chain) = session.peer_certificates() else {
        return peer;
    };
    let chain = chain.iter().map(|der| Bytes::copy_from_slice(der));
    peer.with_certificates(chain.collect())
}
