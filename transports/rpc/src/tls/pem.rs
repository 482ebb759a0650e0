//! Certificates and keys as text.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Certificates or a key, as PEM (RFC 7468). What it holds is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file, which is read again when it has changed.
    File(PathBuf),
    /// The text itself.
    Text(Vec<u8>),
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Pem {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.debug_tuple("Text").finish_non_exhaustive(),
        }
    }
}

/// What tells that a file has changed.
pub(super) type Stamp = Option<(SystemTime, u64)>;

/// The errors name the file, and show nothing of what is in it.
impl Pem {
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let text = self.read()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.bad(&"no certificate in PEM")),
            Err(error) => Err(self.bad(&error)),
        }
    }

    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.read()?)
            // The error of a parser quotes what it could not read, which is the key.
            .map_err(|_| self.bad(&"no private key in PEM"))
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let added = roots.add(certificate);
            added.map_err(|error| self.bad(&error))?;
        }
        Ok(roots)
    }

    /// `None` is text, and a file that is not there.
    pub(super) fn stamp(&self) -> Stamp {
        let Self::File(path) = self else {
            return None;
        };
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    /// What is wrong with it.
    pub(super) fn bad(&self, error: &dyn fmt::Display) -> String {
        match self {
            Self::File(path) => format!("{}: {error}", path.display()),
            Self::Text(_) => error.to_string(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => fs::read(path).map_err(|error| self.bad(&error)),
            Self::Text(text) => Ok(text.clone()),
        }
    }
}
