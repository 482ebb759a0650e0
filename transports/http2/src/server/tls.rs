//! TLS and mTLS, with certificates that are read again when their files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use headwater_rpc::Peer;
use tokio::time::Instant;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};

use crate::io::Io;

/// The protocol of the connections (RFC 9113, 3.2).
const ALPN: &[u8] = b"h2";
/// How often a handshake looks at the files.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// How a server proves who it is, and whether its clients have to. TLS 1.2 and 1.3.
///
/// The files are looked at again when connections come, once a second at most, and read again if one of them has
/// changed. A connection keeps what it began with. New files that cannot be used change nothing, and are warned about
/// once. So write the new files beside the old ones and rename them; which goes first does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsConfig {
    /// The certificate and its chain, in PEM, the server's own first.
    pub certificates: PathBuf,
    /// The private key of the certificate, in PEM (PKCS #8, PKCS #1 or SEC 1).
    pub private_key: PathBuf,
    /// Whether clients prove who they are. Default: they do not.
    pub clients: ClientCertificates,
    /// Whether a client must have asked for HTTP/2 by ALPN, as every gRPC client does. One that asks for other protocols
    /// only is refused in either case; this is about those that ask for none. Default: yes.
    pub alpn_required: bool,
    /// How long a handshake may take, from the accept on. Default: 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes under way at the same time; more wait, within their time. Bounds the work that connections cost which
    /// never become one. At least 1. Default: 256.
    pub handshakes_max: usize,
}

/// Whether clients prove who they are. A certificate that is shown and not signed by the authorities is always refused;
/// one that is good is what a handler sees as [`Peer::certificates`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Ignored,
    /// They are asked and need not, by the authorities in this PEM file.
    Optional(PathBuf),
    /// Who does not is refused, by the authorities in this PEM file.
    Required(PathBuf),
}

impl ClientCertificates {
    fn authorities(&self) -> Option<&Path> {
        match self {
            Self::Ignored => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}

impl ServerTlsConfig {
    /// A server with this certificate and key, and all else by default.
    pub fn new(certificates: impl Into<PathBuf>, private_key: impl Into<PathBuf>) -> Self {
        Self {
            certificates: certificates.into(),
            private_key: private_key.into(),
            clients: ClientCertificates::default(),
            alpn_required: true,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
        }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let own = [&*self.certificates, &*self.private_key];
        own.into_iter().chain(self.clients.authorities())
    }

    fn load(&self) -> io::Result<Arc<ServerConfig>> {
        let chain = read_certificates(&self.certificates)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.private_key)?)
            // The error of a parser quotes what it could not read, which is the key.
            .map_err(|_| invalid(&self.private_key, &"no private key in PEM"))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match self.clients.authorities() {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in read_certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| invalid(path, &error))?;
                }
                let clients =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let clients = match self.clients {
                    ClientCertificates::Optional(_) => clients.allow_unauthenticated(),
                    ClientCertificates::Required(_) | ClientCertificates::Ignored => clients,
                };
                let clients = clients.build().map_err(|error| invalid(path, &error))?;
                builder.with_client_cert_verifier(clients)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| invalid(&self.certificates, &error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let kind = error.kind();
        io::Error::new(kind, format!("{}: {error}", path.display()))
    })
}

fn read_certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| invalid(path, &error))?;
    if certificates.is_empty() {
        return Err(invalid(path, &"no certificate in it"));
    }
    Ok(certificates)
}

fn invalid(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    let message = format!("{}: {error}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// What tells that a file was changed.
type Stamp = Option<(SystemTime, u64)>;

/// The certificates as they are now.
pub(super) struct Tls {
    config: ServerTlsConfig,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    rustls: Arc<ServerConfig>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

impl Tls {
    pub(super) fn load(config: ServerTlsConfig) -> io::Result<Self> {
        // Before the files are read: a change in between is then found at the next look.
        let stamps = stamps(&config);
        let loaded = Loaded {
            rustls: config.load()?,
            stamps,
            looked: Instant::now(),
        };
        Ok(Self {
            config,
            loaded: Mutex::new(loaded),
        })
    }

    pub(super) const fn config(&self) -> &ServerTlsConfig {
        &self.config
    }

    /// The certificates for a handshake that begins now. The look at the files blocks for some microseconds.
    fn current(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked.elapsed() < RELOAD_INTERVAL {
            return Arc::clone(&loaded.rustls);
        }
        loaded.looked = Instant::now();
        let stamps = stamps(&self.config);
        if stamps == loaded.stamps {
            return Arc::clone(&loaded.rustls);
        }
        loaded.stamps = stamps;
        match self.config.load() {
            Ok(rustls) => {
                loaded.rustls = rustls;
                tracing::debug!(target: "headwater_http2", "certificates were read again");
            }
            Err(error) => {
                tracing::warn!(target: "headwater_http2", %error, "the changed certificates cannot be used");
            }
        }
        Arc::clone(&loaded.rustls)
    }

    /// The handshake on a new connection, and what the client proved by it.
    pub(super) async fn accept(
        &self,
        io: Box<dyn Io>,
        peer: Peer,
    ) -> io::Result<(Box<dyn Io>, Peer)> {
        let acceptor = TlsAcceptor::from(self.current());
        let stream = acceptor.accept(io).await?;
        let (_, session) = stream.get_ref();
        if self.config.alpn_required && session.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the client did not ask for h2 by ALPN",
            ));
        }
        let peer = with_certificates(peer, &stream);
        Ok((Box::new(stream), peer))
    }
}

fn with_certificates(peer: Peer, stream: &TlsStream<Box<dyn Io>>) -> Peer {
    let (_, session) = stream.get_ref();
    let Some(chain) = session.peer_certificates() else {
        return peer;
    };
    let chain = chain.iter().map(|der| Bytes::copy_from_slice(der));
    peer.with_certificates(chain.collect())
}

fn stamps(config: &ServerTlsConfig) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    config.files().map(stamp).collect()
}
