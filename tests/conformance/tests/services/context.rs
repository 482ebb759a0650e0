//! What a transport is told of the methods, and a handler of its call.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_conformance::{Fixture, control::read, for_each_transport};
use headwater_in_process::{InProcessServer, pair};
use headwater_rpc::{
    Acceptor, CallOptions, Client, Metadata, Method, RegisteredMethod, Router, Server,
    ServerConfig, ServerTransport, Service, Shape, Status,
};

use crate::support::service;

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
    fn configure(&self, methods: &[RegisteredMethod]) {
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
