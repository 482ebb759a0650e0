//! What a handler is told of its call.

use headwater_conformance::{Fixture, control::read, for_each_transport};
use headwater_rpc::{Metadata, Method, Service, Shape};

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
