//! In which order interceptors see a call, and which calls they see.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, FAIL, RUN, done, read, say},
    for_each_transport,
};
use headwater_rpc::interceptor::Filter;

use crate::support::{Log, Noting};

/// S4-29: on both sides the first that was added sees requests first and responses last, shaped as a stream: the call,
/// headers, messages, the end.
#[test]
fn s4_29_the_first_added_sees_requests_first_and_responses_last() {
    for_each_transport(|transport| async move {
        let (client_log, server_log) = (Log::default(), Log::default());
        let pair = Fixture::built(transport, |client, server| {
            let [a, b] = ["A", "B"].map(|name| Noting::new(name, &client_log));
            let client = client
                .intercept(Filter::all(), a)
                .intercept(Filter::all(), b);
            let [a, b] = ["A", "B"].map(|name| Noting::new(name, &server_log));
            let server = server
                .intercept(Filter::all(), a)
                .intercept(Filter::all(), b);
            (client, server)
        });
        let pair = pair.await;
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
        let requests = ["message", "end OK"];
        let responses = ["headers", "message", "end OK"];
        let mut expected = vec!["A call".to_owned(), "B call".to_owned()];
        for what in requests {
            expected.extend(["A", "B"].map(|name| format!("{name} request {what}")));
        }
        for what in responses {
            expected.extend(["B", "A"].map(|name| format!("{name} response {what}")));
        }
        assert_eq!(client_log.lines(), expected, "on the client");
        assert_eq!(server_log.lines(), expected, "on the server");
    });
}

/// S4-29: a stream of several messages each way passes in pieces, not as a whole.
#[test]
fn s4_29_a_ping_pong_passes_message_by_message() {
    for_each_transport(|transport| async move {
        let log = Log::default();
        let pair = Fixture::built(transport, |client, server| {
            let noting = Noting::new("A", &log);
            (client.intercept(Filter::all(), noting), server)
        });
        let pair = pair.await;
        let (sender, mut receiver) = pair.call(RUN).await;
        let mut batch = Vec::new();
        for text in ["1", "2"] {
            say(&sender, format!("echo {text}"));
            assert_eq!(receiver.next_batch(&mut batch).await, Ok(1));
        }
        done(&sender);
        read(&mut receiver).await.1.expect("OK");
        let expected = [
            "A call",
            "A request message",
            "A response headers",
            "A response message",
            "A request message",
            "A response message",
            "A request end OK",
            "A response end OK",
        ];
        assert_eq!(log.lines(), expected);
    });
}

const SERVICE: &str = "headwater.test.Control";
const OTHER: &str = "/other.Service/Method";

/// The six filters, each with its name.
fn filters(asked: &Arc<AtomicUsize>) -> [(&'static str, Filter); 6] {
    let asked = Arc::clone(asked);
    let predicate = move |path: &str| {
        asked.fetch_add(1, Ordering::Relaxed);
        path.ends_with("Echo")
    };
    [
        ("all", Filter::all()),
        ("services", Filter::services([SERVICE])),
        ("methods", Filter::methods([ECHO])),
        ("only", Filter::only(["other.Service"], [FAIL])),
        (
            "all excluding",
            Filter::all_excluding(["other.Service"], [FAIL]),
        ),
        ("matching", Filter::matching(predicate)),
    ]
}

/// S4-30: each of the six filters admits what it says, on both sides, and a predicate is asked once for a method.
#[test]
fn s4_30_six_filters_choose_the_methods() {
    for_each_transport(|transport| async move {
        let logs = [Log::default(), Log::default()];
        let asked = [Arc::default(), Arc::default()];
        let pair = Fixture::built(transport, |mut client, mut server| {
            for (name, filter) in filters(&asked[0]) {
                client = client.intercept(filter, Noting::new(name, &logs[0]));
            }
            for (name, filter) in filters(&asked[1]) {
                server = server.intercept(filter, Noting::new(name, &logs[1]));
            }
            (client, server)
        });
        let pair = pair.await;
        pair.router
            .unary(OTHER, |request| async move { Ok(request.message) });
        let table: [(&str, &[&str]); 3] = [
            (
                ECHO,
                &["all", "services", "methods", "all excluding", "matching"],
            ),
            (FAIL, &["all", "services", "only"]),
            (OTHER, &["all", "only"]),
        ];
        for (path, names) in table {
            // Twice: what was remembered says the same.
            for _ in 0..2 {
                let seen = logs.each_ref().map(|log| log.lines().len());
                let _ = pair.unary(path, "1 m").await;
                for (log, seen) in logs.iter().zip(seen) {
                    let lines = log.lines();
                    let new = lines[seen..].iter();
                    let calls: Vec<_> = new.filter_map(|line| line.strip_suffix(" call")).collect();
                    assert_eq!(calls, names, "{path}");
                }
            }
        }
        for asked in &asked {
            let asked: &AtomicUsize = asked;
            assert_eq!(asked.load(Ordering::Relaxed), 3, "once for each of 3 paths");
        }
    });
}

/// S4-30: interceptors are for methods that exist; a path that nobody registered is not remembered either.
#[test]
fn s4_30_a_method_that_does_not_exist_passes_no_interceptor() {
    for_each_transport(|transport| async move {
        let log = Log::default();
        let pair = Fixture::built(transport, |client, server| {
            (
                client,
                server.intercept(Filter::all(), Noting::new("A", &log)),
            )
        });
        let pair = pair.await;
        pair.unary("/no.Such/Method", "")
            .await
            .expect_err("unimplemented");
        assert_eq!(log.lines(), [""; 0]);
    });
}
