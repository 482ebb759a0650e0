//! The service: its hubs, and the two sides that reach them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use headwater_core::{hub::HubConfig, queue::Counters};
use headwater_proto::{Code, ConnectionString, Status};
use headwater_rpc::{Client, Credit, Router, Server, ServerConfig, ServerTransport};
use headwater_websocket::Listener;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{ServiceConfig, channels::Channels, clients, clock::Clock, hub::HubDriver, upstreams};

/// A Web PubSub service. Clones share it.
///
/// It runs on the tokio runtime that it is used in. Nothing listens until it is told to: clients reach it through
/// [`Service::serve_clients`], upstreams through [`Service::upstream_server`] or [`Service::connect_in_process`].
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: ServiceConfig,
    pub(crate) clock: Clock,
    pub(crate) channels: Arc<Channels>,
    epoch: String,
    hubs: Mutex<Hubs>,
}

#[derive(Default)]
struct Hubs {
    by_name: BTreeMap<String, Arc<HubDriver>>,
    /// The service is leaving, within this time: so do hubs that begin now.
    leaving: Option<Duration>,
}

/// Why clients are closed when the service leaves.
const LEAVING: &str = "the service is shutting down";

impl Service {
    /// A service without hubs; each begins with the first client or upstream that names it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(config: ServiceConfig) -> Self {
        let clock = Clock::start();
        let inner = Inner {
            channels: Channels::start(config.channels.clone(), clock),
            config,
            clock,
            epoch: unguessable_id(),
            hubs: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What an application needs to reach this service: the first endpoint and the primary key. Secret.
    pub fn connection_string(&self) -> Option<ConnectionString> {
        let endpoint = self.inner.config.endpoints.first()?;
        ConnectionString::new(endpoint, self.inner.config.keys.primary().text()).ok()
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
        let inner = Arc::clone(&self.inner);
        let answer = move |request: Request<Incoming>, peer| {
            let page = pages(&request);
            let inner = Arc::clone(&inner);
            async move {
                match page {
                    Some(page) => page,
                    None => clients::answer(inner, request, peer).await,
                }
            }
        };
        listener.serve(answer, stop).await;
    }

    /// The methods for applications: `headwater.v1.Upstream`, `headwater.v1.Management`, `WpsRpc`, and `MessageSync` of push
    /// channels.
    pub fn router(&self) -> Router {
        upstreams::router(&self.inner)
    }

    /// A server for upstreams on this transport, with bounds that fit a link: it may live for ever, while the unary
    /// calls of `headwater.v1.Management` have to be done within [`ServerConfig::unary_timeout_max`], 10 s.
    pub fn upstream_server(&self, transport: impl ServerTransport) -> Server {
        let config = ServerConfig {
            // What an upstream has not settled bounds what waits; a full window ends its link.
            send_window: Credit {
                messages: 1 << 16,
                bytes: 64 << 20,
            },
            ..ServerConfig::default()
        };
        Server::new(transport, self.router(), config)
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
        let hubs: Vec<_> = {
            let mut hubs = self.inner.hubs();
            hubs.leaving = Some(timeout);
            hubs.by_name.values().cloned().collect()
        };
        for hub in &hubs {
            hub.shut_down(LEAVING, timeout);
        }
        let leaving = Status::new(Code::Unavailable, LEAVING);
        self.inner.channels.shut_down(leaving);
        let all_idle = async {
            for hub in &hubs {
                hub.idle().await;
            }
        };
        tokio::time::timeout(timeout, all_idle).await.is_ok()
    }

    /// How many connections are open, and how many upstreams are registered, over all hubs.
    pub fn counts(&self) -> (usize, usize) {
        let hubs: Vec<_> = self.inner.hubs().by_name.values().cloned().collect();
        let counts = hubs.iter().map(|hub| hub.counts());
        counts.fold(
            (0, 0),
            |(clients, upstreams), (more_clients, more_upstreams)| {
                (clients + more_clients, upstreams + more_upstreams)
            },
        )
    }
}

impl Service {
    /// What a push channel has done, and what waits there now. `None` if there is no channel of this name: nobody uses it,
    /// and nothing is kept of it.
    pub fn channel_counters(&self, channel: &str) -> Option<Counters> {
        self.inner.channels.counters(channel)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Inner {
    /// The hub of this lower-cased name.
    pub(crate) fn hub(&self, name: &str) -> Arc<HubDriver> {
        let mut hubs = self.hubs();
        if let Some(hub) = hubs.by_name.get(name) {
            return Arc::clone(hub);
        }
        let hub = HubDriver::start(self.hub_config(name), self.config.outbox, self.clock);
        if let Some(within) = hubs.leaving {
            hub.shut_down(LEAVING, within);
        }
        hubs.by_name.insert(name.to_owned(), Arc::clone(&hub));
        hub
    }

    fn hub_config(&self, name: &str) -> HubConfig {
        HubConfig {
            epoch: self.epoch.clone(),
            seed: u64::from_ne_bytes(random()),
            require_connect: self.config.require_connect.contains(name),
            connect_timeout: self.config.connect_timeout,
            message_timeout: self.config.message_timeout,
            waiting_bytes_max: self.config.waiting_bytes_max,
            commands_max: u32::try_from(self.config.link.commands_max).unwrap_or(u32::MAX),
            ..HubConfig::new(name)
        }
    }

    fn hubs(&self) -> std::sync::MutexGuard<'_, Hubs> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 bits of the system's randomness, URL-safe: 22 characters.
pub(crate) fn unguessable_id() -> String {
    URL_SAFE_NO_PAD.encode(random::<16>())
}

/// # Panics
///
/// If the system has no randomness: then no id or key is safe.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
