//! A channel over HTTP/3.

use headwater_rpc::{
    Code, Status,
    channel::{Channel, OverChannel, Resolver, target_of_host},
};
use http::Uri;

use super::{Http3ClientConfig, Http3Connector};

/// Calls over HTTP/3: a [`Channel`] of connections by an [`Http3Connector`]. Clones share it.
///
/// Connections come up with the first call, and again after they were lost. A call that finds nobody fails at once with
/// `UNAVAILABLE`, unless it waits for ready. How connections are held and chosen between is in
/// [`Http3ClientConfig::channel`].
#[derive(Debug, Clone)]
pub struct Http3Client {
    channel: Channel,
    connector: Http3Connector,
}

impl Http3Client {
    /// A client of one server: `h3://host:port`, or port 443, if there is none.
    ///
    /// A host with several addresses is one server, which is reached at the first of them that answers.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not such a URL, or what TLS is to use cannot be used.
    pub fn new(url: &str, config: &Http3ClientConfig) -> Result<Self, Status> {
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        if uri.scheme_str() != Some("h3") {
            return Err(invalid(&"the scheme must be h3"));
        }
        let authority = uri.authority().ok_or_else(|| invalid(&"no host"))?;
        let port = authority.port_u16().unwrap_or(443);
        let target = target_of_host(authority.host(), port);
        Self::to(&target, authority.as_str(), config)
    }

    /// A client of all that a target stands for, such as `dns:///example.org:443` or
    /// `ipv4:192.0.2.1:443,192.0.2.2:443` ([`Resolvers`](headwater_rpc::channel::Resolvers)). Requests and TLS name
    /// `authority`, a host with or without a port, whatever the address.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if one of the two is not valid, or what TLS is to use cannot be used.
    pub fn to(target: &str, authority: &str, config: &Http3ClientConfig) -> Result<Self, Status> {
        let connector = Http3Connector::new(authority, config)?;
        let channel = Channel::to(target, connector.clone(), config.channel.clone())?;
        Ok(Self { channel, connector })
    }

    /// As [`Http3Client::to`], with addresses from this resolver.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is no authority, or what TLS is to use cannot be used.
    pub fn resolved_by(
        resolver: Box<dyn Resolver>,
        authority: &str,
        config: &Http3ClientConfig,
    ) -> Result<Self, Status> {
        let connector = Http3Connector::new(authority, config)?;
        let channel = Channel::new(resolver, connector.clone(), config.channel.clone());
        Ok(Self { channel, connector })
    }

    /// The channel: whether calls can go, and when that changes.
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// What makes the connections.
    pub const fn connector(&self) -> &Http3Connector {
        &self.connector
    }
}

fn invalid(error: &dyn std::fmt::Display) -> Status {
    let message = format!("not a url of a server: {error}");
    Status::new(Code::InvalidArgument, message)
}

impl OverChannel for Http3Client {
    fn channel(&self) -> &Channel {
        &self.channel
    }
}
