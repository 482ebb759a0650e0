//! Endpoints of quinn, with its own defaults and the certificates that our own contender has.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use headwater_rpc::tls::{DevCertificates, TlsClient, TlsServer};
use quinn::{
    ClientConfig, Endpoint, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

/// Who the server is.
pub(crate) const NAME: &str = "localhost";

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A server's, and where it is.
pub(crate) async fn server(
    certificates: &DevCertificates,
    alpn: &'static [u8],
) -> (SocketAddr, Endpoint) {
    let tls = TlsServer::new(certificates.server(), &[alpn]).expect("good certificates");
    let crypto = QuicServerConfig::try_from(tls.current().await).expect("TLS 1.3");
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, ANY_PORT).expect("a free port");
    (endpoint.local_addr().expect("bound"), endpoint)
}

/// A client's.
pub(crate) async fn client(certificates: &DevCertificates, alpn: &'static [u8]) -> Endpoint {
    let tls = TlsClient::new(&certificates.client(), NAME, &[alpn]).expect("good certificates");
    let crypto = QuicClientConfig::try_from(tls.current().await).expect("TLS 1.3");
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    let mut endpoint = Endpoint::client(ANY_PORT).expect("a free port");
    endpoint.set_default_client_config(config);
    endpoint
}

/// Connections that outlive the turns of others.
fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(5)));
    Arc::new(transport)
}
