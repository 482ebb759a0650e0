//! Many messages sent at once.

use std::{thread, time::Duration};

use bytes::Bytes;
use headwater_rpc::{
    CallOptions, Client, IncomingCall, Metadata, Receiver, Router, Sender, Server, ServerConfig,
};
use tokio::sync::oneshot;

const PATH: &str = "/t.T/Call";

/// A call of a handler that reads nothing.
async fn call() -> (Sender, Receiver) {
    let (client, server) = headwater_in_process::pair();
    let router = Router::new();
    router.stream(PATH, |call| async move {
        let call: IncomingCall = call;
        call.cancellation.cancelled().await;
    });
    let server = Server::new(server, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    let client = Client::new(client);
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    let halves = client.call(PATH, Metadata::new(), CallOptions::default());
    halves.await.expect("a call")
}

/// An iterator may do anything, such as use the call that its messages are sent on.
#[tokio::test]
async fn an_iterator_of_messages_may_use_the_call() {
    let (sender, _receiver) = call().await;
    let (done, sent) = oneshot::channel();
    // A thread of its own, for one that waits for itself never ends.
    thread::spawn(move || {
        let messages = (0..100).map(|index: u8| {
            assert!(!sender.is_ended(), "it is open");
            Bytes::from(vec![index])
        });
        let _ = done.send(sender.try_send_all(messages));
    });
    let sent = tokio::time::timeout(Duration::from_secs(20), sent).await;
    let sent = sent.expect("the iterator waits for the lock of the call");
    assert_eq!(sent.expect("no panic"), Ok(100));
}
