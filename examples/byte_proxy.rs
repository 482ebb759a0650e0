//! Forwards every call to another server, without knowing what is called: no `.proto`, no generated code.
//!
//! ```sh
//! cargo run --example hello_world -- --listen 127.0.0.1:50051
//! cargo run --example byte_proxy -- --listen 127.0.0.1:50052 --to http://127.0.0.1:50051
//! cargo run --example hello_world -- --call http://127.0.0.1:50052
//! ```

use std::{net::SocketAddr, process::ExitCode};

use clap::Parser;
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig};
use headwater_rpc::{Client, Code, Router, Server, ServerConfig, Status};

#[path = "byte_proxy/forward.rs"]
mod forward;
#[cfg(test)]
#[path = "byte_proxy/tests.rs"]
mod tests;

/// Forwards every gRPC call to another server, whatever its method and its messages are.
///
/// Metadata, messages, half-close, status, cancellation and what is left of the deadline pass in both directions, and
/// whoever reads slowly slows the other side down.
#[derive(Debug, Parser)]
struct Arguments {
    /// Serves at this address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The server that is called, such as http://127.0.0.1:50051.
    #[arg(long, value_name = "URL")]
    to: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("error: {status}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C, and then until the calls that are open have ended.
async fn run(arguments: &Arguments) -> Result<(), Status> {
    let client = Client::new(Http2Client::new(
        &arguments.to,
        &Http2ClientConfig::default(),
    )?);
    let bound = Http2Server::bind(arguments.listen, Http2ServerConfig::default()).await;
    let transport = bound.map_err(|error| {
        let message = format!("cannot listen at {}: {error}", arguments.listen);
        Status::new(Code::Unavailable, message)
    })?;
    println!("ready http://{}", transport.local_addr());
    let router = Router::new();
    forward::serve_on(&router, client.clone());
    let server = Server::new(transport, router, ServerConfig::default());
    let stop = async {
        // Without signals it serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        server.begin_graceful_shutdown();
        std::future::pending().await
    };
    tokio::select! {
        served = server.serve() => served,
        stopped = client.connect() => stopped,
        never = stop => never,
    }
}
