//! Calls that workers take off a queue.

use std::sync::Arc;

use headwater_rpc::{Code, IncomingCall, Metadata, Method, Router, Shape};
use headwater_websocket::zrpc::{Framing, WorkQueue};

use super::support::{Serving, serve, within};

async fn outcome(serving: &Serving, method: &str) -> Result<usize, Code> {
    let proxy = serving.proxy(Framing::Numbered);
    let replies = proxy.call(method, "x").await.expect("it starts");
    let replies = within("the answer", replies.all()).await;
    replies
        .map(|replies| replies.len())
        .map_err(|status| status.code)
}

fn queued(queue: WorkQueue) -> Router {
    let router = Router::new();
    let queue: Arc<dyn headwater_rpc::CallHandler> = Arc::new(queue);
    for path in ["/jobs/create", "/jobs/typo"] {
        router.insert(path, Shape::ServerStreaming, Arc::clone(&queue));
    }
    router
}

fn commands() -> Vec<Method> {
    let create = Method::stream(
        "create",
        Shape::ServerStreaming,
        async |call: IncomingCall| {
            for reply in ["one", "two"] {
                let _ = call.sender.send(reply.into()).await;
            }
            let _ = call.sender.finish(Ok(()), Metadata::new());
        },
    );
    vec![create]
}

/// S2-10: two workers share a queue, and their replies stream back.
#[tokio::test]
async fn s2_10_a_call_goes_to_a_worker_and_its_replies_stream_back() {
    let (queue, worker) = WorkQueue::original();
    let second = worker.clone();
    for worker in [worker, second] {
        tokio::spawn(async move { worker.run(&commands()).await });
    }
    let serving = serve(queued(queue)).await;
    for _ in 0..10 {
        assert_eq!(outcome(&serving, "jobs.create").await, Ok(2));
    }
}

/// S2-10: the queue has a bound, and what is over it is told so.
#[tokio::test]
async fn s2_10_a_full_queue_refuses() {
    let (queue, worker) = WorkQueue::new(1);
    let serving = serve(queued(queue)).await;
    let proxy = serving.proxy(Framing::Numbered);
    let waits = proxy.call("jobs.create", "x").await.expect("it starts");
    within("the call to wait", async {
        while serving.server.open_calls() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        outcome(&serving, "jobs.create").await,
        Err(Code::ResourceExhausted)
    );
    tokio::spawn(async move { worker.run(&commands()).await });
    let replies = within("the first call", waits.all()).await;
    assert_eq!(
        replies.map(|replies| replies.len()),
        Ok(2),
        "it had its place"
    );
}

/// S2-10: without a worker there is nobody to wait for.
#[tokio::test]
async fn s2_10_a_queue_without_workers_is_unavailable() {
    let (queue, worker) = WorkQueue::new(1);
    drop(worker);
    let serving = serve(queued(queue)).await;
    assert_eq!(
        outcome(&serving, "jobs.create").await,
        Err(Code::Unavailable)
    );
}

/// S2-46: what no worker knows ends its call and leaves its place to others.
#[tokio::test]
async fn s2_46_an_unknown_command_is_unimplemented_and_frees_the_queue() {
    let (queue, worker) = WorkQueue::new(1);
    tokio::spawn(async move { worker.run(&commands()).await });
    let serving = serve(queued(queue)).await;
    for _ in 0..10 {
        assert_eq!(
            outcome(&serving, "jobs.typo").await,
            Err(Code::Unimplemented)
        );
        assert_eq!(outcome(&serving, "jobs.create").await, Ok(2));
    }
    serving.idle().await;
}

/// S2-46, S2-47: a call that was given up while it waited takes no worker's time.
#[tokio::test]
async fn s2_47_a_call_that_was_given_up_is_not_worked_on() {
    let (queue, worker) = WorkQueue::new(2);
    let serving = serve(queued(queue)).await;
    let proxy = serving.proxy(Framing::Numbered);
    let given_up = proxy.call("jobs.typo", "x").await.expect("it starts");
    within("the call to wait", async {
        while serving.server.open_calls() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(given_up);
    serving.idle().await;
    let _waits = proxy.call("jobs.create", "x").await.expect("it starts");
    let next = within("the next call", worker.next())
        .await
        .expect("the queue is there");
    assert_eq!(&*next.path, "/jobs/create");
}

/// S2-27: a worker that waits is woken by the call itself; with the clock stopped, no timer could.
#[tokio::test(start_paused = true)]
async fn s2_27_a_waiting_worker_is_woken_by_the_call() {
    let (queue, worker) = WorkQueue::new(1);
    let (client, server) = headwater_in_process::pair();
    let client = headwater_rpc::Client::new(client);
    let server = headwater_rpc::Server::new(
        server,
        queued(queue),
        headwater_rpc::ServerConfig::default(),
    );
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    tokio::spawn(async move { server.serve().await });
    let before = tokio::time::Instant::now();
    let takes = tokio::spawn(async move { worker.next().await.is_some() });
    tokio::task::yield_now().await;
    let proxy = headwater_websocket::zrpc::Proxy::new(client);
    let _replies = proxy.call("jobs.create", "x").await.expect("it starts");
    assert!(takes.await.expect("it does not panic"));
    assert_eq!(
        before.elapsed(),
        std::time::Duration::ZERO,
        "no timer had to pass"
    );
}
