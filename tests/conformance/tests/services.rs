//! What a server serves: services that come and go, what their handlers see, and how their errors are told.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_conformance::{
    Fixture,
    control::{ECHO, FAIL, RUN, WAIT, done, read, say},
    for_each_transport,
};
use headwater_in_process::{InProcessServer, pair};
use headwater_rpc::{
    Acceptor, AddError, CallError, CallOptions, CancelReason, Client, Code, Detail, EndedBy,
    HandlerError, IncomingCall, Metadata, Method, MethodDescriptor, Router, RunningCalls,
    SendError, Server, ServerConfig, ServerTransport, Service, Shape, Status,
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
        assert_eq!(paths, ["/a.B/C", ECHO, FAIL, RUN, WAIT]);
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

/// Notes in which order it is used.
struct Recording {
    inner: InProcessServer,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Recording {
    fn note(&self, line: String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(line);
    }
}

#[async_trait]
impl ServerTransport for Recording {
    fn configure(&self, methods: &[MethodDescriptor]) {
        let methods = methods.iter().map(|method| (&*method.path, method.shape));
        self.note(format!("configure {:?}", methods.collect::<Vec<_>>()));
    }

    async fn listen(&self, acceptor: Acceptor) -> Result<(), Status> {
        self.note("listen".to_owned());
        self.inner.listen(acceptor).await
    }

    fn begin_graceful_shutdown(&self) {
        self.note("begin_graceful_shutdown".to_owned());
        self.inner.begin_graceful_shutdown();
    }
}

/// S4-05: a transport is told all registered methods once, then listens, then is stopped.
#[tokio::test]
async fn s4_05_a_transport_is_configured_once_before_it_listens() {
    let seen = Arc::default();
    let (client, inner) = pair();
    let transport = Recording {
        inner,
        seen: Arc::clone(&seen),
    };
    let router = Router::new();
    router.add(service("a.B", &["Get"], "x")).expect("valid");
    router.stream("/a.B/Watch", |call| async move { drop(call) });
    let server = Server::new(transport, router.clone(), ServerConfig::default());
    let serving = {
        let server = server.clone();
        tokio::spawn(async move { server.serve().await })
    };
    let client = Client::new(client);
    let connecting = {
        let client = client.clone();
        tokio::spawn(async move { client.connect().await })
    };
    let options = CallOptions::default();
    let answer = client.unary("/a.B/Get", Metadata::new(), Bytes::new(), options);
    assert_eq!(answer.await, Ok(Bytes::from("x")));
    router.unary("/a.B/Later", |_| async { Ok(Bytes::new()) });
    server.begin_graceful_shutdown();
    assert_eq!(serving.await.expect("no panic"), Ok(()));
    connecting.abort();
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let methods = [
        ("/a.B/Get", Shape::Unary),
        ("/a.B/Watch", Shape::Bidirectional),
    ];
    let first = [format!("configure {methods:?}"), "listen".to_owned()];
    assert_eq!(seen[..2], first);
    let rest = &seen[2..];
    assert!(
        rest.iter().all(|line| line == "begin_graceful_shutdown"),
        "{rest:?}"
    );
}

/// S4-14: a handler sees the method and its shape, and both ends of the connection as `<transport>:<address>`, with the
/// certificates that the transport has checked.
#[test]
fn s4_14_a_handler_sees_its_context() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let (sees, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let method = Method::stream("Watch", Shape::ServerStreaming, move |call| {
            let see = (call.path.clone(), call.shape, call.peer.clone());
            sees.send(see).expect("the test waits");
            async move {
                let _ = call.sender.finish(Ok(()), Metadata::new());
            }
        });
        let service = Service {
            name: "a.B".into(),
            methods: vec![method],
        };
        pair.router.add(service).expect("valid");
        let (sender, mut receiver) = pair.call("/a.B/Watch").await;
        assert_eq!(read(&mut receiver).await.1, Ok(()));
        drop(sender);
        let (path, shape, peer) = seen.recv().await.expect("it was called");
        assert_eq!((&*path, shape), ("/a.B/Watch", Shape::ServerStreaming));
        for end in [peer.remote(), peer.local()] {
            let (kind, address) = end.split_once(':').expect("<transport>:<address>");
            assert_eq!(kind, transport.peer_kind, "{end}");
            let valid = match kind {
                "ipv4" | "ipv6" => address.parse::<std::net::SocketAddr>().is_ok(),
                _ => !address.is_empty(),
            };
            assert!(valid, "{end}");
        }
        assert_eq!(peer.certificates().len(), transport.certificates);
    });
}

#[derive(Debug)]
struct Own {
    secret: &'static str,
    source: Option<Status>,
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.secret)
    }
}

impl std::error::Error for Own {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_ref()?;
        Some(source)
    }
}

/// An error of the application that is told as a status.
#[derive(Debug)]
struct Convertible;

impl From<Convertible> for Status {
    fn from(_: Convertible) -> Self {
        Self::new(Code::AlreadyExists, "converted")
    }
}

fn thrown(kind: &[u8]) -> Result<Bytes, HandlerError> {
    let status = Status::new(Code::NotFound, "carried");
    let secret = "a secret";
    match kind {
        b"status" => Err(status)?,
        b"call" => Err(CallError {
            status,
            by: EndedBy::Peer,
        })?,
        b"source" => Err(Own {
            secret,
            source: Some(status),
        })?,
        _ => Err(Own {
            secret,
            source: None,
        })?,
    }
}

/// S4-35: a status, an error that is one or converts to one is told as that status; any other is `UNKNOWN`, and its text
/// stays on the server.
#[test]
fn s4_35_errors_become_a_status() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let methods = vec![
            Method::unary("Thrown", |request| async move { thrown(&request.message) }),
            Method::unary("Converted", |_| async move { Err(Convertible) }),
            Method::unary("Asked", |request| async move {
                if request.message.is_empty() {
                    Err(Convertible)?;
                }
                Ok::<_, Status>(Bytes::from(thrown(&request.message)?))
            }),
        ];
        let name = "a.B".into();
        pair.router.add(Service { name, methods }).expect("valid");
        let carried = Status::new(Code::NotFound, "carried");
        let unknown = Status::new(Code::Unknown, "the handler failed");
        let converted = Status::new(Code::AlreadyExists, "converted");
        let table = [
            ("/a.B/Thrown", "status", &carried),
            ("/a.B/Thrown", "call", &carried),
            ("/a.B/Thrown", "source", &carried),
            ("/a.B/Thrown", "other", &unknown),
            ("/a.B/Converted", "", &converted),
            ("/a.B/Asked", "", &converted),
            ("/a.B/Asked", "other", &unknown),
        ];
        for (path, kind, expected) in table {
            let answer = pair.unary(path, kind).await;
            assert_eq!(answer.as_ref(), Err(expected), "{path} {kind}");
        }
    });
}

/// S4-35: rich details come with the status, also after messages.
#[test]
fn s4_35_rich_details_pass() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let details = [
            Detail::new("google.rpc.RetryInfo", vec![10, 2, 8, 5]),
            Detail::new("a.Own", vec![0, 255]),
        ];
        let status = Status::new(Code::ResourceExhausted, "later").with_details(details.clone());
        let told = status.clone();
        pair.router.stream("/a.B/C", move |call| {
            let told = told.clone();
            async move {
                let sent = call.sender.send(Bytes::from("message")).await;
                sent.expect("the call is open");
                let _ = call.sender.finish(Err(told), Metadata::new());
            }
        });
        let (_sender, mut receiver) = pair.call("/a.B/C").await;
        let (messages, outcome) = read(&mut receiver).await;
        assert_eq!(
            (messages, &outcome),
            (vec![Bytes::from("message")], &Err(status))
        );
        let told = outcome.expect_err("it failed").rich_details();
        assert_eq!(told.as_deref(), Ok(&details[..]));
    });
}
