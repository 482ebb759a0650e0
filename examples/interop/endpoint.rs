//! Which transport a URL means: the one place to add a scheme.

use std::{fmt, path::PathBuf};

use headwater_http2::{ClientTls, Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{Client, Code, Router, Server, ServerConfig, Status};
use tokio::task::JoinHandle;

/// What a server proves itself with.
#[derive(Debug)]
pub(crate) struct ServerTls {
    /// Its certificate and the chain, as PEM.
    pub(crate) certificates: PathBuf,
    /// The private key, as PEM.
    pub(crate) key: PathBuf,
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
    match scheme {
        "http" => {
            let bound = Http2Server::bind(address, Http2ServerConfig::default()).await;
            let transport = bound.map_err(|error| invalid(format_args!("{url}: {error}")))?;
            let url = format!("http://{}", transport.local_addr());
            let server = Server::new(transport, router.clone(), ServerConfig::default());
            Ok((server, url))
        }
        "https" => Err(match tls {
            None => invalid("an https url needs --cert and --key"),
            Some(ServerTls { certificates, key }) => invalid(format_args!(
                "there is no TLS here yet, for which {} and {} would be",
                certificates.display(),
                key.display()
            )),
        }),
        _ => Err(unknown(scheme)),
    }
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
            "http" | "https" => {
                let config = Http2ClientConfig {
                    tls: Some(self.tls.clone()),
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
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| invalid(format_args!("{url} is not a url")))?;
    Ok((scheme, rest.trim_end_matches('/')))
}

fn unknown(scheme: &str) -> Status {
    invalid(format_args!(
        "there is no transport for {scheme} here; there is http"
    ))
}

fn invalid(reason: impl fmt::Display) -> Status {
    Status::new(Code::InvalidArgument, reason.to_string())
}
