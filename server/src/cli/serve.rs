//! `headwater serve`: the service.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use headwater::{
    Service, ServiceConfig,
    auth::{AccessKey, AccessKeys},
};
use headwater_rpc::tls::ServerTlsConfig;
use headwater_transports::ServerOptions;

use super::{
    Error,
    channels::ChannelOptions,
    clients::ListenClients,
    run::{self, Running, seconds},
    tls::Tls,
    upstreams,
};

/// Runs the service.
///
/// Prints the connection string for your application, an example URL for a client, and then a line that starts with
/// `ready` and names the real addresses. Logs go to stderr (RUST_LOG sets how much). SIGTERM and SIGINT close every client,
/// let upstreams finish, and exit with 0.
// No `Debug`: it would show the keys.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Serve {
    /// Where clients connect: an address, or with TLS https://ADDR. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen_clients: ListenClients,
    /// Where upstreams dial in; repeatable: all of them are served at once. The scheme chooses how:
    ///
    /// http:// and https:// are gRPC over HTTP/2, without and with TLS; h3:// is HTTP/3;
    /// https+h3:// is both on one port, for upstreams that speak HTTP/3 where UDP gets through; ws:// and wss:// are WebSocket,
    /// without and with TLS; unix:PATH is HTTP/2 over a Unix socket; grpc-web+http:// and grpc-web+https:// are gRPC-Web, by
    /// which a page in a browser can call what upstreams can. Port 0 takes a free one.
    #[arg(long, default_value = "http://127.0.0.1:8081", value_name = "URL")]
    listen_upstream: Vec<String>,
    /// An origin whose pages may call by gRPC-Web, such as https://admin.example.org; repeatable, `*` is every one. Without
    /// it none may. They need a token of an upstream all the same, which can do everything: it is nothing for the public.
    #[cfg(feature = "grpc-web")]
    #[arg(long = "web-origin", value_name = "ORIGIN")]
    web_origins: Vec<String>,
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
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    channels: ChannelOptions,
}

const AFTER_HELP: &str = "\
Examples:
  headwater serve
      For development on this machine: a fresh key, clients on port 8080, upstreams on port 8081.
  headwater serve --listen-upstream h3://127.0.0.1:8443 --dev-tls
      Upstreams over HTTP/3. Give them the root certificate whose file is printed.
  headwater serve --listen-upstream http://127.0.0.1:8081 --listen-upstream https://0.0.0.0:8443 \\
                  --tls-cert server.pem --tls-key server.key
      Upstreams on this machine without TLS, and from elsewhere with it.
  headwater serve --listen-clients https://0.0.0.0:443 --tls-cert server.pem --tls-key server.key
      Clients over TLS: https:// and wss://.
  headwater serve --listen-upstream https://0.0.0.0:8443 --tls-cert server.pem --tls-key server.key \\
                  --tls-client-ca upstreams.pem
      Upstreams have to show a certificate too.
  headwater serve --listen-upstream https+h3://0.0.0.0:8443 --tls-cert server.pem --tls-key server.key
      HTTP/3, and HTTP/2 where UDP is blocked, on one port. Upstreams dial the same URL.
  headwater serve --allow-anonymous-channels --fanout-channel news
      Push channels for clients that have no token; every consumer of the channel `news` has every message.";

impl Serve {
    pub(super) fn run(self) -> Result<(), Error> {
        run::block_on(self.serve())
    }

    async fn serve(self) -> Result<(), Error> {
        let key = run::access_key(self.access_key.as_deref())?;
        let identity = self.tls.identity()?;
        let tls = identity.as_ref().map(|identity| &identity.config);
        let clients = self.listen_clients.bind(tls).await?;
        let upstreams = upstreams::bind(&self.listen_upstream, &self.server_options(tls)).await?;
        let config = self.config(&key, clients.endpoint())?;
        let endpoint = config.endpoints[0].clone();
        let service = Service::new(config);

        let mut running = Running::new(service.clone())?;
        let stopped = running.stopped();
        let serving = service.clone();
        let mut ready = format!("ready clients={}", clients.url());
        let listener = clients.listener;
        running.serve_clients(async move { serving.serve_clients(listener, stopped).await });
        for upstream in upstreams {
            ready += &format!(" upstream={}", upstream.url());
            running.serve_upstreams(service.upstream_server(upstream));
        }
        run::introduce(&service, &endpoint, &key)?;
        if let Some(identity) = &identity {
            identity.introduce();
        }
        self.channels.introduce();
        println!("{ready}");
        running.until_told(self.drain_timeout).await
    }

    fn server_options(&self, tls: Option<&ServerTlsConfig>) -> ServerOptions {
        #[cfg_attr(
            not(feature = "grpc-web"),
            expect(unused_mut, reason = "there is nothing else to set")
        )]
        let mut options = ServerOptions {
            tls: tls.cloned(),
            ..ServerOptions::default()
        };
        #[cfg(feature = "grpc-web")]
        options.grpc_web.origins.clone_from(&self.web_origins);
        options
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
            channels: self.channels.config(),
            ..ServiceConfig::new(AccessKeys::new(key.clone(), secondary))
        })
    }
}
