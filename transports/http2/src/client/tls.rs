//! TLS, by rustls with `ring`.

use std::{
    fmt, fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use headwater_rpc::{Code, Status};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, Error, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use super::{connector::no_connection, socket::Stream};

/// The protocol that ALPN (RFC 7301) has to agree on.
const H2: &[u8] = b"h2";

/// Certificates or a key, as PEM (RFC 7468). What it holds is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file, which is read again before a connection is made if it has changed.
    File(PathBuf),
    /// The text itself.
    Text(Vec<u8>),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.debug_tuple("Text").finish_non_exhaustive(),
        }
    }
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => fs::read(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display())),
            Self::Text(text) => Ok(text.clone()),
        }
    }

    /// What tells that a file has changed.
    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let Self::File(path) = self else {
            return None;
        };
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

/// By what a client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate and the chain above it, the client's own first.
    pub certificates: Pem,
    /// Its key: PKCS #8, PKCS #1 or SEC 1.
    pub key: Pem,
}

/// How a client uses TLS 1.2 and 1.3. Files that have changed hold from the next connection on; while they cannot be used,
/// what was read before does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// The authorities that a server's certificate must come from. `None` is those of the system, and needs the crate's
    /// feature `native-roots`. Default: none.
    pub roots: Option<Pem>,
    /// By what the client proves who it is, if the server asks. Default: nothing.
    pub identity: Option<ClientIdentity>,
    /// The name that the server's certificate must have, in place of the host that is connected to. Default: the host.
    pub server_name: Option<String>,
    /// Whether a server must agree to HTTP/2 by ALPN. RFC 9113, 3.2, wants it; some gRPC servers do not know it.
    /// Default: yes.
    pub alpn_required: bool,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self {
            roots: None,
            identity: None,
            server_name: None,
            alpn_required: true,
        }
    }
}

impl ClientTls {
    fn files(&self) -> impl Iterator<Item = &Pem> {
        let identity = self.identity.iter();
        let identity = identity.flat_map(|identity| [&identity.certificates, &identity.key]);
        self.roots.iter().chain(identity)
    }

    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        self.files().map(Pem::stamp).collect()
    }

    fn load(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.load_roots()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = certificates(&identity.certificates.read()?)?;
                // The error of a key must not show any of it.
                let key = PrivateKeyDer::from_pem_slice(&identity.key.read()?)
                    .map_err(|_| "the client's key is not one in PEM".to_owned())?;
                let built = builder.with_client_auth_cert(chain, key);
                built.map_err(|error| format!("the client's certificate and key: {error}"))?
            }
        };
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(config)
    }

    fn load_roots(&self) -> Result<RootCertStore, String> {
        let Some(pem) = &self.roots else {
            return system_roots();
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&pem.read()?)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("a trusted certificate cannot be used: {error}"))?;
        }
        Ok(roots)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("there is no certificate in the PEM".to_owned()),
        Err(error) => Err(format!("certificates cannot be read: {error}")),
    }
}

#[cfg(feature = "native-roots")]
fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems hold certificates that rustls does not read; the others serve.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("the system has no certificate authorities that can be used".to_owned());
    }
    Ok(roots)
}

#[cfg(not(feature = "native-roots"))]
fn system_roots() -> Result<RootCertStore, String> {
    Err("no trusted authorities are named, and the system's are not built in".to_owned())
}

/// Makes TLS connections by a configuration whose files may change.
pub(crate) struct TlsDialer {
    config: Arc<ClientTls>,
    name: ServerName<'static>,
    loaded: Arc<Mutex<Loaded>>,
}

struct Loaded {
    stamps: Vec<Option<(SystemTime, u64)>>,
    config: Arc<ClientConfig>,
}

/// What was loaded holds keys, and is not shown.
impl fmt::Debug for TlsDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsDialer")
            .field("config", &self.config)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl TlsDialer {
    /// Reads all files.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`: something cannot be used, and why.
    pub(crate) fn new(config: &ClientTls, host: &str) -> Result<Self, Status> {
        let invalid = |message: String| Status::new(Code::InvalidArgument, message);
        let name = config.server_name.as_deref();
        let name = name.unwrap_or_else(|| host.trim_matches(['[', ']']));
        let parsed = ServerName::try_from(name.to_owned())
            .map_err(|_| invalid(format!("{name:?} is not the name of a server")))?;
        // Before the files, so that a change while they are read is seen.
        let stamps = config.stamps();
        let loaded = config.load();
        let loaded = loaded.map_err(|why| invalid(format!("tls: {why}")))?;
        Ok(Self {
            config: Arc::new(config.clone()),
            name: parsed,
            loaded: Arc::new(Mutex::new(Loaded {
                stamps,
                config: Arc::new(loaded),
            })),
        })
    }

    /// Speaks TLS over the stream.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE`: who is not trusted, and why.
    pub(crate) async fn handshake(
        &self,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Status> {
        let connector = TlsConnector::from(self.current().await);
        let connected = connector.connect(self.name.clone(), stream).await;
        let stream = connected.map_err(|error| no_connection(&self.explain(&error)))?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(H2);
        if self.config.alpn_required && !agreed {
            let why = "tls: the server did not agree to h2 (ALPN)";
            return Err(no_connection(&why));
        }
        Ok(Box::new(stream))
    }

    /// The configuration by what the files hold now.
    async fn current(&self) -> Arc<ClientConfig> {
        let (config, loaded) = (Arc::clone(&self.config), Arc::clone(&self.loaded));
        // Files may lie on a slow network. A task that is lost leaves what was read before.
        let _ = tokio::task::spawn_blocking(move || reload(&config, &loaded)).await;
        Arc::clone(&lock(&self.loaded).config)
    }

    fn explain(&self, error: &io::Error) -> String {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        let why = match cause {
            // A bad signature is what an authority of the same name makes.
            Some(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                "the server's certificate comes from no authority that is trusted here".to_owned()
            }
            Some(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => "the server's certificate has expired".to_owned(),
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => format!(
                "the server's certificate is not for {:?}",
                self.name.to_str()
            ),
            Some(Error::NoApplicationProtocol) => {
                "the server did not agree to h2 (ALPN)".to_owned()
            }
            Some(other) => other.to_string(),
            None => error.to_string(),
        };
        format!("tls: {why}")
    }
}

fn reload(config: &ClientTls, loaded: &Mutex<Loaded>) {
    let stamps = config.stamps();
    if lock(loaded).stamps == stamps {
        return;
    }
    // Files that are being written are read again for the next connection.
    if let Ok(fresh) = config.load() {
        *lock(loaded) = Loaded {
            stamps,
            config: Arc::new(fresh),
        };
    }
}

fn lock(loaded: &Mutex<Loaded>) -> std::sync::MutexGuard<'_, Loaded> {
    // It is replaced as a whole.
    loaded.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_shown() {
        let tls = ClientTls {
            identity: Some(ClientIdentity {
                certificates: Pem::Text(b"certificate".to_vec()),
                key: Pem::Text(b"secret".to_vec()),
            }),
            ..ClientTls::default()
        };
        let shown = format!("{tls:?}");
        let bytes = format!("{:?}", b"secret".to_vec());
        assert!(
            !shown.contains("secret") && !shown.contains(&bytes[1..20]),
            "{shown}"
        );
    }
}
