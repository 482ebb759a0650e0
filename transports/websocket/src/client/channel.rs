//! A channel over WebSockets.

use std::{fmt, sync::Arc};

use headwater_rpc::{
    Code, Status,
    channel::{Channel, OverChannel, Resolver, target_of_host},
};
use http::Uri;

use super::{DialledServer, WebSocketClientConfig, WebSocketConnector, serving::Serving};

/// Calls over WebSockets: a [`Channel`] of connections by a [`WebSocketConnector`]. Clones share it.
///
/// Connections come up with the first call, and again after they were lost. A call that finds nobody fails at once with
/// `UNAVAILABLE`, unless it waits for ready. How connections are held and chosen between is in
/// [`WebSocketClientConfig::channel`].
#[derive(Clone)]
pub struct WebSocketClient {
    channel: Channel,
    serving: Arc<Serving>,
}

impl WebSocketClient {
    /// A client of one server:
    ///
    /// | URL | server |
    /// |---|---|
    /// | `ws://host:port/path` | plaintext, whatever is configured for TLS; port 80, if there is none |
    /// | `wss://host:port/path` | TLS as configured, or with the system's certificate authorities; port 443, if there is none |
    ///
    /// A host with several addresses is one server, which is reached at the first of them that answers.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not such a URL, or what TLS is to use cannot be used.
    pub fn new(url: &str, config: &WebSocketClientConfig) -> Result<Self, Status> {
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        let host = uri.host().ok_or_else(|| invalid(&"no host"))?;
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("wss") => 443,
            Some(_) | None => 80,
        });
        Self::to(&target_of_host(host, port), url, config)
    }

    /// A client of all that a target stands for, such as `dns:///example.org:80` or `ipv4:192.0.2.1:80,192.0.2.2:80`
    /// ([`Resolvers`](headwater_rpc::channel::Resolvers)). The handshake is for `url`, whatever the address.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if one of the two is not valid, or what TLS is to use cannot be used.
    pub fn to(target: &str, url: &str, config: &WebSocketClientConfig) -> Result<Self, Status> {
        let connector = WebSocketConnector::new(url, config)?;
        let serving = Arc::clone(connector.serving());
        let channel = Channel::to(target, connector, config.channel.clone())?;
        Ok(Self { channel, serving })
    }

    /// As [`WebSocketClient::to`], with addresses from this resolver.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if the URL is not valid, or what TLS is to use cannot be used.
    pub fn resolved_by(
        resolver: Box<dyn Resolver>,
        url: &str,
        config: &WebSocketClientConfig,
    ) -> Result<Self, Status> {
        let connector = WebSocketConnector::new(url, config)?;
        let serving = Arc::clone(connector.serving());
        let channel = Channel::new(resolver, connector, config.channel.clone());
        Ok(Self { channel, serving })
    }

    /// The channel: whether calls can go, and when that changes.
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// What serves on this client's sockets from now on, for a [`Server`](headwater_rpc::Server). There is one for a client
    /// and its clones; a second one does not listen.
    pub fn server(&self) -> DialledServer {
        self.serving.server()
    }
}

impl fmt::Debug for WebSocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketClient")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

pub(super) fn invalid(error: &dyn std::fmt::Display) -> Status {
    let message = format!("not a url of a websocket server: {error}");
    Status::new(Code::InvalidArgument, message)
}

impl OverChannel for WebSocketClient {
    fn channel(&self) -> &Channel {
        &self.channel
    }
}
