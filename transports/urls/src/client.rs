//! The clients' side.

#[cfg(feature = "http2")]
use headwater_http2::Http2ClientConfig;
#[cfg(feature = "http3")]
use headwater_http3::Http3ClientConfig;
#[cfg(feature = "in-process")]
use headwater_in_process::Names;
use headwater_rpc::ClientBuilder;
#[cfg(all(feature = "http2", feature = "http3"))]
use headwater_rpc::http::FallbackConfig;
#[cfg(feature = "tls")]
use headwater_rpc::tls::ClientTls;
#[cfg(feature = "websocket")]
use headwater_websocket::WebSocketClientConfig;

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

/// What clients need beside their URL. Fields come with features, so end a literal with `..Default::default()`.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Whom clients of `https://`, `h3://`, `https+h3://`, `grpc-web+https://` and `wss://` trust, and by what they prove who
    /// they are; in place of what a transport's own options say of it. Default: the authorities of the system, which need the feature `native-roots`.
    #[cfg(feature = "tls")]
    pub tls: ClientTls,
    /// The bounds of clients of `http://`, `https://`, `grpc-web+http://`, `grpc-web+https://` and `unix:`; and of those of
    /// `https+h3://`, where they speak HTTP/2, with how they hold connections of either kind.
    #[cfg(feature = "http2")]
    pub http2: Http2ClientConfig,
    /// The bounds of clients of `h3://`, and of those of `https+h3://` where they speak HTTP/3.
    #[cfg(feature = "http3")]
    pub http3: Http3ClientConfig,
    /// When clients of `https+h3://` speak HTTP/2.
    #[cfg(all(feature = "http2", feature = "http3"))]
    pub fallback: FallbackConfig,
    /// The bounds of clients of `ws://` and `wss://`, and which subprotocol they ask for.
    #[cfg(feature = "websocket")]
    pub websocket: WebSocketClientConfig,
    /// The names of `inproc://`. Default: some of its own, under which nobody is found: give it the clone of a server's.
    #[cfg(feature = "in-process")]
    pub in_process: Names,
}

/// A client of the server at this URL, to be built with more than the transport or at once.
///
/// Nothing is connected yet. A client of a host holds connections as its transport does; one of `inproc://` calls whichever
/// server has the name at the time.
///
/// # Errors
///
/// See [`UrlError`].
pub fn client(url: &str, options: &ClientOptions) -> Result<ClientBuilder, UrlError> {
    let url = Url::parse(url)?;
    match url.scheme() {
        #[cfg(feature = "http2")]
        Scheme::Http | Scheme::Https | Scheme::Unix => http2::client(&url, options),
        #[cfg(not(feature = "http2"))]
        Scheme::Http | Scheme::Https | Scheme::Unix => Err(UrlError::NotBuilt(url.scheme())),
        #[cfg(feature = "http3")]
        Scheme::H3 => http3::client(&url, options),
        #[cfg(not(feature = "http3"))]
        Scheme::H3 => Err(UrlError::NotBuilt(url.scheme())),
        #[cfg(all(feature = "http2", feature = "http3"))]
        Scheme::HttpsH3 => both::client(&url, options),
        #[cfg(not(all(feature = "http2", feature = "http3")))]
        Scheme::HttpsH3 => Err(UrlError::NotBuilt(url.scheme())),
        #[cfg(feature = "grpc-web")]
        Scheme::GrpcWebHttp | Scheme::GrpcWebHttps => grpc_web::client(&url, options),
        #[cfg(not(feature = "grpc-web"))]
        Scheme::GrpcWebHttp | Scheme::GrpcWebHttps => Err(UrlError::NotBuilt(url.scheme())),
        #[cfg(feature = "websocket")]
        Scheme::Ws | Scheme::Wss => websocket::client(&url, options),
        #[cfg(not(feature = "websocket"))]
        Scheme::Ws | Scheme::Wss => Err(UrlError::NotBuilt(url.scheme())),
        #[cfg(feature = "in-process")]
        Scheme::InProcess => Ok(in_process::client(&url, options)),
        #[cfg(not(feature = "in-process"))]
        Scheme::InProcess => Err(UrlError::NotBuilt(url.scheme())),
    }
}
