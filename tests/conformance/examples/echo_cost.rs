//! What a message costs: CPU time of both ends for an echo over one stream.
//!
//! `cargo run --release -p headwater-conformance --example echo_cost -- [messages]`

use std::time::Duration;

use bytes::Bytes;
use headwater_conformance::Fixture;
use headwater_conformance::TRANSPORTS;
use headwater_rpc::{CallOptions, IncomingCall, Metadata};

/// CPU time of this process so far, user and system.
fn cpu() -> Duration {
    let mut total = Duration::ZERO;
    for task in std::fs::read_dir("/proc/self/task").expect("linux") {
        let path = task.expect("readable").path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
        total += Duration::from_nanos(nanos.unwrap_or(0));
    }
    total
}

async fn echo(call: IncomingCall) {
    let IncomingCall {
        mut receiver,
        sender,
        ..
    } = call;
    let mut batch = Vec::new();
    while let Ok(1..) = receiver.next_batch(&mut batch).await {
        for message in batch.drain(..) {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    }
    let _ = sender.finish(Ok(()), Metadata::new());
}

async fn round(pair: &Fixture, in_flight: usize, messages: usize) -> Duration {
    let options = CallOptions::default();
    let call = pair
        .client
        .call("/bench/Echo", Metadata::new(), options)
        .await;
    let (sender, mut receiver) = call.expect("it opens");
    let message = Bytes::from_static(&[7; 32]);
    let mut batch = Vec::new();
    for _ in 0..in_flight {
        sender.send(message.clone()).await.expect("open");
    }
    let before = cpu();
    let mut got = 0;
    while got < messages {
        got += receiver.next_batch(&mut batch).await.expect("open");
        for message in batch.drain(..) {
            sender.send(message).await.expect("open");
        }
    }
    cpu() - before
}

fn main() {
    let messages: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(200_000);
    for &transport in TRANSPORTS {
        for in_flight in [1, 8, 64, 512] {
            let messages = if in_flight == 1 {
                messages / 10
            } else {
                messages
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let pair = Fixture::new(transport).await;
                pair.router.stream("/bench/Echo", echo);
                round(&pair, in_flight, messages / 10).await;
                let mut costs = Vec::new();
                for _ in 0..5 {
                    let cpu = round(&pair, in_flight, messages).await;
                    let each = u32::try_from(messages).expect("not that many");
                    costs.push(cpu / each);
                }
                costs.sort();
                println!(
                    "{transport:?} in flight {in_flight}: {:?} cpu a message (median of 5, {:?} to {:?})",
                    costs[2], costs[0], costs[4]
                );
            });
        }
    }
}
