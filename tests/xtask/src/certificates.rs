//! Certificates for one run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Where the files are. All are PEM.
pub(crate) struct Certificates {
    /// The authority of the server's certificate.
    pub(crate) authority: PathBuf,
    /// Another one of the same name.
    pub(crate) imposter: PathBuf,
    /// The certificate of a server at 127.0.0.1.
    pub(crate) server: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes new ones in this folder.
    pub(crate) fn make(folder: &Path) -> Result<Self, String> {
        let files = Self {
            authority: folder.join("authority.pem"),
            imposter: folder.join("imposter.pem"),
            server: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        files.write(folder).map_err(|error| error.to_string())?;
        Ok(files)
    }

    fn write(&self, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
        fs::create_dir_all(folder)?;
        let (authority, issuer) = authority()?;
        let key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        fs::write(&self.server, server.signed_by(&key, &issuer)?.pem())?;
        fs::write(&self.key, key.serialize_pem())?;
        fs::write(&self.authority, authority)?;
        fs::write(&self.imposter, self::authority()?.0)?;
        Ok(())
    }
}

fn authority() -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "authority of the interop cases");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key)?.pem();
    Ok((pem, Issuer::new(params, key)))
}
