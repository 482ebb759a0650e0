//! `http://`, `https://` and `unix:`.

use std::io;

use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server};
use headwater_rpc::{Client, ClientBuilder};

use crate::{ClientOptions, Scheme, ServerOptions, Url, UrlError, UrlServer, server::certificate};

pub(crate) async fn bind(url: &Url, options: &ServerOptions) -> Result<UrlServer, UrlError> {
    let cannot = |error: io::Error| UrlError::cannot(&error);
    let config = options.http2.clone();
    if url.scheme() == Scheme::Unix {
        let bound = Http2Server::bind_unix(url.rest(), config).await;
        return Ok(UrlServer::new(bound.map_err(cannot)?, url.to_string()));
    }
    let tls = certificate(url, options)?;
    let bound = Http2Server::bind(url.host_and_port(), config).await;
    let mut server = bound.map_err(cannot)?;
    if let Some(tls) = tls {
        server = server.with_tls(tls).map_err(cannot)?;
    }
    let url = url.with_address(server.local_addr());
    Ok(UrlServer::new(server, url))
}

pub(crate) fn client(url: &Url, options: &ClientOptions) -> Result<ClientBuilder, UrlError> {
    let config = Http2ClientConfig {
        tls: url.scheme().has_tls().then(|| options.tls.clone()),
        ..options.http2.clone()
    };
    let transport = Http2Client::new(&url.to_string(), &config);
    Ok(Client::builder(transport.map_err(UrlError::Transport)?))
}
