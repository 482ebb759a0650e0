//! The chat application in a process of its own. It dials the service, so it needs no open port.
//!
//! ```text
//! cargo run --example chat-upstream -- --connection-string "Endpoint=http://127.0.0.1:8080;AccessKey=…"
//! ```

use std::{error::Error, io::IsTerminal as _};

use clap::Parser;
use headwater_examples::chat_app::{Chat, HUB};
use headwater_upstream::{ConnectionString, Upstream, UpstreamConfig};

/// A chat application behind a Headwater service.
#[derive(Parser)]
struct Arguments {
    /// Where the service takes upstreams.
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    service: String,
    /// As `headwater serve` prints it.
    #[arg(long, env = "HEADWATER_CONNECTION_STRING", hide_env_values = true)]
    connection_string: ConnectionString,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let Arguments {
        service,
        connection_string,
    } = Arguments::parse();
    let config = UpstreamConfig {
        url: service,
        connection_string: Some(connection_string),
        hub: HUB.into(),
        app: "chat".into(),
        app_version: "Rust example".into(),
        ..UpstreamConfig::default()
    };
    let upstream = Upstream::new(config, Chat)?;
    let hub = upstream.hub();
    tokio::spawn(async move {
        if hub.registered().await {
            println!("ready");
        }
    });
    upstream.run_until(asked_to_stop()).await?;
    Ok(())
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
