//! When one side goes, in order or not: what new calls are told, and that nobody waits for ever.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    Acceptor, CancelReason, Code, EndedBy, Metadata, RegisteredMethod, Router, SendError, Sender,
    Server, ServerConfig, ServerTransport, Status,
};
use tokio::sync::Notify;

fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

/// S4-04: a client that is closing or closed opens no stream: `FAILED_PRECONDITION`, on every transport.
#[test]
fn s4_04_a_client_that_is_closing_or_closed_is_a_failed_precondition() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        pair.client.begin_graceful_shutdown();
        let closing = pair.unary(ECHO, "x").await;
        assert_eq!(code(&closing), Code::FailedPrecondition, "a call is open");
        done(&sender);
        assert_eq!(read(&mut receiver).await, (vec![], Ok(())));
        assert_eq!((&mut pair.connecting).await.expect("no panic"), Ok(()));
        let closed = pair.unary(ECHO, "x").await;
        assert_eq!(code(&closed), Code::FailedPrecondition, "it has returned");
    });
}

/// S4-04: a stream that cannot be had for now is `UNAVAILABLE`. In one process there is no such thing: a server that does
/// not listen yet is waited for, and one that has stopped is gone for good, which is a `FAILED_PRECONDITION` (S4-73).
#[test]
fn s4_04_a_server_that_is_away_is_unavailable() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        pair.unary(ECHO, "x").await.expect("it works");
        pair.serving.abort();
        let stopped = (&mut pair.serving).await;
        assert!(stopped.is_err(), "it was dropped");
        for _ in 0..3 {
            let answer = pair.unary(ECHO, "x").await;
            assert_eq!(code(&answer), transport.stopped);
        }
    });
}

/// Sends until the window is full and stays so, or the call is over.
async fn fill(sender: &Sender) -> SendError {
    let chunk = Bytes::from(vec![0; 16 << 10]);
    loop {
        if let Err(error) = sender.send(chunk.clone()).await {
            return error;
        }
    }
}

/// S4-07: the server is dropped while its clients wait for an answer, for room to send, or for nothing at all: each gets a
/// status. The suite's own bound is the bound here.
#[test]
fn s4_07_a_dropped_server_leaves_no_client_waiting() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let client = pair.client.clone();
        let waiting = tokio::spawn(async move {
            client
                .unary(WAIT, Metadata::new(), Bytes::new(), Default::default())
                .await
        });
        pair.control.started().await;

        let (blocked, mut blocked_receiver) = pair.call(RUN).await;
        say(&blocked, "stall");
        pair.control.started().await;
        let filling = tokio::spawn(async move { fill(&blocked).await });

        let (flooded, mut flooded_receiver) = pair.call(RUN).await;
        say(&flooded, "flood 100000 1024");
        done(&flooded);
        pair.control.started().await;

        pair.serving.abort();
        let answer = waiting.await.expect("no panic");
        assert_eq!(code(&answer), Code::Unavailable, "who waits for an answer");
        let (_, outcome) = read(&mut blocked_receiver).await;
        assert_eq!(code(&outcome), Code::Unavailable, "who waits for room");
        let refused = filling.await.expect("no panic");
        assert_eq!(refused, SendError::Ended, "in sending, too");
        let (messages, outcome) = read(&mut flooded_receiver).await;
        assert_eq!(code(&outcome), Code::Unavailable, "who has not read");
        assert!(messages.len() < 100_000, "an end before the last message");
    });
}

/// S4-07: the client is dropped while handlers read, wait for room to send, or only wait: each is told.
#[test]
fn s4_07_a_dropped_client_leaves_no_handler_waiting() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let mut halves = Vec::new();
        // The flood last, for it says more than once that it has begun.
        for line in ["echo and read on", "wait", "flood 100000 1024"] {
            let (sender, mut receiver) = pair.call(RUN).await;
            say(&sender, line);
            if line.starts_with("echo") {
                let mut batch = Vec::new();
                receiver.next_batch(&mut batch).await.expect("the echo");
            } else {
                pair.control.started().await;
            }
            halves.push((line, sender, receiver));
        }
        pair.connecting.abort();
        for _ in &halves {
            assert_eq!(pair.control.next_cancel().await, CancelReason::Peer);
        }
        for (line, sender, mut receiver) in halves {
            let (_, outcome) = read(&mut receiver).await;
            assert_eq!(code(&outcome), Code::Cancelled, "{line}");
            let by = receiver.ended().map(|ended| ended.by);
            assert_eq!(by, Some(EndedBy::Local), "{line}");
            assert_eq!(sender.try_send(Bytes::new()), Err(SendError::Ended));
        }
        while pair.server.open_calls() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

/// A transport that only notes what it is told.
#[derive(Clone, Default)]
struct Recorder {
    told: Arc<Mutex<Vec<String>>>,
    stopping: Arc<Notify>,
}

impl Recorder {
    fn note(&self, what: impl Into<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(what.into());
    }

    fn told(&self) -> Vec<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }
}

#[async_trait]
impl ServerTransport for Recorder {
    fn configure(&self, methods: &[RegisteredMethod]) {
        let methods = methods.iter().map(|method| (&*method.path, method.shape));
        self.note(format!("configure {:?}", methods.collect::<Vec<_>>()));
    }

    async fn listen(&self, _: Acceptor) -> Result<(), Status> {
        self.note("listen");
        self.stopping.notified().await;
        self.note("drained");
        Ok(())
    }

    fn begin_graceful_shutdown(&self) {
        self.note("begin_graceful_shutdown");
        self.stopping.notify_one();
    }
}

/// S4-05: a transport is told once which methods there are, then to listen, then to stop.
#[tokio::test]
async fn s4_05_a_transport_is_configured_once_before_it_listens() {
    let router = Router::new();
    router.unary("/b.B/Two", |request| async { Ok(request.message) });
    router.unary("/a.A/One", |request| async { Ok(request.message) });
    let transport = Recorder::default();
    let server = Server::new(transport.clone(), router, ServerConfig::default());
    assert!(transport.told().is_empty(), "nothing before it serves");
    let serving = server.clone();
    let served = tokio::spawn(async move { serving.serve().await });
    while transport.told().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(code(&server.serve().await), Code::FailedPrecondition);
    server.begin_graceful_shutdown();
    assert_eq!(served.await.expect("no panic"), Ok(()));
    let told = transport.told();
    let expected = [
        r#"configure [("/a.A/One", Unary), ("/b.B/Two", Unary)]"#,
        "listen",
        "begin_graceful_shutdown",
        "drained",
    ];
    assert_eq!(told[..4], expected);
    let rest = &told[4..];
    assert!(
        rest.iter().all(|told| told == "begin_graceful_shutdown"),
        "{rest:?}"
    );
}
