//! The smallest service, and its client.
//!
//! ```sh
//! cargo run --example hello_world -- --listen 127.0.0.1:50051
//! cargo run --example hello_world -- --call http://127.0.0.1:50051 --name you
//! ```
//!
//! With `RUST_LOG=info` each side prints the span of every call when it ends.

use std::{
    convert::Infallible, io::IsTerminal as _, net::SocketAddr, process::ExitCode, time::Duration,
};

use clap::{ArgGroup, Parser};
use headwater_rpc::{
    CallOptions, Code, Router, Server, Status,
    interceptor::{
        Filter,
        trace::{TracingClient, TracingConfig, TracingServer},
    },
    stub::Request,
};
use headwater_transports::{ClientOptions, ServerOptions, UrlServer};
use helloworld::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

/// What `build.rs` has generated from `proto/hello_world.proto`.
#[allow(missing_docs, unreachable_pub, reason = "generated code")]
mod helloworld {
    headwater_rpc::include_proto!("helloworld");
}

/// Greets, or has itself greeted, by gRPC over HTTP/2 or another transport.
///
/// Start a server in one terminal with --listen, and call it from another with --call.
#[derive(Debug, Parser)]
#[command(group = ArgGroup::new("role").args(["listen", "call"]).required(true))]
#[command(after_help = "Any gRPC client can call it: the service is proto/hello_world.proto.")]
struct Arguments {
    /// Serves at this URL, such as http://127.0.0.1:50051, ws://127.0.0.1:50051 or unix:PATH; an address alone is one of http://.
    /// Port 0 takes a free one.
    #[arg(long, value_name = "URL", value_parser = with_scheme)]
    listen: Option<String>,
    /// Calls the server at this URL, such as http://127.0.0.1:50051.
    #[arg(long, value_name = "URL")]
    call: Option<String>,
    /// Who is greeted.
    #[arg(long, default_value = "world", conflicts_with = "listen")]
    name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let outcome = match (arguments.listen, arguments.call) {
        (Some(url), _) => serve(&url).await,
        (None, Some(url)) => call(&url, arguments.name).await,
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

struct English;

impl Greeter for English {
    async fn say_hello(&self, request: HelloRequest) -> Result<HelloReply, Status> {
        if request.name.is_empty() {
            return Err(Status::new(Code::InvalidArgument, "the name is empty"));
        }
        let message = format!("Hello {}!", request.name);
        Ok(HelloReply { message })
    }
}

fn router() -> Router {
    let router = Router::new();
    let added = router.add(GreeterServer::new(English).into_service());
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
    let tracing = TracingServer::new(TracingConfig::default());
    let server = Server::builder(transport, router())
        .intercept(Filter::all(), tracing)
        .build();
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

async fn call(url: &str, name: String) -> Result<(), Status> {
    let tracing = TracingClient::new(TracingConfig::default());
    let client = headwater_transports::client(url, &ClientOptions::default())?
        .intercept(Filter::all(), tracing)
        .build();
    let greeter = GreeterClient::new(client.clone());
    tokio::select! {
        // A client works while this runs.
        stopped = client.connect() => stopped,
        greeted = greet(&greeter, name) => {
            println!("{}", greeted?);
            Ok(())
        }
    }
}

/// `client.say_hello(HelloRequest { name })` is all that it takes without a deadline.
async fn greet(client: &GreeterClient, name: String) -> Result<String, Status> {
    let options = CallOptions {
        timeout: Some(Duration::from_secs(5)),
        ..CallOptions::default()
    };
    let request = Request {
        options,
        ..Request::new(HelloRequest { name })
    };
    let response = client.say_hello_with(request).await?;
    Ok(response.message.message)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};
    use headwater_rpc::{Client, Code, Server, ServerConfig};

    use super::{Arguments, GreeterClient, greet, router};

    /// A client and a server in this process: no socket, and nothing else is different.
    #[tokio::test]
    async fn whoever_has_a_name_is_greeted() {
        let (client, server) = headwater_in_process::pair();
        let client = Client::new(client);
        let server = Server::new(server, router(), ServerConfig::default());
        let greeter = GreeterClient::new(client.clone());
        let calls = async {
            let hello = greet(&greeter, "Rhine".into()).await;
            assert_eq!(hello.as_deref(), Ok("Hello Rhine!"));
            let nobody = greet(&greeter, String::new()).await;
            assert_eq!(
                nobody.map_err(|status| status.code),
                Err(Code::InvalidArgument)
            );
        };
        tokio::select! {
            () = calls => {}
            stopped = client.connect() => panic!("the client stopped: {stopped:?}"),
            stopped = server.serve() => panic!("the server stopped: {stopped:?}"),
        }
    }

    #[test]
    fn the_command_line_says_one_of_two_things() {
        Arguments::command().debug_assert();
        for (arguments, valid) in [
            (&["--listen", "127.0.0.1:0"][..], true),
            (&["--listen", "ws://127.0.0.1:0"], true),
            (&["--call", "http://127.0.0.1:1"], true),
            (&[], false),
            (
                &["--listen", "127.0.0.1:0", "--call", "http://127.0.0.1:1"],
                false,
            ),
            (&["--listen", "127.0.0.1:0", "--name", "you"], false),
        ] {
            let parsed = Arguments::try_parse_from([&["hello_world"], arguments].concat());
            assert_eq!(parsed.is_ok(), valid, "{arguments:?}");
        }
    }
}
