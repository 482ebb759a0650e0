//! What `serve` proves itself by.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use headwater_rpc::tls::{ClientCertificates, DevCertificates, ServerTlsConfig};

use super::Error;

/// The certificate of the listeners with TLS. Files that change are read again, without a restart.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "TLS, for the URLs https://, h3://, https+h3://, grpc-web+https:// and wss://"
)]
pub(super) struct Tls {
    /// The certificate of the service and its chain, as PEM. Read again when it changes.
    #[arg(
        long,
        env = "HEADWATER_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, as PEM.
    #[arg(
        long,
        env = "HEADWATER_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// The authorities, as PEM, that a certificate of each upstream must come from. Without it, upstreams need none; their
    /// token they need in either case.
    #[arg(long, env = "HEADWATER_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// For development: makes up a certificate for localhost, 127.0.0.1 and ::1 at each start, and prints where the root
    /// certificate is that clients and upstreams have to trust.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    dev_tls: bool,
    /// Where --dev-tls writes the root certificate. Default: a new file in the folder for temporary files, which is removed at the
    /// end.
    #[arg(long, value_name = "FILE", requires = "dev_tls")]
    dev_tls_root: Option<PathBuf>,
}

/// The certificate that was asked for.
pub(super) struct Identity {
    pub(super) config: ServerTlsConfig,
    /// The root certificate of a made-up one.
    root: Option<RootFile>,
}

impl Identity {
    /// Where the root certificate of a made-up one is, on stdout.
    pub(super) fn introduce(&self) {
        if let Some(root) = &self.root {
            println!("root certificate: {}", root.path.display());
        }
    }
}

impl Tls {
    /// `None` if no TLS was asked for.
    pub(super) fn identity(&self) -> Result<Option<Identity>, Error> {
        let mut identity = if self.dev_tls {
            let certificates = DevCertificates::generate()?;
            let root = RootFile::write(self.dev_tls_root.as_deref(), certificates.root())?;
            Identity {
                config: certificates.server(),
                root: Some(root),
            }
        } else if let (Some(certificates), Some(key)) = (&self.tls_cert, &self.tls_key) {
            Identity {
                config: ServerTlsConfig::new(&**certificates, &**key),
                root: None,
            }
        } else if self.tls_client_ca.is_some() {
            return Err("--tls-client-ca needs --tls-cert and --tls-key, or --dev-tls".into());
        } else {
            return Ok(None);
        };
        if let Some(authorities) = &self.tls_client_ca {
            identity.config.clients = ClientCertificates::Required((&**authorities).into());
        }
        Ok(Some(identity))
    }
}

/// The file of a made-up root certificate.
pub(super) struct RootFile {
    path: PathBuf,
    is_temporary: bool,
}

impl RootFile {
    fn write(path: Option<&Path>, root: &str) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.write(true);
        let file = match path {
            Some(path) => {
                options.create(true).truncate(true);
                Self {
                    path: path.to_owned(),
                    is_temporary: false,
                }
            }
            None => {
                // Nobody else can have put a link there.
                options.create_new(true);
                let mut random = [0; 9];
                getrandom::fill(&mut random)?;
                let name = format!("headwater-root-{}.pem", URL_SAFE_NO_PAD.encode(random));
                Self {
                    path: std::env::temp_dir().join(name),
                    is_temporary: true,
                }
            }
        };
        let written = options.open(&file.path);
        written
            .and_then(|mut opened| opened.write_all(root.as_bytes()))
            .map_err(|error| {
                let path = file.path.display();
                format!("cannot write the root certificate to {path}: {error}")
            })?;
        Ok(file)
    }
}

impl Drop for RootFile {
    fn drop(&mut self) {
        if self.is_temporary {
            // The system cleans up as well.
            let _ = fs::remove_file(&self.path);
        }
    }
}
