//! `ws://` and `wss://`.

use std::io;

use headwater_rpc::{Client, ClientBuilder};
use headwater_websocket::{WebSocketClient, WebSocketClientConfig, WebSocketServer};

use crate::{ClientOptions, ServerOptions, Url, UrlError, UrlServer, server::certificate};

pub(crate) async fn bind(url: &Url, options: &ServerOptions) -> Result<UrlServer, UrlError> {
    let cannot = |error: io::Error| UrlError::cannot(&error);
    let tls = certificate(url, options)?;
    let bound = WebSocketServer::bind(url.host_and_port(), options.websocket.clone()).await;
    let mut server = bound.map_err(cannot)?;
    if let Some(tls) = tls {
        server = server.with_tls(tls).map_err(cannot)?;
    }
    let url = url.with_address(server.local_addr());
    Ok(UrlServer::new(server, url))
}

pub(crate) fn client(url: &Url, options: &ClientOptions) -> Result<ClientBuilder, UrlError> {
    let config = WebSocketClientConfig {
        tls: url.scheme().has_tls().then(|| options.tls.clone()),
        ..options.websocket.clone()
    };
    let transport = WebSocketClient::new(&url.to_string(), &config);
    Ok(Client::builder(transport.map_err(UrlError::Transport)?))
}
