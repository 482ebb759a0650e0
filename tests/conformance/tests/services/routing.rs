//! Services and methods that come and go while the server runs.

use bytes::Bytes;
use headwater_conformance::{
    Fixture, TRANSPORTS,
    control::{COLLECT, ECHO, FAIL, LIST, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_rpc::{
    AddError, CallOptions, CancelReason, Client, Code, IncomingCall, Metadata, Method,
    RunningCalls, SendError, Service, Shape, Status,
};
use tokio::task::yield_now;

const CONTROL: &str = "headwater.test.Control";

fn code<T: std::fmt::Debug>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().expect_err("the call must fail").code
}

/// A service of unary methods, each of which answers with `answer`.
fn service(name: &str, methods: &[&'static str], answer: &'static str) -> Service {
    let method = |name: &&'static str| {
        Method::unary(*name, move |_| async move {
            Ok::<_, Status>(Bytes::from(answer))
        })
    };
    Service {
        name: name.into(),
        methods: methods.iter().map(method).collect(),
    }
}

/// S4-24: services behind a router; a method that nobody registered is `UNIMPLEMENTED`; `serve` runs once.
#[test]
fn s4_24_a_server_routes_and_serves_once() {
    for_each_transport(|transport| async move {
        let mut pair = Fixture::new(transport).await;
        let added = pair.router.add(service("a.One", &["Get"], "one"));
        assert_eq!(added, Ok(()));
        pair.router
            .add(service("a.Two", &["Get"], "two"))
            .expect("another name");
        assert_eq!(pair.unary("/a.One/Get", "").await, Ok(Bytes::from("one")));
        assert_eq!(pair.unary("/a.Two/Get", "").await, Ok(Bytes::from("two")));
        for path in ["/a.One/Put", "/a.Three/Get", "/a.One", "/", "/a.One/Get/"] {
            let answer = pair.unary(path, "").await;
            assert_eq!(code(&answer), Code::Unimplemented, "{path}");
        }
        assert_eq!(code(&pair.server.serve().await), Code::FailedPrecondition);
        pair.server.begin_graceful_shutdown();
        assert_eq!((&mut pair.serving).await.expect("no panic"), Ok(()));
        assert_eq!(code(&pair.server.serve().await), Code::FailedPrecondition);
    });
}

/// S4-25: register, replace, ask, list and remove while the server runs; a removed method's next call is `UNIMPLEMENTED`.
#[test]
fn s4_25_methods_come_and_go_at_run_time() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let router = &pair.router;
        for answer in ["first", "second"] {
            router.unary("/a.B/C", move |_| async move { Ok(Bytes::from(answer)) });
            assert_eq!(pair.unary("/a.B/C", "").await, Ok(Bytes::from(answer)));
        }
        assert!(router.contains("/a.B/C") && !router.contains("/a.B/D"));
        let paths = router.paths();
        let paths: Vec<_> = paths.iter().map(|path| &**path).collect();
        assert_eq!(paths, ["/a.B/C", COLLECT, ECHO, FAIL, LIST, RUN, WAIT]);
        let services = router.services();
        let services: Vec<_> = services.iter().map(|name| &**name).collect();
        assert_eq!(services, ["a.B", CONTROL]);
        assert!(router.remove("/a.B/C"));
        assert_eq!(code(&pair.unary("/a.B/C", "").await), Code::Unimplemented);
        assert!(!router.remove("/a.B/C"), "it is gone");
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
    });
}

/// S4-25: a service is added whole or not at all, and exchanged whole.
#[test]
fn s4_25_a_service_is_added_and_replaced_whole() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let router = &pair.router;
        router
            .add(service("a.B", &["Get", "Old"], "old"))
            .expect("new");
        let again = router.add(service("a.B", &["New"], "new"));
        assert_eq!(again, Err(AddError::Exists("/a.B/Get".into())));
        let bad = [
            (
                service("a.C", &["Get", "Get"], ""),
                AddError::Twice("Get".into()),
            ),
            (service("a/C", &["Get"], ""), AddError::Name("a/C".into())),
            (service("", &["Get"], ""), AddError::Name("".into())),
            (service("a.C", &["Get", ""], ""), AddError::Name("".into())),
        ];
        for (service, expected) in bad {
            let replaced = router.replace(service.clone(), RunningCalls::Finish);
            assert_eq!(replaced, Err(expected.clone()));
            assert_eq!(router.add(service), Err(expected));
        }
        assert_eq!(router.services().len(), 2, "nothing of them was added");
        let new = service("a.B", &["Get", "New"], "new");
        router.replace(new, RunningCalls::Finish).expect("valid");
        for path in ["/a.B/Get", "/a.B/New"] {
            assert_eq!(pair.unary(path, "").await, Ok(Bytes::from("new")), "{path}");
        }
        assert_eq!(code(&pair.unary("/a.B/Old", "").await), Code::Unimplemented);
        assert!(
            !router.remove_service("a", RunningCalls::Finish),
            "a prefix"
        );
        assert!(router.remove_service("a.B", RunningCalls::Finish));
        assert_eq!(code(&pair.unary("/a.B/Get", "").await), Code::Unimplemented);
    });
}

/// S4-25: calls that run when their service is removed go on, if that is what was asked for.
#[test]
fn s4_25_running_calls_may_outlive_their_service() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "echo before");
        let mut batch = Vec::new();
        assert_eq!(receiver.next_batch(&mut batch).await, Ok(1));
        assert!(pair.router.remove_service(CONTROL, RunningCalls::Finish));
        assert_eq!(code(&pair.unary(ECHO, "").await), Code::Unimplemented);
        say(&sender, "echo after");
        done(&sender);
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!((messages, outcome), (vec![Bytes::from("after")], Ok(())));
    });
}

/// S4-25: or they end with a stated status, which the peer and the handler are told, after what was sent before; calls
/// of other services are left alone.
#[test]
fn s4_25_running_calls_end_with_a_stated_status() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        pair.router.stream("/other.Service/Run", |call| async move {
            let IncomingCall {
                mut receiver,
                sender,
                ..
            } = call;
            let outcome = read(&mut receiver).await.1;
            let _ = sender.finish(outcome, Metadata::new());
        });
        let (other, mut other_receiver) = pair.call("/other.Service/Run").await;
        let (waiting, mut waiting_receiver) = pair.call(RUN).await;
        say(&waiting, "wait");
        let (flood, mut flood_receiver) = pair.call(RUN).await;
        // More than any window holds, and nobody reads yet.
        say(&flood, "flood 10000 1024");
        pair.control.started().await;
        pair.control.started().await;
        let status = Status::new(Code::Unavailable, "moved to another server");
        let end = RunningCalls::End(status.clone());
        assert!(pair.router.remove_service(CONTROL, end));
        assert_eq!(pair.control.next_cancel().await, CancelReason::Withdrawn);
        assert_eq!(
            read(&mut waiting_receiver).await,
            (vec![], Err(status.clone()))
        );
        assert!(
            matches!(waiting.try_send(Bytes::new()), Err(SendError::Ended)),
            "the call is over"
        );
        let (messages, outcome) = read(&mut flood_receiver).await;
        assert_eq!(outcome, Err(status), "although messages waited");
        assert!(!messages.is_empty(), "and they came before it");
        done(&other);
        assert_eq!(read(&mut other_receiver).await.1, Ok(()));
        while pair.server.open_calls() > 0 {
            yield_now().await;
        }
    });
}

/// S4-25: replacing a service ends the calls of the old one, and the new one's begin.
#[test]
fn s4_25_replacing_a_service_ends_the_old_ones_calls() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sender, mut receiver) = pair.call(RUN).await;
        say(&sender, "wait");
        pair.control.started().await;
        let status = Status::new(Code::Aborted, "a new version is here");
        let new = service(CONTROL, &["Echo"], "new");
        let end = RunningCalls::End(status.clone());
        pair.router.replace(new, end).expect("valid");
        assert_eq!(read(&mut receiver).await.1, Err(status));
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("new")));
    });
}

/// A service whose method waits until its call is cancelled.
fn waiting() -> Service {
    let method = Method::stream("Wait", Shape::Bidirectional, |call| async move {
        assert_eq!(call.cancellation.cancelled().await, CancelReason::Withdrawn);
        drop(call);
    });
    Service {
        name: "a.B".into(),
        methods: vec![method],
    }
}

/// S4-25: a call that comes while services are exchanged is of the old one, and ends with it, or of the new one: none
/// escapes, which would wait for ever, and none finds no service.
#[test]
fn s4_25_no_call_escapes_while_services_are_exchanged() {
    for &transport in TRANSPORTS {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(async {
            let pair = Fixture::new(transport).await;
            pair.router.add(waiting()).expect("valid");
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let client = pair.client.clone();
                    tokio::spawn(async move { call_repeatedly(&client).await })
                })
                .collect();
            let status = Status::new(Code::Aborted, "exchanged");
            while tasks.iter().any(|task| !task.is_finished()) {
                let end = RunningCalls::End(status.clone());
                pair.router.replace(waiting(), end).expect("valid");
                yield_now().await;
            }
            for task in tasks {
                for outcome in task.await.expect("no panic") {
                    assert_eq!(outcome, Err(status.clone()), "on {transport:?}");
                }
            }
        });
    }
}

async fn call_repeatedly(client: &Client) -> Vec<Result<(), Status>> {
    let mut outcomes = Vec::new();
    for _ in 0..50 {
        let options = CallOptions::default();
        let call = client.call("/a.B/Wait", Metadata::new(), options).await;
        let (_sender, mut receiver) = call.expect("it opens");
        outcomes.push(read(&mut receiver).await.1);
    }
    outcomes
}
