//! The `headwater` command.

mod channels;
mod clients;
mod demo;
mod run;
mod serve;
mod signals;
mod tls;
mod token;
mod upstreams;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A self-hosted Web PubSub service.
///
/// Clients (browsers, phones, devices) connect by WebSocket and speak Azure Web PubSub's subprotocols, so Azure's own client
/// libraries work unchanged. Your application dials in and holds one RPC stream: events flow to it, and its answers and
/// commands flow back.
#[derive(Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Demo(demo::Demo),
    Token(token::Token),
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    // Logs go to stderr; stdout is for what a program may read.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .init();
    let result = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Token(token) => token.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headwater: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the command failed, for people.
type Error = Box<dyn std::error::Error + Send + Sync>;
