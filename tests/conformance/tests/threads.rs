//! The same calls from many threads at once.

use std::sync::Arc;

use bytes::Bytes;
use headwater_conformance::{
    Fixture, TRANSPORTS,
    control::{ECHO, RUN, done, read},
};
use headwater_rpc::{CallOptions, Metadata};

/// Senders on several threads, one receiver, and unary calls and cancels in between: nothing is lost, doubled or stuck.
#[test]
fn many_threads_send_on_one_call_while_others_come_and_go() {
    for &transport in TRANSPORTS {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(async {
            let pair = Arc::new(Fixture::new(transport).await);
            let (sender, mut receiver) = pair.call(RUN).await;
            let tasks: Vec<_> = (0..8_usize)
                .map(|task| {
                    let (sender, pair) = (sender.clone(), Arc::clone(&pair));
                    tokio::spawn(async move { some(task, &sender, &pair).await })
                })
                .collect();
            let reading = tokio::spawn(async move { read(&mut receiver).await });
            for task in tasks {
                task.await.expect("no panic");
            }
            done(&sender);
            let (messages, outcome) = reading.await.expect("no panic");
            assert_eq!(outcome, Ok(()), "on {transport:?}");
            assert_eq!(messages.len(), 8 * 500, "on {transport:?}");
            for task in 0..8 {
                let prefix = format!("{task}:");
                let own = messages
                    .iter()
                    .filter(|text| text.starts_with(prefix.as_bytes()));
                let expected = (0..500).map(|index| Bytes::from(format!("{prefix}{index}")));
                assert!(
                    own.cloned().eq(expected),
                    "task {task} in order on {transport:?}"
                );
            }
        });
    }
}

async fn some(task: usize, sender: &headwater_rpc::Sender, pair: &Fixture) {
    for index in 0..500 {
        let line = Bytes::from(format!("echo {task}:{index}"));
        sender.send(line).await.expect("the call is open");
        if index % 50 == 0 {
            assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
            let options = CallOptions::default();
            let cancelled = pair.client.call(RUN, Metadata::new(), options).await;
            drop(cancelled.expect("it opens"));
        }
    }
}
