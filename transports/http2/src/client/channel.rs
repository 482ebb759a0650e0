//! A channel over HTTP/2.

use headwater_rpc::{
    Code, Status,
    channel::{Channel, OverChannel, Resolver, target_of_host},
    tls::ClientTls,
};
use http::Uri;

use super::{Http2ClientConfig, Http2Connector};

/// What requests over a Unix socket name.
const LOCALHOST: &str = "localhost";

/// Calls over HTTP/2: a [`Channel`] of connections by an [`Http2Connector`]. Clones share it.
///
/// Connections come up with the first call, and again after they were lost. A call that finds nobody fails at once with
/// `UNAVAILABLE`, unless it waits for ready. How connections are held and chosen between is in
/// [`Http2ClientConfig::channel`].
#[derive(Debug, Clone)]
pub struct Http2Client {
    channel: Channel,
}

impl Http2Client {
    /// A client of one server:
    ///
    /// | URL | server |
    /// |---|---|
    /// | `http://host:port` | plaintext, whatever is configured for TLS; port 80, if there is none |
    /// | `https://host:port` | TLS as configured, or with the system's certificate authorities; port 443, if there is none |
    /// | `unix:path`, `unix:///path` | this socket, as the authority `localhost`; TLS if it is configured |
    ///
    /// A host with several addresses is one server, which is reached at the first of them that answers.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not such a URL, or what TLS is to use cannot be used.
    pub fn new(url: &str, config: &Http2ClientConfig) -> Result<Self, Status> {
        if url.starts_with("unix:") {
            return Self::to(url, LOCALHOST, config);
        }
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        let mut config = config.clone();
        let port = match uri.scheme_str() {
            Some("http") => {
                config.tls = None;
                80
            }
            Some("https") => {
                config.tls.get_or_insert_with(ClientTls::default);
                443
            }
            Some(_) | None => return Err(invalid(&"the scheme must be http, https or unix")),
        };
        let authority = uri.authority().ok_or_else(|| invalid(&"no host"))?;
        let port = authority.port_u16().unwrap_or(port);
        let target = target_of_host(authority.host(), port);
        Self::to(&target, authority.as_str(), &config)
    }

    /// A client of all that a target stands for, such as `dns:///example.org:50051` or
    /// `ipv4:192.0.2.1:50051,192.0.2.2:50051` ([`Resolvers`](headwater_rpc::channel::Resolvers)). With TLS if it is
    /// configured; requests and TLS name `authority`, a host with or without a port, whatever the address.
    ///
    /// ```
    /// use headwater_http2::{Http2Client, Http2ClientConfig};
    /// use headwater_rpc::channel::{BalancerConfig, ChannelConfig, Policy};
    ///
    /// let config = Http2ClientConfig {
    ///     channel: ChannelConfig {
    ///         balancer: BalancerConfig { policy: Policy::RoundRobin, ..BalancerConfig::default() },
    ///         ..ChannelConfig::default()
    ///     },
    ///     ..Http2ClientConfig::default()
    /// };
    /// let servers = "ipv4:192.0.2.1:50051,192.0.2.2:50051";
    /// let transport = Http2Client::to(servers, "example.org", &config)?;
    /// # Ok::<(), headwater_rpc::Status>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if one of the two is not valid, or what TLS is to use cannot be used.
    pub fn to(target: &str, authority: &str, config: &Http2ClientConfig) -> Result<Self, Status> {
        let connector = Http2Connector::new(authority, config)?;
        let channel = Channel::to(target, connector, config.channel.clone())?;
        Ok(Self { channel })
    }

    /// As [`Http2Client::to`], with addresses from this resolver.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is no authority, or what TLS is to use cannot be used.
    pub fn resolved_by(
        resolver: Box<dyn Resolver>,
        authority: &str,
        config: &Http2ClientConfig,
    ) -> Result<Self, Status> {
        let connector = Http2Connector::new(authority, config)?;
        let channel = Channel::new(resolver, connector, config.channel.clone());
        Ok(Self { channel })
    }

    /// The channel: whether calls can go, and when that changes.
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }
}

fn invalid(error: &dyn std::fmt::Display) -> Status {
    let message = format!("not a url of a server: {error}");
    Status::new(Code::InvalidArgument, message)
}

impl OverChannel for Http2Client {
    fn channel(&self) -> &Channel {
        &self.channel
    }
}
