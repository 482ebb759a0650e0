//! Service and application in one process: the only port is the one for clients.
//!
//! ```text
//! cargo run --example chat
//! ```
//!
//! It prints a URL for a WebSocket client, such as `websocat --protocol json.webpubsub.azure.v1 URL`.

use std::{
    error::Error,
    io::IsTerminal as _,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use headwater::{
    Service, ServiceConfig,
    auth::{AccessKey, AccessKeys, ClientGrant, client_url},
};
use headwater_examples::chat_app::{Chat, HUB};
use headwater_upstream::{Upstream, UpstreamConfig};
use headwater_websocket::{Listener, ListenerConfig};

/// A chat: the service and its application in one process.
#[derive(Parser)]
struct Arguments {
    /// Where clients connect. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen_clients: SocketAddr,
    /// The key that tokens are signed with: 32 bytes or more.
    #[arg(long, env = "HEADWATER_ACCESS_KEY", hide_env_values = true)]
    access_key: Option<String>,
}

/// Nobody else reaches a service on loopback whose key is in its source; take another one elsewhere.
const EXAMPLE_KEY: &str = "only-an-example-so-everybody-knows-it";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = Arguments::parse();
    let key = AccessKey::new(arguments.access_key.as_deref().unwrap_or(EXAMPLE_KEY))?;
    let listener = Listener::bind(arguments.listen_clients, ListenerConfig::default()).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let service = Service::new(ServiceConfig {
        endpoints: vec![endpoint.clone()],
        ..ServiceConfig::new(AccessKeys::new(key.clone(), None))
    });

    let config = UpstreamConfig {
        connection_string: service.connection_string(),
        hub: HUB.into(),
        app: "chat".into(),
        ..UpstreamConfig::default()
    };
    let upstream = Upstream::over(service.connect_in_process(), config, Chat)?;
    let hub = upstream.hub();
    let application = tokio::spawn(upstream.run());
    if hub.registered().await {
        let grant = ClientGrant {
            user_id: Some("example"),
            ..ClientGrant::new(HUB)
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let url = client_url(&endpoint, &key, &grant, now.as_secs())?;
        println!("example client URL: {url}");
        println!("ready {endpoint}");
    }
    tokio::select! {
        () = service.serve_clients(listener, std::future::pending()) => {}
        ended = application => ended??,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    Ok(())
}
