//! What a server's call knows of its transport: how many messages it has taken, and how the stream came to be gone.

use std::task::{Context, Poll};

use async_trait::async_trait;
use headwater_rpc::{
    AcceptedStream, Acceptor, CallOptions, Client, Closed, EndedBy, Inbound, IncomingCall,
    Metadata, Outbound, Peer, Received, Receiver, RequestHeaders, Router, Sender, Server,
    ServerConfig, ServerTransport, Status,
};
use tokio::sync::mpsc;

const PATH: &str = "/t.T/Call";

/// Serves on this transport, and gives the calls to the test.
fn serve(transport: impl ServerTransport) -> mpsc::UnboundedReceiver<IncomingCall> {
    let (given, calls) = mpsc::unbounded_channel();
    let router = Router::new();
    router.stream(PATH, move |call| {
        // The test may be over.
        let _ = given.send(call);
        async {}
    });
    let server = Server::new(transport, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    calls
}

/// A call, at both ends.
async fn call() -> ((Sender, Receiver), IncomingCall) {
    let (client, server) = headwater_in_process::pair();
    let mut calls = serve(server);
    let client = Client::new(client);
    let connecting = client.clone();
    tokio::spawn(async move { connecting.connect().await });
    let halves = client.call(PATH, Metadata::new(), CallOptions::default());
    let halves = halves.await.expect("a call");
    (halves, calls.recv().await.expect("it serves"))
}

#[tokio::test]
async fn a_sender_knows_how_many_messages_were_taken() {
    let ((client, mut responses), server) = call().await;
    for message in ["a", "b", "c"] {
        server.sender.try_send(message.into()).expect("room");
    }
    assert_eq!(server.sender.taken_messages(), 0, "nobody reads");
    let mut batch = Vec::new();
    let (taken, read) = tokio::join!(
        server.sender.taken_beyond(0),
        responses.next_batch(&mut batch)
    );
    assert_eq!((taken, read.expect("it goes on")), (3, 3));
    assert_eq!(server.sender.taken_beyond(2).await, 3, "at once");

    server.sender.try_send("d".into()).expect("room");
    drop((client, responses));
    assert_eq!(
        server.sender.taken_beyond(3).await,
        3,
        "what the end of the call took away was not taken"
    );
}

/// A client of which nothing comes any more.
struct Silent;

impl Inbound for Silent {
    fn poll_received(&mut self, _: &mut Context<'_>, _: &mut Received) -> Poll<Result<(), Closed>> {
        Poll::Pending
    }
}

/// A transport with one stream: what the server sends on it is in the test's hands.
struct OneStream(mpsc::UnboundedSender<Outbound>);

#[async_trait]
impl ServerTransport for OneStream {
    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        let headers = RequestHeaders {
            path: PATH.into(),
            metadata: Metadata::new(),
            timeout: None,
            wait_for_ready: false,
        };
        let stream = AcceptedStream::new(headers, Peer::new("there", "here"), Box::new(Silent));
        // The test may be over.
        let _ = self.0.send(acceptor.accept(stream));
        std::future::pending().await
    }

    fn begin_graceful_shutdown(&self) {}
}

#[tokio::test]
async fn a_server_hears_how_its_stream_came_to_be_gone() {
    for (is_told, by) in [(true, EndedBy::Transport), (false, EndedBy::Peer)] {
        let (given, mut outbound) = mpsc::unbounded_channel();
        let mut call = serve(OneStream(given));
        let mut outbound = outbound.recv().await.expect("it listens");
        let call = call.recv().await.expect("it serves");
        if is_told {
            outbound.close(Closed::broken("the cable broke"));
        }
        drop(outbound);
        call.sender.ended().await;
        let ended = call.receiver.ended().map(|ended| ended.by);
        assert_eq!(ended, Some(by), "told: {is_told}");
    }
}
