//! The two ends, at whatever URLs: their schemes choose the transports.

use std::path::PathBuf;

use headwater_rpc::{
    Client, Status,
    tls::{ClientCertificates, ServerTlsConfig},
};
use headwater_transports::{ClientOptions, ServerOptions, client};
use tokio::task::JoinHandle;

/// What a server proves itself with.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// Its certificate and the chain, as PEM.
    pub(crate) chain: PathBuf,
    /// The private key, as PEM.
    pub(crate) key: PathBuf,
    /// The authorities that its clients have to be certified by, as PEM; without, they need no certificate.
    pub(crate) client_ca: Option<PathBuf>,
}

impl Certificate {
    pub(crate) fn options(self) -> ServerOptions {
        let mut tls = ServerTlsConfig::new(self.chain, self.key);
        if let Some(authorities) = self.client_ca {
            tls.clients = ClientCertificates::Required(authorities.into());
        }
        ServerOptions {
            tls: Some(tls),
            ..ServerOptions::default()
        }
    }
}

/// A server to be called.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) options: ClientOptions,
}

impl Target {
    /// A client of it, on a connection of its own.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`: the URL leads nowhere.
    pub(crate) fn connect(&self) -> Result<Connected, Status> {
        let client = client(&self.url, &self.options)?.build();
        let running = client.clone();
        let connecting = tokio::spawn(async move { running.connect().await });
        Ok(Connected { client, connecting })
    }
}

/// A client that runs until this is dropped.
pub(crate) struct Connected {
    pub(crate) client: Client,
    connecting: JoinHandle<Result<(), Status>>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}
