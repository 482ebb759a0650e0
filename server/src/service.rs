//! The service: its hubs, and the two sides that reach them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_core::queue::Counters;
use headwater_proto::ConnectionString;
use headwater_rpc::{Client, Credit, Router, Server, ServerConfig, ServerTransport};
use headwater_services::health::ServingStatus;
use headwater_websocket::Listener;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{ServiceConfig, clients, state::ServiceState, upstreams};

/// A Web PubSub service. Clones share it.
///
/// It runs on the tokio runtime that it is used in. Nothing listens until it is told to: clients reach it through
/// [`Service::serve_clients`], upstreams through [`Service::upstream_server`] or [`Service::connect_in_process`].
#[derive(Clone)]
pub struct Service {
    state: Arc<ServiceState>,
}

impl Service {
    /// A service without hubs; each begins with the first client or upstream that names it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, and if [`ServiceConfig::message_bytes_max`] is over
    /// [`ServiceConfig::MESSAGE_BYTES_LIMIT`].
    pub fn new(config: ServiceConfig) -> Self {
        let (asked, limit) = (config.message_bytes_max, ServiceConfig::MESSAGE_BYTES_LIMIT);
        assert!(
            asked <= limit,
            "message_bytes_max is {asked}, and a link carries messages of at most {limit} bytes"
        );
        let service = Self {
            state: ServiceState::start(config),
        };
        for name in service.router().services() {
            service.state.health.set(name, ServingStatus::Serving);
        }
        service
    }

    /// What an application needs to reach this service: the first endpoint and the primary key. Secret.
    pub fn connection_string(&self) -> Option<ConnectionString> {
        let config = &self.state.config;
        let endpoint = config.endpoints.first()?;
        ConnectionString::new(endpoint, config.keys.primary().text()).ok()
    }

    /// Serves clients on this listener until `stop` is done: then no more are accepted, and those that are there stay.
    pub async fn serve_clients(&self, listener: Listener, stop: impl Future<Output = ()>) {
        self.serve_clients_and(listener, |_| None, stop).await;
    }

    /// [`Service::serve_clients`], with pages of the application's own on the same port: `pages` answers what it knows,
    /// and gives `None` for the service's.
    pub async fn serve_clients_and<P>(
        &self,
        listener: Listener,
        pages: P,
        stop: impl Future<Output = ()>,
    ) where
        P: Fn(&Request<Incoming>) -> Option<Response<Full<Bytes>>> + Clone + Send + Sync + 'static,
    {
        let state = Arc::clone(&self.state);
        let answer = move |request: Request<Incoming>, peer| {
            let page = pages(&request);
            let state = Arc::clone(&state);
            async move {
                match page {
                    Some(page) => page,
                    None => clients::answer(state, request, peer).await,
                }
            }
        };
        listener.serve(answer, stop).await;
    }

    /// The methods for applications: `headwater.v1.Upstream`, `headwater.v1.Management`, `WpsRpc`, and `MessageSync` of push
    /// channels. For a server of your own, whose [`ServerConfig::send_window`] has room for what links are sent:
    /// [`Service::upstream_server`] gives 64 MiB, and the default is too small for a link.
    pub fn router(&self) -> Router {
        upstreams::router(&self.state)
    }

    /// A server for upstreams on this transport: the methods of [`Service::router`], and `grpc.health.v1.Health`, by which
    /// anybody may ask whether they can be called; once the service leaves they cannot. Its bounds fit a link: it may live for
    /// ever, while the unary calls of `headwater.v1.Management` have to be done within [`ServerConfig::unary_timeout_max`],
    /// 10 s.
    pub fn upstream_server(&self, transport: impl ServerTransport) -> Server {
        let config = ServerConfig {
            // What an upstream has not settled bounds what waits; a full window ends its link. Twice what the hub grants a
            // link: the frames that are no events have the other half.
            send_window: Credit {
                messages: 1 << 16,
                bytes: 64 << 20,
            },
            ..ServerConfig::default()
        };
        let router = self.router();
        let health = router.add(self.state.health.service());
        health.expect("no service of ours has its name");
        Server::new(transport, router, config)
    }

    /// A client for an upstream in this process: no port, no socket. It is connected already, and served as long as the
    /// runtime lives or until it is told to shut down.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect_in_process(&self) -> Client {
        let (client, server) = headwater_in_process::pair();
        let (client, server) = (Client::new(client), self.upstream_server(server));
        let connecting = client.clone();
        // Both can fail only by being started twice.
        tokio::spawn(async move { connecting.connect().await });
        tokio::spawn(async move { server.serve().await });
        client
    }

    /// Leaves in order: every client is closed with 1001 and upstreams hear of it and are told to leave. Returns when all
    /// is delivered and settled and the sockets of the clients are closed, or after `timeout`. Whether all was. A client
    /// that does not close its end is given [`SessionConfig::close_timeout`](headwater_core::session::SessionConfig).
    ///
    /// From now on new clients are refused with 503 and new upstreams as unavailable, should a listener still run. Consumers
    /// of push channels and streams of their producers are ended as unavailable, and other producers refused; what waits in
    /// channels is lost with the service.
    ///
    /// # Cancel safety
    ///
    /// The service leaves all the same.
    pub async fn drain(&self, timeout: Duration) -> bool {
        let hubs = self.state.shut_down(timeout);
        let all_idle = async {
            for hub in &hubs {
                hub.idle().await;
            }
        };
        tokio::time::timeout(timeout, all_idle).await.is_ok()
    }

    /// How many connections are open, and how many upstreams are registered, over all hubs.
    pub fn counts(&self) -> (usize, usize) {
        let hubs = self.state.hubs();
        let counts = hubs.iter().map(|hub| hub.counts());
        counts.fold(
            (0, 0),
            |(clients, upstreams), (more_clients, more_upstreams)| {
                (clients + more_clients, upstreams + more_upstreams)
            },
        )
    }

    /// What a push channel has done, and what waits there now. `None` if there is no channel of this name: nobody uses it,
    /// and nothing is kept of it.
    pub fn channel_counters(&self, channel: &str) -> Option<Counters> {
        self.state.channels.counters(channel)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
