//! `headwater serve`: the service.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use clap::Args;
use headwater::{
    Service, ServiceConfig,
    auth::{AccessKey, AccessKeys},
};
use headwater_http2::{Http2Server, Http2ServerConfig};
use headwater_websocket::{Listener, ListenerConfig};

use super::{
    Error,
    run::{self, Running, seconds},
};

/// Runs the service.
///
/// Prints the connection string for your application, an example URL for a client, and then a line that starts with
/// `ready` and names the real addresses. Logs go to stderr (RUST_LOG sets how much). SIGTERM and SIGINT close every client,
/// let upstreams finish, and exit with 0.
// No `Debug`: it would show the keys.
#[derive(Args)]
pub(super) struct Serve {
    /// Where clients connect. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen_clients: SocketAddr,
    /// Where upstreams dial in; repeatable. http:// is gRPC over HTTP/2 without TLS.
    #[arg(long, default_value = "http://127.0.0.1:8081", value_name = "URL")]
    listen_upstream: Vec<String>,
    /// The key that tokens are signed with: 32 bytes or more. Without it a fresh one is made at each start.
    #[arg(
        long,
        env = "HEADWATER_ACCESS_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    access_key: Option<String>,
    /// A second key that is as good, so that the first can be replaced.
    #[arg(
        long,
        env = "HEADWATER_SECONDARY_ACCESS_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    secondary_access_key: Option<String>,
    /// What clients and applications know the service as, behind a proxy; repeatable, the first one stands in the
    /// connection string. Without it, the address of --listen-clients.
    #[arg(long = "endpoint", env = "HEADWATER_ENDPOINT", value_name = "URL")]
    endpoints: Vec<String>,
    /// A hub that lets no client in unless an upstream has answered its connect; repeatable. A hub for which an upstream
    /// once registered for connect does so anyhow.
    #[arg(long, value_name = "HUB")]
    require_connect: Vec<String>,
    /// How long a client waits for the upstream to answer its connect.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    connect_timeout: Duration,
    /// How long a client waits for the upstream to answer its event.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    message_timeout: Duration,
    /// How long leaving may take.
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    drain_timeout: Duration,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Error> {
        run::block_on(self.serve())
    }

    async fn serve(self) -> Result<(), Error> {
        let key = run::access_key(self.access_key.as_deref())?;
        let listener = Listener::bind(self.listen_clients, ListenerConfig::default())
            .await
            .map_err(|error| {
                format!(
                    "cannot listen for clients on {}: {error}",
                    self.listen_clients
                )
            })?;
        let clients = listener.local_addr()?;
        let upstreams = self.bind_upstreams().await?;
        let config = self.config(&key, run::endpoint_of(clients))?;
        let endpoint = config.endpoints[0].clone();
        let service = Service::new(config);

        let mut running = Running::new(service.clone())?;
        let stopped = running.stopped();
        let serving = service.clone();
        running.serve_clients(async move { serving.serve_clients(listener, stopped).await });
        let mut ready = format!("ready clients=http://{clients}");
        for upstream in upstreams {
            ready += &format!(" upstream=http://{}", upstream.local_addr());
            running.serve_upstreams(service.upstream_server(upstream));
        }
        run::introduce(&service, &endpoint, &key)?;
        println!("{ready}");
        running.until_told(self.drain_timeout).await
    }

    async fn bind_upstreams(&self) -> Result<Vec<Http2Server>, Error> {
        let mut servers = Vec::new();
        for url in &self.listen_upstream {
            let address = url
                .strip_prefix("http://")
                .map(|rest| rest.trim_end_matches('/'));
            let address = address
                .ok_or_else(|| format!("`{url}`: this build listens on http:// URLs only"))?;
            let bound = Http2Server::bind(address, Http2ServerConfig::default()).await;
            servers.push(
                bound.map_err(|error| format!("cannot listen for upstreams on {url}: {error}"))?,
            );
        }
        Ok(servers)
    }

    fn config(&self, key: &AccessKey, own_endpoint: String) -> Result<ServiceConfig, Error> {
        let secondary = self
            .secondary_access_key
            .as_deref()
            .map(AccessKey::new)
            .transpose()?;
        let endpoints = if self.endpoints.is_empty() {
            vec![own_endpoint]
        } else {
            self.endpoints.clone()
        };
        let require_connect: Option<BTreeSet<_>> = self
            .require_connect
            .iter()
            .map(|hub| headwater_proto::subprotocol::hub_name(hub))
            .collect();
        Ok(ServiceConfig {
            endpoints,
            require_connect: require_connect
                .ok_or("--require-connect: this is not the name of a hub")?,
            connect_timeout: self.connect_timeout,
            message_timeout: self.message_timeout,
            ..ServiceConfig::new(AccessKeys::new(key.clone(), secondary))
        })
    }
}
