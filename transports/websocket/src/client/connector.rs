//! Making a connection.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater_rpc::{
    Code, Status,
    channel::{Address, Connection, Connector},
    tls::TlsClient,
};
use http::{HeaderValue, Uri, header};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest as _};

use super::{
    WebSocketClientConfig,
    channel::invalid,
    connection::WebSocketConnection,
    line::DialledLine,
    serving::Serving,
    socket::{HandshakeStream, Stream, dial},
};
use crate::ALPN;

/// Makes connections to the servers of one URL.
pub struct WebSocketConnector {
    config: WebSocketClientConfig,
    uri: Uri,
    tls: Option<TlsClient>,
    serving: Arc<Serving>,
}

impl WebSocketConnector {
    /// Makes connections for `url`, such as `ws://host:port/path` or `wss://host:port`, which is what the handshake names, whatever the address.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if that is no such URL, or with TLS the reason why its files cannot be used.
    pub fn new(url: &str, config: &WebSocketClientConfig) -> Result<Self, Status> {
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        // What stands before the `@` may be a password, so nothing is quoted.
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            return Err(invalid(&"it has no user and no password"));
        }
        let host = uri.host().ok_or_else(|| invalid(&"no host"))?;
        let tls = match uri.scheme_str() {
            Some("ws") => None,
            Some("wss") => {
                let tls = config.tls.clone().unwrap_or_default();
                Some(TlsClient::new(&tls, host, &[ALPN])?)
            }
            Some(_) | None => return Err(invalid(&"the scheme must be ws or wss")),
        };
        Ok(Self {
            config: config.clone(),
            uri,
            tls,
            serving: Serving::new(),
        })
    }

    /// What its connections know of the server on them.
    pub(super) const fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    async fn dial(&self, address: &Address) -> Result<Box<dyn Stream>, Status> {
        let stream = dial(address).await;
        let stream = stream.map_err(|error| no_connection(&error))?;
        let Some(tls) = &self.tls else {
            return Ok(stream);
        };
        let connector = TlsConnector::from(tls.current().await);
        let connected = connector.connect(tls.server_name().clone(), stream).await;
        let stream = connected.map_err(|error| no_connection(&tls.explain(&error)))?;
        Ok(Box::new(stream))
    }

    /// The handshake is tungstenite's, and what comes after it is not.
    async fn handshake(&self, stream: Box<dyn Stream>) -> Result<DialledLine, Status> {
        let request = (&self.uri).into_client_request();
        let mut request = request.map_err(|error| invalid(&error))?;
        if let Some(name) = self.config.subprotocol.name() {
            let name = HeaderValue::from_static(name);
            let headers = request.headers_mut();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
        }
        let stream = HandshakeStream::new(stream);
        let handshake = client_async(request, stream).await;
        let (socket, _) = handshake.map_err(|error| no_connection(&error))?;
        let (stream, came) = socket.into_inner().into_parts();
        let bytes_max = self.config.message_bytes_max;
        Ok(DialledLine::new(stream, &came, bytes_max))
    }

    async fn connect_unbounded(&self, address: &Address) -> Result<WebSocketConnection, Status> {
        let stream = self.dial(address).await?;
        let line = self.handshake(stream).await?;
        let server = self.serving.side(address).await;
        let server = server.map(|side| (side, Arc::clone(&self.serving)));
        Ok(WebSocketConnection::start(line, &self.config, server))
    }
}

#[async_trait]
impl Connector for WebSocketConnector {
    async fn connect(&self, address: &Address) -> Result<Box<dyn Connection>, Status> {
        let limit: Duration = self.config.connect_timeout;
        match timeout(limit, self.connect_unbounded(address)).await {
            Ok(connected) => Ok(Box::new(connected?)),
            Err(_) => Err(no_connection(&format!("not connected within {limit:?}"))),
        }
    }
}

impl fmt::Debug for WebSocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketConnector")
            .field("config", &self.config)
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

/// The channel says to which address.
fn no_connection(why: &dyn std::fmt::Display) -> Status {
    Status::new(Code::Unavailable, why.to_string())
}
