//! Which transport a URL means: the one place to add a scheme.

use std::{fmt, io, path::PathBuf};

use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{
    Client, Code, Router, Server, ServerConfig, Status,
    tls::{ClientCertificates, ClientTls, ServerTlsConfig},
};
use tokio::task::JoinHandle;

/// What a server proves itself with.
#[derive(Debug)]
pub(crate) struct ServerTls {
    /// Its certificate and the chain, as PEM.
    pub(crate) certificates: PathBuf,
    /// The private key, as PEM.
    pub(crate) key: PathBuf,
    /// The authorities that its clients have to be certified by, as PEM; without, they need no certificate.
    pub(crate) client_ca: Option<PathBuf>,
}

impl ServerTls {
    fn config(&self) -> ServerTlsConfig {
        let mut config = ServerTlsConfig::new(self.certificates.clone(), self.key.clone());
        if let Some(authorities) = &self.client_ca {
            config.clients = ClientCertificates::Required(authorities.clone().into());
        }
        config
    }
}

/// Binds the URL for the services of `router`. Gives the server, and the URL with the port that was taken.
///
/// # Errors
///
/// The scheme is not known, or the address cannot be bound.
pub(crate) async fn listen(
    url: &str,
    tls: Option<&ServerTls>,
    router: &Router,
) -> Result<(Server, String), Status> {
    let (scheme, address) = split(url)?;
    let failed = |error: io::Error| invalid(format_args!("{url}: {error}"));
    let config = Http2ServerConfig::default();
    let (transport, url) = match scheme {
        "http" => {
            let transport = Http2Server::bind(address, config).await.map_err(failed)?;
            let url = format!("http://{}", transport.local_addr());
            (transport, url)
        }
        "https" => {
            let tls = tls.ok_or_else(|| invalid("an https url needs --cert and --key"))?;
            let transport = Http2Server::bind(address, config).await.map_err(failed)?;
            let transport = transport.with_tls(tls.config()).map_err(failed)?;
            let url = format!("https://{}", transport.local_addr());
            (transport, url)
        }
        "unix" => {
            let bound = Http2Server::bind_unix(address, config).await;
            (bound.map_err(failed)?, url.to_owned())
        }
        _ => return Err(unknown(scheme)),
    };
    let server = Server::new(transport, router.clone(), ServerConfig::default());
    Ok((server, url))
}

/// A server to be called.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) url: String,
    /// How it is trusted, if the URL says https.
    pub(crate) tls: ClientTls,
}

impl Target {
    /// A client of it, on a connection of its own.
    ///
    /// # Errors
    ///
    /// The scheme is not known, or the URL not valid.
    pub(crate) fn connect(&self) -> Result<Connected, Status> {
        let (scheme, _) = split(&self.url)?;
        let client = match scheme {
            "http" | "https" | "unix" => {
                let config = Http2ClientConfig {
                    tls: (scheme == "https").then(|| self.tls.clone()),
                    ..Http2ClientConfig::default()
                };
                Client::new(Http2Client::new(&self.url, &config)?)
            }
            _ => return Err(unknown(scheme)),
        };
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

/// Scheme and address.
fn split(url: &str) -> Result<(&str, &str), Status> {
    if let Some(path) = url.strip_prefix("unix:") {
        return Ok(("unix", path.strip_prefix("//").unwrap_or(path)));
    }
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| invalid(format_args!("{url} is not a url")))?;
    Ok((scheme, rest.trim_end_matches('/')))
}

fn unknown(scheme: &str) -> Status {
    invalid(format_args!(
        "there is no transport for {scheme} here; there are http, https and unix"
    ))
}

fn invalid(reason: impl fmt::Display) -> Status {
    Status::new(Code::InvalidArgument, reason.to_string())
}
