//! TLS as a client speaks it.

use std::{fmt, io, sync::Arc};

use headwater_proto::{Code, Status};
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore, crypto::ring, pki_types::ServerName,
};

use super::{pem::Pem, reload::Reload};

/// By what a client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate and the chain above it, the client's own first.
    pub certificates: Pem,
    /// Its key: PKCS #8, PKCS #1 or SEC 1.
    pub key: Pem,
}

/// How a client uses TLS. Files that have changed hold for new connections, within a second ([`tls`](super)); while they
/// cannot be used, what was read before does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// The authorities that a server's certificate must come from. `None` is those of the system, and needs the crate's
    /// feature `native-roots`. Default: none.
    pub roots: Option<Pem>,
    /// By what the client proves who it is, if the server asks. Default: nothing.
    pub identity: Option<ClientIdentity>,
    /// The name that the server's certificate must have, in place of the host that is connected to. Default: the host.
    pub server_name: Option<String>,
    /// Whether a server must agree to HTTP/2 by ALPN. RFC 9113, 3.2, wants it; some gRPC servers do not know it. Without
    /// effect on other protocols: QUIC cannot do without ALPN (RFC 9001, 8.1), and WebSocket does not need it.
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
    fn files(&self) -> Vec<Pem> {
        let identity = self.identity.iter();
        let identity = identity.flat_map(|identity| [&identity.certificates, &identity.key]);
        self.roots.iter().chain(identity).cloned().collect()
    }

    fn load(&self, alpn: &[Vec<u8>]) -> Result<ClientConfig, String> {
        let roots = match &self.roots {
            Some(pem) => pem.roots()?,
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    identity.certificates.certificates()?,
                    identity.key.private_key()?,
                )
                .map_err(|error| {
                    let error = format!("the client's certificate and key: {error}");
                    identity.certificates.bad(&error)
                })?,
        };
        config.alpn_protocols = alpn.to_vec();
        Ok(config)
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

/// A client's TLS toward one server, by a configuration whose files may change.
pub struct TlsClient {
    config: ClientTls,
    name: ServerName<'static>,
    alpn: Vec<Vec<u8>>,
    rustls: Reload<ClientConfig>,
}

/// What was loaded holds keys, and is not shown.
impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("config", &self.config)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Reads all files, on this thread. The server is `host`, a name or an address (IPv6 with or without brackets), and
    /// is asked for one of the protocols of `alpn`, the first the dearest, such as `[b"h2"]`.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`: something cannot be used, and why.
    pub fn new(config: &ClientTls, host: &str, alpn: &[&[u8]]) -> Result<Self, Status> {
        let invalid = |message: String| Status::new(Code::InvalidArgument, message);
        let name = config.server_name.as_deref();
        let name = name.unwrap_or_else(|| host.trim_matches(['[', ']']));
        let parsed = ServerName::try_from(name.to_owned())
            .map_err(|_| invalid(format!("{name:?} is not the name of a server")))?;
        let alpn: Vec<_> = alpn.iter().map(|name| name.to_vec()).collect();
        let (loading, protocols) = (config.clone(), alpn.clone());
        let rustls = Reload::new(config.files(), move || loading.load(&protocols));
        Ok(Self {
            config: config.clone(),
            name: parsed,
            alpn,
            rustls: rustls.map_err(|why| invalid(format!("tls: {why}")))?,
        })
    }

    /// What it was made of.
    pub const fn config(&self) -> &ClientTls {
        &self.config
    }

    /// The name that the server's certificate must have.
    pub const fn server_name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// The configuration for a connection that is made now; the same `Arc` as before, if no file has changed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub async fn current(&self) -> Arc<ClientConfig> {
        self.rustls.current().await
    }

    /// Why a handshake failed, in words for who configures the client.
    pub fn explain(&self, error: &io::Error) -> String {
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
            Some(Error::NoApplicationProtocol) => self.no_alpn(),
            Some(other) => other.to_string(),
            None => error.to_string(),
        };
        format!("tls: {why}")
    }

    /// What to say of a server that did not agree to the protocol.
    pub fn no_alpn(&self) -> String {
        let names = self.alpn.iter().map(|name| String::from_utf8_lossy(name));
        let names: Vec<_> = names.collect();
        format!("the server did not agree to {} (ALPN)", names.join(" or "))
    }
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
