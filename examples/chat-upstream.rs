//! The chat application. Where the service is, is one setting at its start: the handler does not know.
//!
//! ```text
//! cargo run --example chat-upstream -- --connection-string "Endpoint=http://127.0.0.1:8080;AccessKey=…"
//! cargo run --example chat-upstream -- --service h3://127.0.0.1:8443 --ca root.pem --connection-string "…"
//! cargo run --example chat-upstream -- --service inproc://chat
//! ```
//!
//! It dials the service, so it needs no open port; with `inproc://`, it brings the service along.

use std::{error::Error, io::IsTerminal as _, net::SocketAddr, path::PathBuf};

use clap::Parser;
use headwater::{Service, ServiceConfig, auth::AccessKey};
use headwater_examples::chat_app::{Chat, HUB};
use headwater_in_process::Names;
use headwater_rpc::tls::{ClientTls, Pem};
use headwater_transports::{Scheme, ServerOptions, Url, UrlServer};
use headwater_upstream::{ConnectionString, Upstream, UpstreamConfig};
use headwater_websocket::{Listener, ListenerConfig};

/// A chat application behind a Headwater service, or around one.
#[derive(Parser)]
struct Arguments {
    /// Where the service takes upstreams: http://, https://, h3://, https+h3://, ws:// or wss:// with HOST:PORT, unix:PATH, or inproc://NAME
    /// for a service in this process.
    #[arg(long, default_value = "http://127.0.0.1:8081", value_name = "URL")]
    service: String,
    /// As `headwater serve` prints it. A service in this process knows its own.
    #[arg(long, env = "HEADWATER_CONNECTION_STRING", hide_env_values = true)]
    connection_string: Option<ConnectionString>,
    /// The certificates, as PEM, that a service with TLS is trusted by. Without: those of the system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Where clients connect to a service in this process. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen_clients: SocketAddr,
    /// The key of a service in this process: 32 bytes or more.
    #[arg(long, env = "HEADWATER_ACCESS_KEY", hide_env_values = true)]
    access_key: Option<String>,
}

/// Nobody else reaches a service on loopback whose key is in its source; take another one elsewhere.
const EXAMPLE_KEY: &str = "only-an-example-so-everybody-knows-it";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = Arguments::parse();
    let names = Names::new();
    let mut ready = "ready".to_owned();
    let mut connection_string = arguments.connection_string.clone();
    if Url::parse(&arguments.service)?.scheme() == Scheme::InProcess {
        let (service, clients) = embed(&arguments, &names).await?;
        connection_string = service.connection_string();
        let shown = connection_string.as_ref().ok_or("no connection string")?;
        println!("connection string: {shown}");
        ready += &format!(" clients={clients}");
    }
    let config = UpstreamConfig {
        url: arguments.service,
        tls: ClientTls {
            roots: arguments.ca.map(Pem::File),
            ..ClientTls::default()
        },
        in_process: names,
        connection_string,
        hub: HUB.into(),
        app: "chat".into(),
        app_version: "Rust example".into(),
        ..UpstreamConfig::default()
    };
    let upstream = Upstream::new(config, Chat)?;
    let hub = upstream.hub();
    tokio::spawn(async move {
        if hub.registered().await {
            println!("{ready}");
        }
    });
    upstream.run_until(asked_to_stop()).await?;
    Ok(())
}

/// A service in this process, under the name of the URL, and where its clients connect.
async fn embed(arguments: &Arguments, names: &Names) -> Result<(Service, String), Box<dyn Error>> {
    let key = AccessKey::new(arguments.access_key.as_deref().unwrap_or(EXAMPLE_KEY))?;
    let listener = Listener::bind(arguments.listen_clients, ListenerConfig::default()).await?;
    let clients = format!("http://{}", listener.local_addr()?);
    let service = Service::new(ServiceConfig {
        endpoints: vec![clients.clone()],
        ..ServiceConfig::new(key)
    });
    let options = ServerOptions {
        in_process: names.clone(),
        ..ServerOptions::default()
    };
    let upstreams = UrlServer::bind(&arguments.service, &options).await?;
    let upstreams = service.upstream_server(upstreams);
    tokio::spawn(async move { upstreams.serve().await });
    let serving = service.clone();
    tokio::spawn(async move {
        serving
            .serve_clients(listener, std::future::pending())
            .await;
    });
    Ok((service, clients))
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
