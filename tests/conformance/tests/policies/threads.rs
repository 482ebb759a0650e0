//! Many calls under policies at once, from many threads.

use headwater_conformance::{
    TRANSPORTS,
    control::{done, read},
};

use super::*;

const TASKS: u64 = 8;
const CALLS: u64 = 40;

/// Attempts that fail, win and are given up at the same time, and calls that are dropped in between: every call that is
/// not dropped gets back what it sent, once and in order, and nothing is left over.
#[test]
fn u_12_policies_hold_on_many_threads() {
    for &transport in TRANSPORTS {
        for policy in [retry(1000), hedging(3, 0), hedging(3, 1)] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(4)
                .enable_all()
                .build()
                .expect("a runtime can be built");
            let all = async {
                let pair = Fixture::with_service_config(transport, executing(policy)).await;
                let flaky = Flaky::serve(&pair.router);
                let config = RetryConfig {
                    attempts_max: 1000,
                    ..RetryConfig::default()
                };
                pair.client.set_retry_config(config);
                if let ExecutionPolicy::Retry(_) = policy {
                    let fails = Reply::PushBack(Code::Unavailable, "0");
                    let reads = Reply::ReadAndFail(Code::Unavailable);
                    flaky.reply((0..TASKS * CALLS).map(|index| match index % 4 {
                        0 | 1 => fails.clone(),
                        2 => reads.clone(),
                        _ => Reply::Echo,
                    }));
                }
                let pair = Arc::new(pair);
                let tasks: Vec<_> = (0..TASKS)
                    .map(|task| tokio::spawn(calls(Arc::clone(&pair), task)))
                    .collect();
                for task in tasks {
                    task.await.expect("no panic");
                }
                while pair.server.open_calls() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            let done = runtime
                .block_on(async { tokio::time::timeout(Duration::from_secs(60), all).await });
            assert!(done.is_ok(), "it hangs on {transport:?} with {policy:?}");
        }
    }
}

async fn calls(pair: Arc<Fixture>, task: u64) {
    for call in 0..CALLS {
        let (sender, mut receiver) = pair.call(FLAKY).await;
        let messages: Vec<_> = (0..20)
            .map(|index| Bytes::from(format!("{task} {call} {index}")))
            .collect();
        for (index, message) in messages.iter().enumerate() {
            sender.send(message.clone()).await.expect("it is open");
            if index % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        if call % 5 == 0 {
            continue;
        }
        done(&sender);
        let (echoed, outcome) = read(&mut receiver).await;
        assert_eq!(outcome, Ok(()), "{task} {call}");
        assert!(echoed == messages, "{task} {call}: {echoed:?}");
    }
}
