//! TLS under a connection.

use headwater_rpc::{
    Status,
    tls::{ClientTls, TlsClient},
};
use tokio_rustls::TlsConnector;

use super::{connector::no_connection, socket::Stream};
use crate::ALPN;

/// Makes TLS connections to the servers of one host.
#[derive(Debug)]
pub(crate) struct TlsDialer(TlsClient);

impl TlsDialer {
    /// Reads all files.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`: something cannot be used, and why.
    pub(crate) fn new(config: &ClientTls, host: &str) -> Result<Self, Status> {
        Ok(Self(TlsClient::new(config, host, &[ALPN])?))
    }

    /// Speaks TLS over the stream.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE`: who is not trusted, and why.
    pub(crate) async fn handshake(
        &self,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Status> {
        let Self(tls) = self;
        let connector = TlsConnector::from(tls.current().await);
        let connected = connector.connect(tls.server_name().clone(), stream).await;
        let stream = connected.map_err(|error| no_connection(&tls.explain(&error)))?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(ALPN);
        if tls.config().alpn_required && !agreed {
            return Err(no_connection(&format!("tls: {}", tls.no_alpn())));
        }
        Ok(Box::new(stream))
    }
}
