//! All four kinds of call, in a service that knows where rivers begin.
//!
//! ```sh
//! cargo run --example route_guide -- --listen 127.0.0.1:50051
//! cargo run --example route_guide -- --call http://127.0.0.1:50051
//! ```

use std::{convert::Infallible, net::SocketAddr, process::ExitCode};

use clap::{ArgGroup, Parser};
use futures_util::stream;
use headwater_rpc::{Router, Server, ServerConfig, Status};
use headwater_transports::{ClientOptions, ServerOptions, UrlServer};
use routeguide::{Point, Rectangle, RouteGuideClient, RouteGuideServer, RouteNote};

#[path = "route_guide/service.rs"]
mod service;

/// What `build.rs` has generated from `proto/route_guide.proto`.
#[allow(missing_docs, unreachable_pub, reason = "generated code")]
mod routeguide {
    headwater_rpc::include_proto!("routeguide");
}

/// Serves and calls a guide to the sources of rivers: unary, client-streaming, server-streaming and bidirectional.
///
/// Start a server in one terminal with --listen, and have all of its methods called from another with --call.
#[derive(Debug, Parser)]
#[command(group = ArgGroup::new("role").args(["listen", "call"]).required(true))]
#[command(after_help = "Any gRPC client can call it: the service is proto/route_guide.proto.")]
struct Arguments {
    /// Serves at this URL, such as http://127.0.0.1:50051, ws://127.0.0.1:50051 or unix:PATH; an address alone is one of http://.
    /// Port 0 takes a free one.
    #[arg(long, value_name = "URL", value_parser = with_scheme)]
    listen: Option<String>,
    /// Calls the server at this URL, such as http://127.0.0.1:50051.
    #[arg(long, value_name = "URL")]
    call: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.listen, arguments.call) {
        (Some(url), _) => serve(&url).await,
        (None, Some(url)) => call(&url).await,
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

fn router() -> Router {
    let router = Router::new();
    let guide = RouteGuideServer::new(service::Guide::default());
    let added = router.add(guide.into_service());
    added.expect("no other service is there");
    router
}

fn with_scheme(listen: &str) -> Result<String, Infallible> {
    let is_address = listen.parse::<SocketAddr>().is_ok();
    let scheme = if is_address { "http://" } else { "" };
    Ok(format!("{scheme}{listen}"))
}

/// Serves until Ctrl-C, and then until the calls that are open have ended.
async fn serve(url: &str) -> Result<(), Status> {
    // The scheme of the URL chooses the transport.
    let transport = UrlServer::bind(url, &ServerOptions::default()).await?;
    println!("ready {}", transport.url());
    let server = Server::new(transport, router(), ServerConfig::default());
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
        never = stop => never,
    }
}

async fn call(url: &str) -> Result<(), Status> {
    let client = headwater_transports::client(url, &ClientOptions::default())?.build();
    let guide = RouteGuideClient::new(client.clone());
    tokio::select! {
        // A client works while this runs.
        stopped = client.connect() => stopped,
        toured = tour(&guide) => {
            for line in toured? {
                println!("{line}");
            }
            Ok(())
        }
    }
}

/// One call of each kind, and what came of it.
async fn tour(guide: &RouteGuideClient) -> Result<Vec<String>, Status> {
    let mut lines = Vec::new();

    // Unary: a message for a message.
    let rhine = service::SOURCES[2].point();
    let feature = guide.get_feature(rhine).await?;
    lines.push(format!("There begins the {}.", feature.name));

    // Server-streaming: a message for many. They come as the service sends them.
    let alps = Rectangle {
        lo: Some(service::point(45.0, 5.0)),
        hi: Some(service::point(47.0, 11.0)),
    };
    let mut features = guide.list_features(alps).await?;
    while let Some(feature) = features.message().await? {
        lines.push(format!("In the Alps begins the {}.", feature.name));
    }

    // Client-streaming: many for one.
    let walk = service::SOURCES.map(|source| source.point());
    let summary = guide.record_route(stream::iter(walk)).await?;
    let kilometres = summary.distance / 1000;
    lines.push(format!(
        "From source to source it is {kilometres} km, past {} of them.",
        summary.feature_count
    ));

    // Bidirectional: both at once, in two halves.
    let (notes, mut answers) = guide.route_chat().await?;
    for message in ["Nice here.", "Cold water."] {
        notes.send(note(rhine, message)).await?;
    }
    notes.finish()?;
    while let Some(answer) = answers.message().await? {
        lines.push(format!("Somebody noted: {}", answer.message));
    }
    Ok(lines)
}

fn note(location: Point, message: &str) -> RouteNote {
    RouteNote {
        location: Some(location),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use headwater_rpc::{Client, Server, ServerConfig};

    use super::{Arguments, RouteGuideClient, router, tour};

    /// A client and a server in this process: no socket, and nothing else is different.
    #[tokio::test]
    async fn a_tour_sees_all_four_kinds_of_call() {
        let (client, server) = headwater_in_process::pair();
        let client = Client::new(client);
        let server = Server::new(server, router(), ServerConfig::default());
        let guide = RouteGuideClient::new(client.clone());
        let lines = tokio::select! {
            toured = tour(&guide) => toured.expect("every call succeeds"),
            stopped = client.connect() => panic!("the client stopped: {stopped:?}"),
            stopped = server.serve() => panic!("the server stopped: {stopped:?}"),
        };
        assert_eq!(
            lines,
            [
                "There begins the Rhine.",
                "In the Alps begins the Rhine.",
                "In the Alps begins the Rhone.",
                "From source to source it is 998 km, past 5 of them.",
                "Somebody noted: Nice here.",
            ]
        );
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
