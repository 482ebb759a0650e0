//! Every end of a call is seen by what stands before it, exactly once, whoever ends it and whoever looks.

use headwater_conformance::{
    Fixture, Transport,
    control::{RUN, done, read, say},
    for_each_transport,
    time::{DEADLINE, pass},
};
use headwater_rpc::{
    CallOptions, Code, Metadata, Receiver, RunningCalls, Sender, Status, interceptor::Filter,
};
use tokio::task::yield_now;

use crate::support::{Log, Noting};

struct Seen {
    pair: Fixture,
    client: Log,
    server: Log,
}

impl Seen {
    async fn new(transport: Transport) -> Self {
        let (client, server) = (Log::default(), Log::default());
        let pair = Fixture::built(transport, |client_builder, server_builder| {
            let (a, b) = (Noting::new("A", &client), Noting::new("B", &server));
            (
                client_builder.intercept(Filter::all(), a),
                server_builder.intercept(Filter::all(), b),
            )
        });
        let pair = pair.await;
        Self {
            pair,
            client,
            server,
        }
    }

    /// A call whose handler waits for its cancellation.
    async fn waiting(&self, options: CallOptions) -> (Sender, Receiver) {
        let call = self.pair.client.call(RUN, Metadata::new(), options).await;
        let (sender, receiver) = call.expect("it opens");
        say(&sender, "wait");
        self.pair.control.started().await;
        (sender, receiver)
    }

    /// Waits until both halves have ended on both sides, and gives the ends: of the client's requests and responses, and
    /// of the server's.
    async fn ends(&self) -> [Vec<String>; 2] {
        loop {
            let ends = [&self.client, &self.server].map(|log| {
                let lines = log.lines().into_iter();
                let mut ends: Vec<_> = lines.filter(|line| line.contains(" end ")).collect();
                ends.sort();
                ends
            });
            if ends.iter().all(|ends| ends.len() >= 2) {
                return ends;
            }
            yield_now().await;
        }
    }
}

fn ends(name: &str, request: &str, response: &str) -> Vec<String> {
    vec![
        format!("{name} request end {request}"),
        format!("{name} response end {response}"),
    ]
}

#[test]
fn a_regular_end_is_seen_once() {
    for_each_transport(|transport| async move {
        let seen = Seen::new(transport).await;
        let (sender, mut receiver) = seen.pair.call(RUN).await;
        done(&sender);
        read(&mut receiver).await.1.expect("OK");
        // Asked again, read again, and dropped: it is over.
        read(&mut receiver).await.1.expect("OK");
        receiver.trailers().expect("it is over");
        drop((sender, receiver));
        assert_eq!(
            seen.ends().await,
            [ends("A", "OK", "OK"), ends("B", "OK", "OK")]
        );
    });
}

#[test]
fn a_cancel_is_seen_once_although_nobody_reads() {
    for_each_transport(|transport| async move {
        let seen = Seen::new(transport).await;
        drop(seen.waiting(CallOptions::default()).await);
        let [client, server] = seen.ends().await;
        assert_eq!(client, ends("A", "CANCELLED", "CANCELLED"));
        assert_eq!(server, ends("B", "CANCELLED", "CANCELLED"));
    });
}

#[test]
fn a_deadline_is_seen_once() {
    for_each_transport(|transport| async move {
        let seen = Seen::new(transport).await;
        let options = CallOptions {
            timeout: Some(DEADLINE),
            ..CallOptions::default()
        };
        let (sender, receiver) = seen.waiting(options).await;
        pass(DEADLINE).await;
        sender.ended().await;
        drop((sender, receiver));
        let [client, server] = seen.ends().await;
        let late = "DEADLINE_EXCEEDED";
        assert_eq!(client, ends("A", late, late));
        // Whichever side's timer comes first.
        let either = [ends("B", late, late), ends("B", "CANCELLED", "CANCELLED")];
        assert!(either.contains(&server), "{server:?}");
    });
}

#[test]
fn a_broken_way_is_seen_once() {
    for_each_transport(|transport| async move {
        let seen = Seen::new(transport).await;
        let (sender, mut receiver) = seen.waiting(CallOptions::default()).await;
        seen.pair.serving.abort();
        read(&mut receiver).await.1.expect_err("it was broken");
        drop((sender, receiver));
        let away = "UNAVAILABLE";
        assert_eq!(
            seen.ends().await,
            [ends("A", away, away), ends("B", away, away)]
        );
    });
}

#[test]
fn a_removed_service_is_seen_once() {
    for_each_transport(|transport| async move {
        let seen = Seen::new(transport).await;
        let (sender, mut receiver) = seen.waiting(CallOptions::default()).await;
        let status = Status::new(Code::Aborted, "moved");
        let router = &seen.pair.router;
        assert!(router.remove_service("headwater.test.Control", RunningCalls::End(status)));
        read(&mut receiver).await.1.expect_err("it was ended");
        drop((sender, receiver));
        let [client, server] = seen.ends().await;
        assert_eq!(client, ends("A", "ABORTED", "ABORTED"));
        assert_eq!(server, ends("B", "ABORTED", "ABORTED"));
    });
}

/// The end comes after all messages; a receiver that is dropped before it does not lose it.
#[test]
fn the_end_is_seen_after_the_messages_or_after_the_reader() {
    for_each_transport(|transport| async move {
        let seen = Seen::new(transport).await;
        let (sender, mut receiver) = seen.pair.call(RUN).await;
        say(&sender, "echo x");
        say(&sender, "ok");
        read(&mut receiver).await.1.expect("OK");
        let lines = seen.client.lines();
        let responses = lines.iter().filter(|line| line.contains("response"));
        let responses: Vec<_> = responses.collect();
        let expected = ["headers", "message", "end OK"].map(|what| format!("A response {what}"));
        assert_eq!(responses, expected.each_ref());
        let (sender, receiver) = seen.pair.call(RUN).await;
        drop(receiver);
        let before = seen.client.lines().len();
        sender.cancel();
        assert_eq!(
            seen.client.lines()[before..],
            ["A request end CANCELLED", "A response end CANCELLED"]
        );
    });
}
