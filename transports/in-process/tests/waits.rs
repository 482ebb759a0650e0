//! Who waits for what does not come, and what is left of it.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use headwater_rpc::{
    CallOptions, Client, Code, IncomingCall, Metadata, Router, Server, ServerConfig,
};
use tokio::{sync::mpsc, task::yield_now};

const PATH: &str = "/t.T/Call";

/// Counts who holds it.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// Has a future wait once, as a task of its own, and drops it.
fn waits_once(task: &Arc<Task>, future: impl Future) {
    let waker = Waker::from(Arc::clone(task));
    let polled = pin!(future).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending(), "nothing has happened");
}

/// A long call has many who wait for its end for a while, each in a task of its own.
#[tokio::test]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    let (client, server) = headwater_in_process::pair();
    let (given, mut calls) = mpsc::unbounded_channel();
    let router = Router::new();
    router.stream(PATH, move |call: IncomingCall| {
        given.send(call).expect("the test listens");
        async {}
    });
    let server = Server::new(server, router, ServerConfig::default());
    let client = Client::new(client);
    let connecting = client.clone();
    tokio::spawn(async move { server.serve().await });
    tokio::spawn(async move { connecting.connect().await });
    let call = client.call(PATH, Metadata::new(), CallOptions::default());
    let (sender, _receiver) = call.await.expect("a call");
    let call = calls.recv().await.expect("it serves");

    let task = Arc::new(Task);
    waits_once(&task, call.cancellation.cancelled());
    waits_once(&task, call.sender.ended());
    waits_once(&task, sender.ended());
    assert_eq!(Arc::strong_count(&task), 1, "somebody would still wake it");
}

/// A client that stops does not wait for a server that has not started, and may never.
#[tokio::test]
async fn a_client_can_stop_before_its_server_has_started() {
    let (client, _server) = headwater_in_process::pair();
    let client = Client::new(client);
    let connecting = client.clone();
    let connecting = tokio::spawn(async move { connecting.connect().await });
    let calling = client.clone();
    let call = tokio::spawn(async move {
        let call = calling.call(PATH, Metadata::new(), CallOptions::default());
        call.await.map(drop)
    });
    yield_now().await;
    client.begin_graceful_shutdown();
    let refused = call.await.expect("no panic").expect_err("it cannot go on");
    assert_eq!(refused.status.code, Code::FailedPrecondition);
    assert_eq!(connecting.await.expect("no panic"), Ok(()));
}
