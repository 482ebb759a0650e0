//! What comes before the first request of a connection.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use headwater_rpc::Peer;
use quinn::Incoming;
use tokio::time::timeout;

use super::serve::{Context, H3};
use crate::quic::{CriticalStreams, Quic};

/// The handshakes of QUIC and TLS, and the settings of HTTP/3.
pub(super) async fn begin(
    incoming: Incoming,
    context: &Context,
) -> io::Result<(quinn::Connection, H3, CriticalStreams)> {
    let _handshake = Handshake::begin(&context.handshakes);
    let limit = context.tls.config().handshake_timeout;
    let handshake = async {
        let peer = incoming.remote_address();
        let config = context.tls.current(&context.base, peer).await;
        let quic = incoming.accept_with(Arc::new(config))?.await?;
        let critical = CriticalStreams::default();
        let streams = Quic::new(quic.clone(), Arc::clone(&critical));
        let mut builder = h3::server::builder();
        builder
            .max_field_section_size(context.config.section_bytes_max())
            .send_grease(false);
        let h3 = builder.build(streams).await.map_err(io::Error::other)?;
        Ok((quic, h3, critical))
    };
    timeout(limit, handshake).await?
}

pub(super) fn with_certificates(peer: Peer, quic: &quinn::Connection) -> Peer {
    type Chain = Vec<headwater_rpc::tls::rustls::pki_types::CertificateDer<'static>>;
    let identity = quic.peer_identity();
    let Some(chain) = identity.and_then(|identity| identity.downcast::<Chain>().ok()) else {
        return peer;
    };
    let chain = chain.iter().map(|der| Bytes::copy_from_slice(der));
    peer.with_certificates(chain.collect())
}

/// One of the connections in their handshake.
struct Handshake<'a>(&'a AtomicUsize);

impl<'a> Handshake<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
