//! What a typed client offers beside its calls: what a method takes and gives, and calls without `async`.

use std::time::Duration;

use headwater_conformance::for_each_transport;
use headwater_rpc::{
    Code, Shape, Status,
    stub::{Failure, Request, ServiceDescriptor, block_on},
};
use headwater_stubs::{
    bare::CLOCK,
    guide::{Guided, feature, point},
    routeguide::ROUTE_GUIDE,
};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tokio::{runtime::Handle, task::spawn_blocking};

/// Beyond this a call hangs; none waits for it.
const LONG: Duration = Duration::from_secs(30);

/// The message of this full name, as the service's file has it.
fn message(service: &ServiceDescriptor, name: &str) -> DescriptorProto {
    let files = FileDescriptorSet::decode(service.file_descriptor_set).expect("a valid set");
    let full = |package: &str, message: &DescriptorProto| match package {
        "" => message.name().to_owned(),
        package => format!("{package}.{}", message.name()),
    };
    let found = files.file.iter().find_map(|file| {
        let mut messages = file.message_type.iter();
        messages.find(|message| full(file.package(), message) == name)
    });
    found
        .unwrap_or_else(|| panic!("{name} is in none of the files"))
        .clone()
}

fn fields(message: &DescriptorProto) -> Vec<(&str, i32)> {
    let fields = message.field.iter();
    fields.map(|field| (field.name(), field.number())).collect()
}

/// S5-67: of any method of a client it can be asked, by its name, what it takes and gives, down to the fields.
#[test]
fn s5_67_a_descriptor_tells_the_types_of_requests_and_responses() {
    let method = ROUTE_GUIDE.method("GetFeature").expect("it is in the file");
    assert_eq!(method.shape, Shape::Unary);
    assert_eq!(
        (method.request, method.response),
        ("routeguide.Point", "routeguide.Feature")
    );
    let request = message(&ROUTE_GUIDE, method.request);
    assert_eq!(fields(&request), [("latitude", 1), ("longitude", 2)]);
    let response = message(&ROUTE_GUIDE, method.response);
    assert_eq!(fields(&response), [("name", 1), ("location", 2)]);
    assert_eq!(
        ROUTE_GUIDE.method("getFeature"),
        None,
        "names are as in the file"
    );
    // Also types of other files.
    let now = CLOCK.method("Now").expect("it is in the file");
    let name = "google.protobuf.Timestamp";
    assert_eq!((now.request, now.response), ("google.protobuf.Empty", name));
    assert_eq!(
        fields(&message(&CLOCK, name)),
        [("seconds", 1), ("nanos", 2)]
    );
}

/// S5-67: a thread without `async` makes a typed unary call, and waits for the response or the status.
#[test]
fn s5_67_a_thread_without_async_makes_a_unary_call() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let (client, runtime) = (guided.client.clone(), Handle::current());
        let calls = spawn_blocking(move || {
            let there = block_on(&runtime, LONG, client.get_feature(point(3)));
            let nowhere = client.get_feature_with(Request::new(point(-1)));
            (there, block_on(&runtime, LONG, nowhere))
        });
        let (there, nowhere) = calls.await.expect("it does not panic");
        assert_eq!(there, Ok(feature(3)));
        let failure: Failure = nowhere.expect_err("there is nothing");
        assert_eq!(
            failure.status.code,
            Code::NotFound,
            "the service's own status"
        );
    });
}

/// S5-67: a call that takes longer than its thread waits ends with `DEADLINE_EXCEEDED` there, and is cancelled at the server.
#[test]
fn s5_67_a_call_without_async_that_takes_too_long_is_cancelled_on_both_sides() {
    for_each_transport(|transport| async move {
        let guided = Guided::new(transport).await;
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        let path = "/routeguide.RouteGuide/OldFeature";
        guided.pair.router.stream(path, move |call| {
            let told = told.clone();
            async move {
                let call = call;
                let _ = told.send(call.cancellation.cancelled().await);
            }
        });
        // From here on the connection is up, and the call has all of its time.
        guided
            .client
            .get_feature(point(1))
            .await
            .expect("it is served");
        let (client, runtime) = (guided.client.clone(), Handle::current());
        let call = spawn_blocking(move || {
            #[allow(deprecated, reason = "the file says so")]
            let call = client.old_feature(point(1));
            block_on(&runtime, Duration::from_millis(500), call)
        });
        let outcome = call.await.expect("it does not panic");
        let message = "there was no answer within 500ms";
        assert_eq!(outcome, Err(Status::new(Code::DeadlineExceeded, message)));
        tells.recv().await.expect("the handler is told");
        while guided.pair.server.open_calls() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
