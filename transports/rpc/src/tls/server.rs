//! TLS and mTLS as a server speaks them.

use std::{fmt, io, sync::Arc, time::Duration};

use rustls::{ServerConfig, crypto::ring, server::WebPkiClientVerifier};

use super::{pem::Pem, reload::Reload};

/// How a server proves who it is, and whether its clients have to. Files that have changed hold for new connections,
/// within a second ([`tls`](super)); while they cannot be used, what was read before does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsConfig {
    /// The certificate and its chain, the server's own first.
    pub certificates: Pem,
    /// The private key of the certificate: PKCS #8, PKCS #1 or SEC 1.
    pub private_key: Pem,
    /// Whether clients prove who they are. Default: they do not.
    pub clients: ClientCertificates,
    /// Whether a client must have asked for HTTP/2 by ALPN, as every gRPC client does. One that asks for other protocols
    /// only is refused in either case; this is about those that ask for none. Without effect on other protocols: QUIC
    /// cannot do without ALPN (RFC 9001, 8.1), and WebSocket does not need it. Default: yes.
    pub alpn_required: bool,
    /// How long a client may take for the handshake, from the accept on; and how long the handshake may wait for its
    /// place beside that. Default: 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes under way at the same time, from the client's first message on; more wait. Bounds the work that
    /// connections cost which never become one. At least 1. Default: 256.
    pub handshakes_max: usize,
}

/// Whether clients prove who they are. A certificate that is shown and not signed by the authorities is always refused;
/// one that is good is what a handler sees as [`Peer::certificates`](crate::Peer::certificates).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Ignored,
    /// They are asked and need not, by these authorities.
    Optional(Pem),
    /// Who does not is refused, by these authorities.
    Required(Pem),
}

impl ClientCertificates {
    const fn authorities(&self) -> Option<&Pem> {
        match self {
            Self::Ignored => None,
            Self::Optional(pem) | Self::Required(pem) => Some(pem),
        }
    }
}

impl ServerTlsConfig {
    /// A server with this certificate and key, and all else by default.
    pub fn new(certificates: impl Into<Pem>, private_key: impl Into<Pem>) -> Self {
        Self {
            certificates: certificates.into(),
            private_key: private_key.into(),
            clients: ClientCertificates::default(),
            alpn_required: true,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
        }
    }

    fn files(&self) -> Vec<Pem> {
        let own = [&self.certificates, &self.private_key].into_iter();
        own.chain(self.clients.authorities()).cloned().collect()
    }

    fn load(&self, alpn: &[Vec<u8>]) -> Result<ServerConfig, String> {
        let chain = self.certificates.certificates()?;
        let key = self.private_key.private_key()?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match self.clients.authorities() {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(pem.roots()?);
                let clients = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let clients = match self.clients {
                    ClientCertificates::Optional(_) => clients.allow_unauthenticated(),
                    ClientCertificates::Required(_) | ClientCertificates::Ignored => clients,
                };
                let clients = clients.build().map_err(|error| pem.bad(&error))?;
                builder.with_client_cert_verifier(clients)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| self.certificates.bad(&error))?;
        config.alpn_protocols = alpn.to_vec();
        Ok(config)
    }
}

/// A server's TLS, by a configuration whose files may change.
pub struct TlsServer {
    config: ServerTlsConfig,
    rustls: Reload<ServerConfig>,
    /// Places for handshakes.
    #[cfg(feature = "tls-accept")]
    pub(super) handshakes: tokio::sync::Semaphore,
}

/// What was loaded holds keys, and is not shown.
impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl TlsServer {
    /// Reads all files, on this thread. Clients can ask for the protocols of `alpn`, such as `[b"h2"]`.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used; the message names it, and shows no key.
    pub fn new(config: ServerTlsConfig, alpn: &[&[u8]]) -> io::Result<Self> {
        let alpn: Vec<_> = alpn.iter().map(|name| name.to_vec()).collect();
        let loading = config.clone();
        let rustls = Reload::new(config.files(), move || loading.load(&alpn));
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        Ok(Self {
            #[cfg(feature = "tls-accept")]
            handshakes: super::accept::places(config.handshakes_max),
            config,
            rustls: rustls.map_err(invalid)?,
        })
    }

    /// What it was made of.
    pub const fn config(&self) -> &ServerTlsConfig {
        &self.config
    }

    /// The configuration for a connection that begins now; the same `Arc` as before, if no file has changed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub async fn current(&self) -> Arc<ServerConfig> {
        self.rustls.current().await
    }
}
