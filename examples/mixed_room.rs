//! One room for clients that know nothing of each other: browsers, zrpc callers, pw_rpc devices, and consumers of a push
//! channel hear what any of them says.
//!
//! ```text
//! cargo run --example mixed_room
//! ```
//!
//! It prints where each kind comes in. The room is this application's: a handler of its hub, which it serves by WpsRpc
//! calls, and a few methods of its own. Each protocol is an adapter on the same machines, and nothing in them knows of a
//! room; what carries a line from one to the other is [`bridge`], thirty lines of this example.

use std::{error::Error, net::SocketAddr};

use clap::Parser;
use headwater::{
    ChannelsConfig, Service, ServiceConfig,
    auth::{AccessKey, AccessKeys, ClientGrant, client_url},
};
use headwater_rpc::{Router, Server, ServerConfig};
use headwater_transports::{ServerOptions, UrlServer};
use headwater_upstream::{
    Hub, Mapping, Upstream, UpstreamConfig,
    channel::{ChannelClient, ChannelConfig, Producer},
};
use headwater_websocket::{
    Listener, ListenerConfig, Unnamed, WebSocketServer, WebSocketServerConfig,
};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinSet,
};

use callers::ZrpcRoom;
use clients::Clients;
use devices::Devices;
use generated::{Line, RoomServer};

#[path = "mixed_room/callers.rs"]
mod callers;
#[path = "mixed_room/clients.rs"]
mod clients;
#[path = "mixed_room/devices.rs"]
mod devices;
#[cfg(test)]
#[path = "mixed_room/tests.rs"]
mod tests;

/// What `build.rs` has generated from `proto/room.proto`.
#[allow(missing_docs, unreachable_pub, dead_code, reason = "generated code")]
mod generated {
    headwater_rpc::include_proto!("room");
}

/// The hub, the group of browsers in it, and the push channel.
const ROOM: &str = "room";

/// Lines that wait to be carried; whoever says one more waits.
const SAID_MAX: usize = 64;
/// Lines that a device or a caller may be behind; then it misses some.
const HEARD_MAX: usize = 1024;

/// Nobody else reaches a service on loopback whose key is in its source; take another one elsewhere.
const EXAMPLE_KEY: &str = "only-an-example-so-everybody-knows-it";

/// A room for browsers, zrpc callers, pw_rpc devices, and consumers of a push channel.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where browsers connect. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen_clients: SocketAddr,
    /// Where consumers of the push channel dial in, and this application itself.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen_upstream: SocketAddr,
    /// Where zrpc callers and pw_rpc devices connect.
    #[arg(long, default_value = "127.0.0.1:8070")]
    listen_devices: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let room = Room::open(Arguments::parse()).await?;
    println!("browsers: {}", room.browser_url("somebody")?);
    println!("devices: {} (room.Room/Enter)", room.devices);
    println!("zrpc: {} (room.say, room.listen)", room.devices);
    println!("push channel `{ROOM}`: {}", room.upstreams);
    println!("ready");
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// The room and all its doors; closed when dropped.
struct Room {
    /// The endpoint that browsers know.
    endpoint: String,
    /// Where consumers of the push channel dial in.
    upstreams: String,
    /// Where devices and callers connect.
    devices: String,
    key: AccessKey,
    _running: JoinSet<()>,
}

impl Room {
    async fn open(arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let key = AccessKey::new(EXAMPLE_KEY)?;
        let listener = Listener::bind(arguments.listen_clients, ListenerConfig::default()).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let service = Service::new(ServiceConfig {
            endpoints: vec![endpoint.clone()],
            // Consumers of the first version send no credential.
            channels: ChannelsConfig {
                allow_anonymous: true,
                ..ChannelsConfig::default()
            },
            ..ServiceConfig::new(AccessKeys::new(key.clone(), None))
        });
        let mut running = JoinSet::new();
        let url = format!("http://{}", arguments.listen_upstream);
        let transport = UrlServer::bind(&url, &ServerOptions::default()).await?;
        let upstreams = transport.url().to_owned();
        let server = service.upstream_server(transport);
        running.spawn(async move { drop(server.serve().await) });
        let serving = service.clone();
        running.spawn(async move {
            serving
                .serve_clients(listener, std::future::pending())
                .await;
        });

        let (said, lines) = mpsc::channel(SAID_MAX);
        let (heard, _) = broadcast::channel(HEARD_MAX);
        let upstream = upstream(&service, &upstreams, said.clone())?;
        let hub = upstream.hub();
        running.spawn(async move { drop(upstream.run().await) });
        let channel = ChannelClient::new(ChannelConfig {
            url: upstreams.clone(),
            connection_string: service.connection_string(),
            ..ChannelConfig::default()
        })?;
        running.spawn(bridge(
            lines,
            hub.clone(),
            heard.clone(),
            channel.producer(ROOM),
        ));
        let devices = devices(arguments.listen_devices, said, heard, &mut running).await?;
        hub.registered().await;
        Ok(Self {
            endpoint,
            upstreams,
            devices,
            key,
            _running: running,
        })
    }

    /// With what a browser comes in.
    fn browser_url(&self, user: &str) -> Result<String, Box<dyn Error>> {
        let grant = ClientGrant {
            user_id: Some(user),
            ..ClientGrant::new(ROOM)
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(client_url(
            &self.endpoint,
            &self.key,
            &grant,
            now.as_secs(),
        )?)
    }
}

/// The application's side of the hub, by WpsRpc.
fn upstream(
    service: &Service,
    url: &str,
    said: mpsc::Sender<Line>,
) -> Result<Upstream, Box<dyn Error>> {
    let config = UpstreamConfig {
        url: url.to_owned(),
        connection_string: service.connection_string(),
        mapping: Mapping::Calls,
        hub: ROOM.into(),
        ..UpstreamConfig::default()
    };
    Ok(Upstream::new(config, Clients::new(said))?)
}

/// Serves devices and callers on one port: devices name the subprotocol `pw_rpc`, and callers none.
async fn devices(
    address: SocketAddr,
    said: mpsc::Sender<Line>,
    heard: broadcast::Sender<Line>,
    running: &mut JoinSet<()>,
) -> Result<String, Box<dyn Error>> {
    let config = WebSocketServerConfig {
        unnamed: Unnamed::Zrpc,
        ..WebSocketServerConfig::default()
    };
    let transport = WebSocketServer::bind(address, config).await?;
    let url = format!("ws://{}/", transport.local_addr());
    let router = Router::new();
    let room = Devices::new(said.clone(), heard.clone());
    router.add(RoomServer::new(room).into_service())?;
    ZrpcRoom::new(said, heard).add_to(&router);
    let server = Server::new(transport, router, ServerConfig::default());
    running.spawn(async move { drop(server.serve().await) });
    Ok(url)
}

/// Carries each line to everybody, in one order: to the browsers through the hub, to devices and callers through their
/// streams, and to the consumers through the channel.
async fn bridge(
    mut lines: mpsc::Receiver<Line>,
    hub: Hub,
    heard: broadcast::Sender<Line>,
    channel: Producer,
) {
    while let Some(line) = lines.recv().await {
        let text = format!("{}: {}", line.from, line.text);
        // The three are told independently; one that fails is the loss of those who are there.
        if let Err(error) = hub.send_to_group(ROOM, text.clone()).await {
            eprintln!("the browsers miss a line: {error}");
        }
        if let Err(error) = channel.submit(text).await {
            eprintln!("the push channel misses a line: {error}");
        }
        // Nobody may be listening.
        let _ = heard.send(line);
    }
}
