//! `h3://`.

use headwater_http3::{Http3Client, Http3ClientConfig, Http3Server};
use headwater_rpc::{Client, ClientBuilder};

use crate::{ClientOptions, ServerOptions, Url, UrlError, UrlServer};

pub(crate) async fn bind(url: &Url, options: &ServerOptions) -> Result<UrlServer, UrlError> {
    let tls = options.tls.clone();
    let tls = tls.ok_or(UrlError::NoCertificate(url.scheme()))?;
    let bound = Http3Server::bind(url.host_and_port(), tls, options.http3.clone()).await;
    let server = bound.map_err(|error| UrlError::cannot(&error))?;
    let url = url.with_address(server.local_addr());
    Ok(UrlServer::new(server, url))
}

pub(crate) fn client(url: &Url, options: &ClientOptions) -> Result<ClientBuilder, UrlError> {
    let config = Http3ClientConfig {
        tls: options.tls.clone(),
        ..options.http3.clone()
    };
    let transport = Http3Client::new(&url.to_string(), &config);
    Ok(Client::builder(transport.map_err(UrlError::Transport)?))
}
