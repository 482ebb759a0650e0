//! `inproc://`.

use headwater_rpc::{Client, ClientBuilder};

use crate::{ClientOptions, ServerOptions, Url, UrlError, UrlServer};

pub(crate) fn bind(url: &Url, options: &ServerOptions) -> Result<UrlServer, UrlError> {
    let server = options.in_process.bind(url.rest());
    let server = server.map_err(UrlError::Transport)?;
    Ok(UrlServer::new(server, url.to_string()))
}

pub(crate) fn client(url: &Url, options: &ClientOptions) -> ClientBuilder {
    Client::builder(options.in_process.client(url.rest()))
}
