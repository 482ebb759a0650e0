//! Certificates for development.

use std::{fmt, io};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::{ClientTls, Pem, ServerTlsConfig};

/// Who the server is.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate for a server on this machine (`localhost`, `127.0.0.1` and `::1`) and the authority that signed it, made
/// up for one run. The key of the authority is thrown away, so who trusts it trusts this one server and no other.
///
/// For development. Who is to reach a server from elsewhere needs a certificate that an authority of theirs has signed.
#[derive(Clone)]
pub struct DevCertificates {
    root: String,
    certificate: String,
    key: String,
}

/// It does not show the key.
impl fmt::Debug for DevCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCertificates")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl DevCertificates {
    /// Makes new ones.
    ///
    /// # Errors
    ///
    /// The system gives no randomness.
    pub fn generate() -> io::Result<Self> {
        Self::try_generate().map_err(io::Error::other)
    }

    fn try_generate() -> Result<Self, rcgen::Error> {
        let (root, issuer) = authority()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "Headwater, for development");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(Self {
            root,
            certificate: params.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// The authority's certificate, as PEM: what clients have to trust.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A server that shows the certificate.
    pub fn server(&self) -> ServerTlsConfig {
        let text = |pem: &String| Pem::Text(pem.clone().into());
        ServerTlsConfig::new(text(&self.certificate), text(&self.key))
    }

    /// A client that trusts this server alone.
    pub fn client(&self) -> ClientTls {
        ClientTls {
            roots: Some(Pem::Text(self.root.clone().into())),
            ..ClientTls::default()
        }
    }
}

fn authority() -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    let name = &mut params.distinguished_name;
    name.push(
        DnType::CommonName,
        "Headwater's authority, for development and one run",
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = params.self_signed(&key)?.pem();
    Ok((pem, Issuer::new(params, key)))
}
