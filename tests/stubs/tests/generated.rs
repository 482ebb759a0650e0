//! What is generated for names, packages, imports and types of all kinds.

use bytes::Bytes;
use headwater_conformance::{Fixture, for_each_transport};
use headwater_rpc::{
    Shape, Status,
    stub::{Messages, Sink},
};
use headwater_stubs::{
    bare::{
        self, Clock, ClockClient, ClockServer, NOTHING, Nothing, NothingServer,
        nested::deep::{self, Item, Sorted, item::Key},
    },
    routeguide::ROUTE_GUIDE,
};
use prost::Message as _;
use prost_types::{FileDescriptorSet, Timestamp};

fn key(bytes: &'static [u8]) -> Key {
    Key {
        bytes: Bytes::from_static(bytes),
    }
}

struct Bare;

impl Clock for Bare {
    async fn now(&self, (): ()) -> Result<Timestamp, Status> {
        Ok(Timestamp {
            seconds: 7,
            nanos: 0,
        })
    }

    async fn sort(&self, mut items: Messages<Item>) -> Result<Sorted, Status> {
        let mut item = Vec::new();
        while items.next_batch(&mut item).await? > 0 {}
        item.sort_by(|one, other| {
            let bytes = |item: &Item| item.key.clone().unwrap_or_default().bytes;
            bytes(one).cmp(&bytes(other))
        });
        Ok(Sorted { item })
    }
}

impl Nothing for Bare {}

#[allow(deprecated, reason = "the file says so")]
impl deep::Option for Bare {
    async fn result(&self, key: Key) -> Result<Key, Status> {
        Ok(key)
    }

    async fn kind(&self, key: Key, keys: Sink<Key>) -> Result<(), Status> {
        keys.send(key.clone()).await?;
        keys.send(key).await
    }
}

#[test]
fn packages_imports_and_well_known_types_work() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        pair.router
            .add(ClockServer::new(Bare).into_service())
            .unwrap();
        pair.router
            .add(NothingServer::new(Bare).into_service())
            .unwrap();
        let client = ClockClient::new(pair.client.clone());
        assert_eq!(client.now(()).await.map(|now| now.seconds), Ok(7));
        let request = headwater_rpc::stub::Request::new(());
        let (sink, mut sorted) = client.sort_streaming(request).await.unwrap();
        for bytes in [&b"b"[..], b"a"] {
            let item = Item {
                key: Some(key(bytes)),
            };
            sink.send(item).await.unwrap();
        }
        sink.finish().unwrap();
        let sorted = sorted.message().await.unwrap().unwrap_or_default();
        let keys: Vec<_> = sorted
            .item
            .into_iter()
            .filter_map(|item| item.key)
            .collect();
        assert_eq!(keys, [key(b"a"), key(b"b")]);
    });
}

#[test]
#[allow(deprecated, reason = "the file says so")]
fn names_of_the_standard_library_do_not_disturb() {
    for_each_transport(|transport| async move {
        let pair = Fixture::new(transport).await;
        let service = deep::OptionServer::new(Bare).into_service();
        assert_eq!(&*service.name, "nested.deep.Option");
        pair.router.add(service).unwrap();
        let client = deep::OptionClient::new(pair.client.clone());
        assert_eq!(client.result(key(b"x")).await, Ok(key(b"x")));
        let mut keys = client.kind(key(b"y")).await.unwrap();
        assert_eq!(
            keys.message().await,
            Ok(Some(key(b"y"))),
            "renamed in Rust alone"
        );
    });
}

#[test]
fn a_descriptor_says_what_the_file_says() {
    assert_eq!(
        (ROUTE_GUIDE.name, ROUTE_GUIDE.package),
        ("routeguide.RouteGuide", "routeguide")
    );
    let methods = ROUTE_GUIDE
        .methods
        .iter()
        .map(|method| (method.path, method.shape));
    assert_eq!(
        methods.collect::<Vec<_>>(),
        [
            ("/routeguide.RouteGuide/GetFeature", Shape::Unary),
            (
                "/routeguide.RouteGuide/ListFeatures",
                Shape::ServerStreaming
            ),
            ("/routeguide.RouteGuide/RecordRoute", Shape::ClientStreaming),
            ("/routeguide.RouteGuide/RouteChat", Shape::Bidirectional),
            ("/routeguide.RouteGuide/OldFeature", Shape::Unary),
        ]
    );
    let chat = ROUTE_GUIDE
        .method("RouteChat")
        .expect("a method of this name");
    assert_eq!(
        (chat.request, chat.response),
        ("routeguide.RouteNote", "routeguide.RouteNote")
    );
    assert_eq!(
        (NOTHING.name, NOTHING.package, NOTHING.methods.len()),
        ("Nothing", "", 0)
    );
}

#[test]
fn a_descriptor_has_its_file_and_all_imports_in_order() {
    let files = FileDescriptorSet::decode(bare::CLOCK.file_descriptor_set).unwrap();
    let names: Vec<_> = files.file.iter().map(|file| file.name()).collect();
    assert_eq!(
        names.last(),
        Some(&"bare.proto"),
        "a file comes after what it imports"
    );
    for import in [
        "google/protobuf/empty.proto",
        "google/protobuf/timestamp.proto",
        "nested/deep/types.proto",
    ] {
        assert!(names.contains(&import), "{import} is not in {names:?}");
    }
    let files = FileDescriptorSet::decode(ROUTE_GUIDE.file_descriptor_set).unwrap();
    let [file] = &files.file[..] else {
        panic!("the file imports nothing");
    };
    assert_eq!(file.service[0].method.len(), 5);
    assert_eq!(file.source_code_info, None, "comments are not given out");
    assert_eq!(
        headwater_stubs::json::ROUTE_GUIDE.file_descriptor_set,
        b"",
        "left out if not wanted"
    );
}
