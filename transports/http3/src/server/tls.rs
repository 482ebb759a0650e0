//! The configuration of QUIC, by that of TLS as it is now.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use headwater_rpc::tls::{ServerTlsConfig, TlsServer, rustls};
use quinn::{ServerConfig, crypto::rustls::QuicServerConfig};

use crate::{ALPN, quic::Transports};

/// What one connection may send before it is accepted: more than a client's first flight, whose certificates come later.
const INCOMING_BYTES_EACH: u64 = 64 << 10;

/// QUIC's configuration, made again when certificates have changed.
pub(super) struct QuicTls {
    tls: TlsServer,
    made: Mutex<Made>,
}

struct Made {
    from: Arc<rustls::ServerConfig>,
    quic: ServerConfig,
}

impl QuicTls {
    pub(super) async fn load(tls: ServerTlsConfig, base: &BaseConfig) -> io::Result<Self> {
        let tls = TlsServer::new(tls, &[ALPN])?;
        let from = tls.current().await;
        let quic = base.with(&from)?;
        Ok(Self {
            tls,
            made: Mutex::new(Made { from, quic }),
        })
    }

    pub(super) const fn config(&self) -> &ServerTlsConfig {
        self.tls.config()
    }

    /// The configuration for a connection that this peer begins now.
    pub(super) async fn current(&self, base: &BaseConfig, peer: SocketAddr) -> ServerConfig {
        let now = self.tls.current().await;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&made.from, &now) {
            // What cannot be used for QUIC leaves what was there before.
            if let Ok(quic) = base.with(&now) {
                made.quic = quic;
            }
            made.from = now;
        }
        let mut quic = made.quic.clone();
        drop(made);
        quic.transport_config(base.transports.toward(peer));
        quic
    }
}

/// All of QUIC's configuration but its TLS.
pub(super) struct BaseConfig {
    pub(super) transports: Transports,
    pub(super) incoming_max: usize,
    pub(super) incoming_bytes_max: u64,
}

impl BaseConfig {
    fn with(&self, tls: &Arc<rustls::ServerConfig>) -> io::Result<ServerConfig> {
        let crypto = QuicServerConfig::try_from(Arc::clone(tls)).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .max_incoming(self.incoming_max)
            .incoming_buffer_size(self.incoming_bytes_max.min(INCOMING_BYTES_EACH))
            .incoming_buffer_size_total(self.incoming_bytes_max);
        Ok(config)
    }
}
