//! The servers' side.

use std::fmt;

use async_trait::async_trait;
#[cfg(feature = "grpc-web")]
use headwater_grpc_web::GrpcWebServerConfig;
#[cfg(feature = "http2")]
use headwater_http2::Http2ServerConfig;
#[cfg(feature = "http3")]
use headwater_http3::Http3ServerConfig;
#[cfg(feature = "in-process")]
use headwater_in_process::Names;
#[cfg(feature = "tls")]
use headwater_rpc::tls::ServerTlsConfig;
use headwater_rpc::{Acceptor, RegisteredMethod, ServerTransport, Status};
#[cfg(feature = "websocket")]
use headwater_websocket::WebSocketServerConfig;

#[cfg(all(feature = "http2", feature = "http3"))]
use crate::both;
#[cfg(feature = "grpc-web")]
use crate::grpc_web;
#[cfg(feature = "http2")]
use crate::http2;
#[cfg(feature = "http3")]
use crate::http3;
#[cfg(feature = "in-process")]
use crate::in_process;
#[cfg(feature = "websocket")]
use crate::websocket;
use crate::{Scheme, Url, UrlError};

/// What servers need beside their URL. Fields come with features, so end a literal with `..Default::default()`.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// How servers of `https://`, `h3://`, `https+h3://`, `grpc-web+https://` and `wss://` prove who they are. Default: none, with which such URLs are refused.
    #[cfg(feature = "tls")]
    pub tls: Option<ServerTlsConfig>,
    /// The bounds of servers of `http://`, `https://` and `unix:`, and of the HTTP/2 of `https+h3://`.
    #[cfg(feature = "http2")]
    pub http2: Http2ServerConfig,
    /// The bounds of servers of `h3://`, and of the HTTP/3 of `https+h3://`.
    #[cfg(feature = "http3")]
    pub http3: Http3ServerConfig,
    /// The bounds of servers of `grpc-web+http://` and `grpc-web+https://`, and whose pages may call them.
    #[cfg(feature = "grpc-web")]
    pub grpc_web: GrpcWebServerConfig,
    /// The bounds of servers of `ws://` and `wss://`, and what they speak to clients that name no subprotocol.
    #[cfg(feature = "websocket")]
    pub websocket: WebSocketServerConfig,
    /// The names of `inproc://`. Default: some of its own, under which nobody is found: give its clone to the clients.
    #[cfg(feature = "in-process")]
    pub in_process: Names,
}

/// A server's transport, whichever the URL says. It hands every call on to that one, at no cost for a message.
pub struct UrlServer {
    transport: Box<dyn ServerTransport>,
    url: String,
}

impl UrlServer {
    /// Binds the address of the URL; with port 0, the system chooses one. Connections wait until the server serves.
    ///
    /// A URL without a port means port 80, or with TLS 443.
    ///
    /// # Errors
    ///
    /// See [`UrlError`].
    pub async fn bind(url: &str, options: &ServerOptions) -> Result<Self, UrlError> {
        let url = Url::parse(url)?;
        match url.scheme() {
            #[cfg(feature = "http2")]
            Scheme::Http | Scheme::Https | Scheme::Unix => http2::bind(&url, options).await,
            #[cfg(not(feature = "http2"))]
            Scheme::Http | Scheme::Https | Scheme::Unix => Err(UrlError::NotBuilt(url.scheme())),
            #[cfg(feature = "http3")]
            Scheme::H3 => http3::bind(&url, options).await,
            #[cfg(not(feature = "http3"))]
            Scheme::H3 => Err(UrlError::NotBuilt(url.scheme())),
            #[cfg(all(feature = "http2", feature = "http3"))]
            Scheme::HttpsH3 => both::bind(&url, options).await,
            #[cfg(not(all(feature = "http2", feature = "http3")))]
            Scheme::HttpsH3 => Err(UrlError::NotBuilt(url.scheme())),
            #[cfg(feature = "grpc-web")]
            Scheme::GrpcWebHttp | Scheme::GrpcWebHttps => grpc_web::bind(&url, options).await,
            #[cfg(not(feature = "grpc-web"))]
            Scheme::GrpcWebHttp | Scheme::GrpcWebHttps => Err(UrlError::NotBuilt(url.scheme())),
            #[cfg(feature = "websocket")]
            Scheme::Ws | Scheme::Wss => websocket::bind(&url, options).await,
            #[cfg(not(feature = "websocket"))]
            Scheme::Ws | Scheme::Wss => Err(UrlError::NotBuilt(url.scheme())),
            #[cfg(feature = "in-process")]
            Scheme::InProcess => in_process::bind(&url, options),
            #[cfg(not(feature = "in-process"))]
            Scheme::InProcess => Err(UrlError::NotBuilt(url.scheme())),
        }
    }

    pub(crate) fn new(transport: impl ServerTransport, url: String) -> Self {
        Self {
            transport: Box::new(transport),
            url,
        }
    }

    /// The URL at which it can be called, with the port that was bound.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for UrlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlServer")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ServerTransport for UrlServer {
    fn configure(&self, methods: &[RegisteredMethod]) {
        self.transport.configure(methods);
    }

    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        self.transport.listen(acceptor).await
    }

    fn begin_graceful_shutdown(&self) {
        self.transport.begin_graceful_shutdown();
    }
}

/// What a server of this URL proves itself by, where it has to.
#[cfg(any(feature = "http2", feature = "websocket"))]
pub(crate) fn certificate(
    url: &Url,
    options: &ServerOptions,
) -> Result<Option<ServerTlsConfig>, UrlError> {
    match &options.tls {
        _ if !url.scheme().has_tls() => Ok(None),
        None => Err(UrlError::NoCertificate(url.scheme())),
        Some(tls) => Ok(Some(tls.clone())),
    }
}
