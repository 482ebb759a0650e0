//! What an event costs: `cargo run --release -p headwater-bench -- link`.
//!
//! Each contender carries the same events to the same handler and its answers back, with nothing in front: no
//! WebSocket, and but for `link and hub`, which does all that the service does for an event, no hub. The service's end and the application's run in one process, each on a thread and a runtime of
//! its own, over TCP on loopback, so that the CPU time of the process is that of both ends together.
//!
//! The contenders take turns in each round. A table shows medians with the least and the greatest of the rounds; where
//! those overlap, no difference is claimed.

mod contender;
mod hub;
mod link;
mod post;
mod report;
mod unary;
mod work;

use std::time::Duration;

use clap::{Parser, Subcommand};

use contender::{Contender, cpu_time};
use report::{Cell, Report};

/// Measures.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Event, handler, ack: the link on HTTP/2 against one POST and one tonic unary call an event.
    Link {
        /// How often each contender runs.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
        /// How long one run lasts, in milliseconds; it is cut at the end of an event.
        #[arg(long, default_value_t = 400)]
        run_ms: u64,
        /// Measures only so many under way; repeatable.
        #[arg(long, default_values_t = IN_FLIGHT)]
        in_flight: Vec<usize>,
        /// Measures the link alone, for a profiler.
        #[arg(long)]
        alone: bool,
    },
}

/// How many events are under way at once.
const IN_FLIGHT: [usize; 3] = [1, 8, 64];

fn main() {
    let Command::Link {
        rounds,
        run_ms,
        in_flight,
        alone,
    } = Arguments::parse().command;
    let run = Duration::from_millis(run_ms);
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(link::LinkOverHttp2::start())];
    if !alone {
        contenders.push(Box::new(post::PostOverHttp1::start()));
        contenders.push(Box::new(unary::UnaryOverTonic::start()));
        contenders.push(Box::new(hub::LinkAndHub::start()));
    }
    let names: Vec<_> = contenders.iter().map(|it| it.name()).collect();
    let mut report = Report::new(names, rounds, run);
    for in_flight in in_flight {
        let mut cells = vec![Cell::default(); contenders.len()];
        // The first turn warms up and is not counted.
        for round in 0..=rounds {
            for (contender, cell) in contenders.iter().zip(&mut cells) {
                let (cpu, wall) = (cpu_time(), std::time::Instant::now());
                let events = contender.run(in_flight, run);
                let (cpu, wall) = (cpu_time() - cpu, wall.elapsed());
                if round > 0 {
                    cell.add(events, cpu, wall);
                }
            }
        }
        report.add(in_flight, cells);
    }
    println!("{report}");
}
