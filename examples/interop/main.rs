//! The published gRPC interop cases, on Headwater: a server of `grpc.testing.TestService`, and a client that runs the cases
//! against any server. What the cases are is in `interop-test-descriptions.md` of gRPC. The server also has the services
//! that the clients of Pigweed's pw_rpc call, `pw.rpc.EchoService` and `pw.rpc.Benchmark`.
//!
//! ```text
//! cargo run --release --example interop -- --listen http://127.0.0.1:10000
//! cargo run --release --example interop -- --run all http://127.0.0.1:10000
//! cargo run --release --example interop -- --call-unary http://127.0.0.1:10000
//! ```

mod cases;
mod compression;
mod endpoint;
mod pigweed;
mod protocol;
mod serve;
mod service;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgGroup, Parser};
use headwater_rpc::{
    CallOptions, Status,
    stub::Request,
    tls::{ClientTls, Pem},
};
use headwater_transports::{ClientOptions, ServerOptions};

use crate::{
    endpoint::{Certificate, Target},
    protocol::{SimpleRequest, TestServiceClient},
};

/// How long the call of `--call-unary` may take, the connection included.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// The published gRPC interop cases: serves them, runs them, or makes one call.
#[derive(Debug, Parser)]
#[command(max_term_width = 100, after_help = AFTER_HELP)]
#[command(group(ArgGroup::new("what").required(true).args(["listen", "run", "call_unary"])))]
struct Arguments {
    /// Serves grpc.testing.TestService, pw.rpc.EchoService, pw.rpc.Benchmark, health and reflection on all of these URLs at once, until SIGTERM or SIGINT. Port 0 takes a free one.
    #[arg(long, value_name = "URL", num_args = 1..)]
    listen: Vec<String>,
    /// Runs these cases, separated by commas, against the server at URL; `all` are the published ones.
    #[arg(long, value_name = "CASE", value_delimiter = ',', requires = "url")]
    run: Vec<String>,
    /// Makes one unary call to the server at URL, with a deadline of 3 s.
    #[arg(long, requires = "url")]
    call_unary: bool,
    /// The certificates, as PEM, that a server of an https, h3 or wss URL is trusted by. Without: those of the system.
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    ca: Option<PathBuf>,
    /// The certificate chain, as PEM, of the https, h3 and wss URLs that are listened on.
    #[arg(long, value_name = "FILE", requires_all = ["listen", "key"])]
    cert: Option<PathBuf>,
    /// The private key of --cert, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The certificates, as PEM, that clients of those URLs have to be certified by. Without: they need no certificate.
    #[arg(long, value_name = "FILE", requires = "cert")]
    client_ca: Option<PathBuf>,
    /// The server that --run and --call-unary call, such as http://127.0.0.1:10000.
    #[arg(conflicts_with = "listen")]
    url: Option<String>,
}

const AFTER_HELP: &str = "\
What is printed:
  --listen      `listening URL` for each URL, with the port that was taken; then `ready`.
  --run         One line a case: `ok CASE`, or `failed CASE: REASON`. The exit code is 1 if any failed.
  --call-unary  One line: `status CODE MESSAGE`, where CODE is the name that gRPC has for it, such as OK or UNAVAILABLE.
                The message may be empty. The exit code is 0 if it is OK, and else 1.

Examples:
  interop --listen http://127.0.0.1:10000
  interop --run all http://127.0.0.1:10000
  interop --run large_unary,ping_pong http://127.0.0.1:10000
  interop --call-unary http://127.0.0.1:10000
  interop --listen https://127.0.0.1:10001 unix:/tmp/interop.sock --cert server.pem --key server.key
  interop --run all --ca ca.pem https://127.0.0.1:10001";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let target = |url| Target {
        url,
        options: ClientOptions {
            tls: ClientTls {
                roots: arguments.ca.map(Pem::File),
                ..ClientTls::default()
            },
            ..ClientOptions::default()
        },
    };
    match arguments.url {
        Some(url) if arguments.call_unary => call_unary(&target(url)).await,
        Some(url) => cases::run(&arguments.run, &target(url)).await,
        None => {
            let files = arguments.cert.zip(arguments.key);
            let certificate = files.map(|(chain, key)| Certificate {
                chain,
                key,
                client_ca: arguments.client_ca,
            });
            let options = certificate.map_or_else(ServerOptions::default, Certificate::options);
            serve::serve(&arguments.listen, &options).await
        }
    }
}

/// Makes one call and prints what came of it.
async fn call_unary(target: &Target) -> ExitCode {
    let (code, message, exit) = match one_call(target).await {
        Ok(()) => ("OK", String::new(), ExitCode::SUCCESS),
        Err(status) => (status.code.name(), status.message, ExitCode::FAILURE),
    };
    let message: Vec<&str> = message.split_whitespace().collect();
    let line = format!("status {code} {}", message.join(" "));
    println!("{}", line.trim_end());
    exit
}

async fn one_call(target: &Target) -> Result<(), Status> {
    let connected = target.connect()?;
    let client = TestServiceClient::new(connected.client.clone());
    let request = Request {
        options: CallOptions {
            timeout: Some(CALL_TIMEOUT),
            ..CallOptions::default()
        },
        ..Request::new(SimpleRequest::default())
    };
    client.unary_call_with(request).await?;
    Ok(())
}
