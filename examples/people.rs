//! People in a database, and their protobuf in zrpc's frames: its own second example, with typed code on both sides.
//!
//! ```sh
//! cargo run --example people -- --listen 127.0.0.1:8060 --database people.db
//! cargo run --example people -- --call ws://127.0.0.1:8060/ --name ann --email ann@example.com
//! cargo run --example people -- --call ws://127.0.0.1:8060/
//! ```
//!
//! Another client needs no more than a WebSocket and the message of `proto/people.proto`: it calls `people.create_person`,
//! or `create_person` alone.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{ArgGroup, Parser};
use headwater_rpc::{Client, Code, Router, Server, ServerConfig, Status};
use headwater_websocket::{
    Unnamed, WebSocketServer, WebSocketServerConfig, ZrpcConfig,
    zrpc::{ZrpcClient, ZrpcClientConfig},
};

use generated::{People, PeopleClient, PeopleServer, Person};
use store::Store;

#[path = "people/store.rs"]
mod store;
#[cfg(test)]
#[path = "people/tests.rs"]
mod tests;

/// What `build.rs` has generated from `proto/people.proto`.
#[allow(missing_docs, unreachable_pub, reason = "generated code")]
mod generated {
    headwater_rpc::include_proto!("_");
}

/// Keeps people in SQLite, and tells of them over zrpc.
///
/// Start a server in one terminal with --listen, and call it from another with --call: with a --name somebody is kept,
/// without one everybody is listed.
#[derive(Debug, Parser)]
#[command(group = ArgGroup::new("role").args(["listen", "call"]).required(true))]
struct Arguments {
    /// Serves at this address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The file of the database, which is made if it is missing; without it, all is forgotten at the end.
    #[arg(long, value_name = "PATH", conflicts_with = "call")]
    database: Option<PathBuf>,
    /// Calls the server at this URL, such as ws://127.0.0.1:8060/.
    #[arg(long, value_name = "URL")]
    call: Option<String>,
    /// Who is kept.
    #[arg(long, default_value = "", conflicts_with = "listen")]
    name: String,
    /// The address of who is kept.
    #[arg(long, default_value = "", requires = "name", conflicts_with = "listen")]
    email: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.listen, arguments.call) {
        (Some(address), _) => serve(address, arguments.database.as_deref()).await,
        (None, Some(url)) => call(&url, arguments.name, arguments.email).await,
        // The arguments do not allow it.
        (None, None) => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("error: {status}");
            ExitCode::FAILURE
        }
    }
}

/// The registry of methods is the generated service.
fn router(store: Store) -> Router {
    let router = Router::new();
    let added = router.add(PeopleServer::new(store).into_service());
    added.expect("no other service is there");
    router
}

/// Old clients name no subprotocol, and no service either.
fn sockets() -> WebSocketServerConfig {
    let mut config = WebSocketServerConfig {
        unnamed: Unnamed::Zrpc,
        ..WebSocketServerConfig::default()
    };
    config.zrpc = ZrpcConfig {
        root: "people".into(),
        ..ZrpcConfig::default()
    };
    config
}

/// Serves until Ctrl-C, and then until the calls that are open have ended.
async fn serve(address: SocketAddr, database: Option<&Path>) -> Result<(), Status> {
    let store = Store::open(database)?;
    let bound = WebSocketServer::bind(address, sockets()).await;
    let transport = bound.map_err(|error| {
        let message = format!("cannot listen at {address}: {error}");
        Status::new(Code::Unavailable, message)
    })?;
    println!("ready ws://{}/", transport.local_addr());
    let server = Server::new(transport, router(store), ServerConfig::default());
    let stop = async {
        // Without signals it serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.serve_until(stop, None).await
}

async fn call(url: &str, name: String, email: String) -> Result<(), Status> {
    let client = Client::new(ZrpcClient::new(url, &ZrpcClientConfig::default())?);
    let people = PeopleClient::new(client.clone());
    let person = Person {
        name,
        email,
        ..Person::default()
    };
    let print = async {
        let mut came = if person.name.is_empty() {
            people.find_person(person).await?
        } else {
            people.create_person(person).await?
        };
        while let Some(person) = came.message().await? {
            println!(
                "{} {} {} <{}>",
                person.label, person.id, person.name, person.email
            );
        }
        Ok(())
    };
    tokio::select! {
        // A client works while this runs.
        stopped = client.connect() => stopped,
        printed = print => printed,
    }
}
