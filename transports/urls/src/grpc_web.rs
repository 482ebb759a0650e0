//! `grpc-web+http://` and `grpc-web+https://`.

use std::io;

use headwater_grpc_web::GrpcWebServer;
use headwater_http2::{Http2Client, Http2ClientConfig};
use headwater_rpc::{Client, ClientBuilder};

use crate::{ClientOptions, Scheme, ServerOptions, Url, UrlError, UrlServer, server::certificate};

pub(crate) async fn bind(url: &Url, options: &ServerOptions) -> Result<UrlServer, UrlError> {
    let cannot = |error: io::Error| UrlError::cannot(&error);
    let tls = certificate(url, options)?;
    let bound = GrpcWebServer::bind(url.host_and_port(), options.grpc_web.clone()).await;
    let mut server = bound.map_err(cannot)?;
    if let Some(tls) = tls {
        server = server.with_tls(tls).map_err(cannot)?;
    }
    let url = url.with_address(server.local_addr());
    Ok(UrlServer::new(server, url))
}

/// By the gRPC that the same port takes.
pub(crate) fn client(url: &Url, options: &ClientOptions) -> Result<ClientBuilder, UrlError> {
    let (scheme, tls) = if url.scheme().has_tls() {
        (Scheme::Https, Some(options.tls.clone()))
    } else {
        (Scheme::Http, None)
    };
    let config = Http2ClientConfig {
        tls,
        ..options.http2.clone()
    };
    let url = format!("{scheme}://{}", url.rest());
    let transport = Http2Client::new(&url, &config);
    Ok(Client::builder(transport.map_err(UrlError::Transport)?))
}
