//! `https+h3://`.

use std::io;

use async_trait::async_trait;
use headwater_http2::{Http2ClientConfig, Http2Connector, Http2Server, Http2ServerConfig};
use headwater_http3::{Http3ClientConfig, Http3Connector, Http3Server};
use headwater_rpc::{
    Acceptor, Client, ClientBuilder, RegisteredMethod, ServerTransport, Status,
    channel::{Channel, target_of_host},
    http::{AltSvc, Alternatives, Fallback},
    tls::ServerTlsConfig,
};

use crate::{ClientOptions, ServerOptions, Url, UrlError, UrlServer};

/// How many ports that the system chose for UDP may be taken for TCP.
const FREE_PORT_ATTEMPTS: usize = 16;

/// Two servers at one port.
struct Both {
    http2: Http2Server,
    http3: Http3Server,
}

#[async_trait]
impl ServerTransport for Both {
    fn configure(&self, methods: &[RegisteredMethod]) {
        self.http2.configure(methods);
        self.http3.configure(methods);
    }

    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let by_http2 = self.http2.listen(acceptor.clone());
        let by_http3 = self.http3.listen(acceptor);
        // One that ends by an error takes the other one with it.
        tokio::try_join!(by_http2, by_http3).map(|_| ())
    }

    fn begin_graceful_shutdown(&self) {
        self.http2.begin_graceful_shutdown();
        self.http3.begin_graceful_shutdown();
    }
}

pub(crate) async fn bind(url: &Url, options: &ServerOptions) -> Result<UrlServer, UrlError> {
    let tls = options.tls.clone();
    let tls = tls.ok_or(UrlError::NoCertificate(url.scheme()))?;
    let is_free_choice = url.port() == Some(0);
    let mut attempts = if is_free_choice {
        FREE_PORT_ATTEMPTS
    } else {
        1
    };
    loop {
        attempts -= 1;
        match bind_both(url, &tls, options).await {
            Ok(both) => {
                let url = url.with_address(both.http2.local_addr());
                return Ok(UrlServer::new(both, url));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(UrlError::cannot(&error)),
        }
    }
}

async fn bind_both(url: &Url, tls: &ServerTlsConfig, options: &ServerOptions) -> io::Result<Both> {
    let address = url.host_and_port();
    let http3 = Http3Server::bind(address, tls.clone(), options.http3.clone()).await?;
    let address = http3.local_addr();
    let own = AltSvc::new(address.port());
    let config = Http2ServerConfig {
        alt_svc: Some(options.http2.alt_svc.unwrap_or(own)),
        ..options.http2.clone()
    };
    let http2 = Http2Server::bind(address, config).await?;
    let http2 = http2.with_tls(tls.clone())?;
    Ok(Both { http2, http3 })
}

pub(crate) fn client(url: &Url, options: &ClientOptions) -> Result<ClientBuilder, UrlError> {
    let http3 = Http3ClientConfig {
        tls: options.tls.clone(),
        ..options.http3.clone()
    };
    let http2 = Http2ClientConfig {
        tls: Some(options.tls.clone()),
        ..options.http2.clone()
    };
    let (Some(host), Some(port)) = (url.host(), url.port()) else {
        return Err(UrlError::Malformed("it has no port that there is"));
    };
    let builder = || {
        let alternatives = Alternatives::default();
        let http3 = Http3Connector::new(url.rest(), &http3)?;
        let http2 = Http2Connector::new(url.rest(), &http2)?.announcing_to(alternatives.clone());
        let connector =
            Fallback::new(http3, http2, options.fallback.clone()).following(alternatives);
        let target = target_of_host(host, port);
        let channel = Channel::to(&target, connector, options.http2.channel.clone())?;
        Ok(Client::builder(channel))
    };
    builder().map_err(UrlError::Transport)
}
