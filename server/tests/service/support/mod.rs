//! A service on a free port, clients by tungstenite, and upstreams that say what a test has them say.

mod app;
mod client;
mod link;
mod log;
mod time;
mod transports;

use std::{net::SocketAddr, time::Duration};

use headwater::{
    Service, ServiceConfig,
    auth::{AccessKey, upstream_token},
};
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{CallOptions, Client as RpcClient, Metadata, Status};
use headwater_upstream::{Handler, Hub, RunError, Upstream, UpstreamConfig, v1};
use headwater_websocket::{Listener, ListenerConfig};
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) use self::{
    app::{App, Over, call, context, registration, reply, text_message},
    client::{Client, Knock, Refused},
    link::{Link, text_payload},
    log::Log,
    time::{FAR, NEVER, overdue, pass, quiet, soon, until},
    transports::upstream_urls,
};

pub(crate) const KEY: &str = "a-key-for-tests-of-32-bytes-or-so";
pub(crate) const ENDPOINT: &str = "http://service.test";
pub(crate) const JSON: &str = "json.webpubsub.azure.v1";
pub(crate) fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

pub(crate) fn key() -> AccessKey {
    AccessKey::new(KEY).expect("long enough")
}

/// A key that the service does not have.
pub(crate) fn foreign_key() -> AccessKey {
    AccessKey::new("another-key-of-32-bytes-or-longer").expect("long enough")
}

/// The defaults, but for patience: no deadline comes before a test lets [`FAR`] pass, and keep-alive is out of the way.
pub(crate) fn config() -> ServiceConfig {
    let mut config = default_config();
    config.connect_timeout = FAR;
    config.message_timeout = FAR;
    config.session.ping_after = NEVER;
    config.session.silence_max = NEVER;
    config.link.register_timeout = FAR;
    config
}

/// What a service has that is told nothing.
pub(crate) fn default_config() -> ServiceConfig {
    ServiceConfig {
        endpoints: vec![ENDPOINT.into()],
        ..ServiceConfig::new(key())
    }
}

/// A running service.
pub(crate) struct Stage {
    pub(crate) service: Service,
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: ServiceConfig) -> Self {
        let listener = ListenerConfig {
            handshake_timeout: FAR,
            ..ListenerConfig::default()
        };
        Self::listening(config, listener).await
    }

    pub(crate) async fn listening(config: ServiceConfig, listener: ListenerConfig) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, listener).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = Service::new(config);
        let (stop, stopped) = oneshot::channel();
        let serving = service.clone();
        let serving = tokio::spawn(async move {
            let stopped = async {
                if stopped.await.is_err() {
                    std::future::pending().await
                }
            };
            serving.serve_clients(listener, stopped).await;
        });
        Self {
            service,
            address,
            serving,
            stop: Some(stop),
        }
    }

    pub(crate) fn knock(&self, hub: &'static str) -> Knock {
        Knock {
            address: self.address,
            hub,
            user: Some("ada"),
            roles: vec![
                "webpubsub.joinLeaveGroup".into(),
                "webpubsub.sendToGroup".into(),
            ],
            groups: Vec::new(),
            subprotocols: JSON,
            query: String::new(),
            headers: Vec::new(),
            token: None,
        }
    }

    /// A JSON client of the hub `chat` that has read its `connected`.
    pub(crate) async fn client(&self) -> Client {
        self.knock("chat").enter().await
    }

    /// The SDK's upstream in this process, registered.
    pub(crate) async fn upstream(&self, handler: impl Handler) -> Running {
        let client = self.service.connect_in_process();
        let upstream = Upstream::over(client, self.upstream_config(), handler);
        Running::start(upstream.expect("configured")).await
    }

    pub(crate) fn upstream_config(&self) -> UpstreamConfig {
        UpstreamConfig {
            hub: "chat".into(),
            connection_string: self.service.connection_string(),
            seed: Some(1),
            ..UpstreamConfig::default()
        }
    }

    /// The URL of a new port for upstreams.
    pub(crate) async fn listen_http2(&self) -> String {
        let server = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
        let server = server.expect("a port");
        let url = format!("http://{}", server.local_addr());
        let server = self.service.upstream_server(server);
        tokio::spawn(async move { server.serve().await });
        url
    }

    /// A link in this process that has not registered.
    pub(crate) async fn link(&self) -> Link {
        Link::open(self.service.connect_in_process(), &token(&[])).await
    }

    pub(crate) async fn link_over_http2(&self) -> Link {
        let url = self.listen_http2().await;
        let client = Http2Client::new(&url, &Http2ClientConfig::default()).expect("a url");
        let client = RpcClient::new(client);
        let connecting = client.clone();
        tokio::spawn(async move { connecting.connect().await });
        Link::open(client, &token(&[])).await
    }

    /// A link that has registered for everything in the hub `chat`.
    pub(crate) async fn registered(&self) -> Link {
        let mut link = self.link().await;
        link.register(register()).await;
        link
    }

    /// A unary call of `headwater.v1.Management`.
    pub(crate) async fn manage<M: prost::Message + Default>(
        &self,
        method: &str,
        request: impl prost::Message,
    ) -> Result<M, Status> {
        let client = self.service.connect_in_process();
        let path = format!("/headwater.v1.Management/{method}");
        let request = request.encode_to_vec().into();
        let answer = client.unary(path, bearer(&token(&[])), request, CallOptions::default());
        let answer = soon("an answer", answer).await?;
        Ok(M::decode(answer).expect("decodable"))
    }
}

/// An upstream's token for these hubs; for all, if none is named.
pub(crate) fn token(hubs: &[&str]) -> String {
    token_by(&key(), hubs)
}

/// [`token`], signed with this key.
pub(crate) fn token_by(key: &AccessKey, hubs: &[&str]) -> String {
    let lifetime = Duration::from_secs(600);
    upstream_token(ENDPOINT, key, hubs, lifetime, unix_seconds()).expect("a token")
}

pub(crate) fn bearer(token: &str) -> Metadata {
    let mut metadata = Metadata::new();
    if token.is_empty() {
        return metadata;
    }
    let value = format!("Bearer {token}");
    metadata.append("authorization", value).expect("valid");
    metadata
}

pub(crate) fn register() -> v1::Register {
    v1::Register {
        hub: "chat".into(),
        app: "app".into(),
        ..v1::Register::default()
    }
}

/// The SDK's upstream at work.
pub(crate) struct Running {
    pub(crate) hub: Hub,
    pub(crate) task: JoinHandle<Result<(), RunError>>,
    pub(crate) stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(upstream: Upstream) -> Self {
        let hub = upstream.hub();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(upstream.run_until(async {
            if stopped.await.is_err() {
                std::future::pending().await
            }
        }));
        soon("the registration", hub.registered()).await;
        Self { hub, task, stop }
    }
}
