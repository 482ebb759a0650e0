//! Reflection, as a client sees it.

use std::collections::BTreeSet;

use headwater_conformance::{Fixture, for_each_transport};
use headwater_rpc::{
    Code,
    stub::{Messages, Request, ServiceDescriptor, Sink},
};
use headwater_services::{
    Reflection,
    health::v1::HEALTH,
    reflection::v1::{
        ExtensionRequest, ServerReflectionClient, ServerReflectionRequest,
        ServerReflectionResponse, server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    },
};
use prost::Message as _;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

const V1: &str = "grpc.reflection.v1.ServerReflection";
const V1_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// One stream of questions.
struct Stream {
    questions: Sink<ServerReflectionRequest>,
    answers: Messages<ServerReflectionResponse>,
}

impl Stream {
    async fn open(fixture: &Fixture, reflection: &Reflection) -> Self {
        for service in reflection.services() {
            // A second stream finds them there.
            let _ = fixture.router.add(service);
        }
        let client = ServerReflectionClient::new(fixture.client.clone());
        let call = client.server_reflection_info_streaming(Request::new(()));
        let (questions, answers) = call.await.expect("the stream opens");
        Self { questions, answers }
    }

    async fn ask(&mut self, question: Option<MessageRequest>) -> MessageResponse {
        let request = ServerReflectionRequest {
            host: "a.host".to_owned(),
            message_request: question,
        };
        let sent = self.questions.send(request.clone()).await;
        sent.expect("the stream is open");
        let answer = self.answers.message().await.expect("the stream is open");
        let answer = answer.expect("one answer a question");
        assert_eq!(answer.valid_host, "a.host");
        assert_eq!(answer.original_request, Some(request));
        answer.message_response.expect("an answer says something")
    }

    /// The names of the files that are the answer.
    async fn files(&mut self, question: MessageRequest) -> Vec<String> {
        let answer = self.ask(Some(question)).await;
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            panic!("not files: {answer:?}");
        };
        let files = files.file_descriptor_proto.into_iter();
        let files = files.map(|file| FileDescriptorProto::decode(file).expect("a file"));
        files.map(|file| file.name().to_owned()).collect()
    }

    async fn services(&mut self) -> Vec<String> {
        let question = MessageRequest::ListServices(String::new());
        let answer = self.ask(Some(question)).await;
        let MessageResponse::ListServicesResponse(list) = answer else {
            panic!("no list: {answer:?}");
        };
        list.service.into_iter().map(|one| one.name).collect()
    }

    async fn code(&mut self, question: Option<MessageRequest>) -> i32 {
        let answer = self.ask(question).await;
        let MessageResponse::ErrorResponse(error) = answer else {
            panic!("no error: {answer:?}");
        };
        error.error_code
    }
}

fn symbol(name: &str) -> MessageRequest {
    MessageRequest::FileContainingSymbol(name.to_owned())
}

fn extension(message: &str, number: i32) -> MessageRequest {
    MessageRequest::FileContainingExtension(ExtensionRequest {
        containing_type: message.to_owned(),
        extension_number: number,
    })
}

/// A service of which the file `b.proto` imports `a.proto` and extends the message of it by fields 100 and 200.
fn extending() -> ServiceDescriptor {
    let extension = |name: &str, number| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        extendee: Some(".a.Extended".to_owned()),
        ..FieldDescriptorProto::default()
    };
    let message = DescriptorProto {
        name: Some("Extended".to_owned()),
        ..DescriptorProto::default()
    };
    let a = FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        package: Some("a".to_owned()),
        message_type: vec![message],
        ..FileDescriptorProto::default()
    };
    let b = FileDescriptorProto {
        name: Some("b.proto".to_owned()),
        package: Some("b".to_owned()),
        dependency: vec!["a.proto".to_owned()],
        extension: vec![extension("late", 200), extension("early", 100)],
        ..FileDescriptorProto::default()
    };
    let files = FileDescriptorSet { file: vec![a, b] };
    ServiceDescriptor {
        name: "b.Service",
        package: "b",
        methods: &[],
        file_descriptor_set: files.encode_to_vec().leak(),
    }
}

/// S4-38: reflection v1, what grpcurl's `list` asks.
#[test]
fn s4_38_services_are_listed_as_they_come_and_go() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let reflection = Reflection::new();
        let mut stream = Stream::open(&fixture, &reflection).await;
        assert_eq!(stream.services().await, [V1, V1_ALPHA]);
        reflection.add(&HEALTH).expect("generated descriptors");
        assert_eq!(
            stream.services().await,
            ["grpc.health.v1.Health", V1, V1_ALPHA]
        );
        assert!(reflection.remove(HEALTH.name));
        assert!(!reflection.remove(HEALTH.name), "it is gone");
        assert_eq!(stream.services().await, [V1, V1_ALPHA]);
        let gone = stream.code(Some(symbol(HEALTH.name))).await;
        assert_eq!(gone, i32::from(Code::NotFound.number()));
    });
}

/// S4-38: reflection v1, by file name and by symbol.
#[test]
fn s4_38_a_file_is_found_by_its_name_and_by_every_symbol_in_it() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let reflection = Reflection::new();
        reflection.add(&HEALTH).expect("generated descriptors");
        let mut stream = Stream::open(&fixture, &reflection).await;
        let file = "grpc/health/v1/health.proto";
        let by_name = MessageRequest::FileByFilename(file.to_owned());
        assert_eq!(stream.files(by_name).await, [file]);
        for name in [
            "Health",
            "Health.Check",
            "HealthCheckRequest",
            "HealthCheckRequest.service",
            "HealthCheckResponse.ServingStatus",
            "HealthCheckResponse.SERVING",
            "HealthListResponse.StatusesEntry",
        ] {
            let found = stream
                .files(symbol(&format!("grpc.health.v1.{name}")))
                .await;
            assert_eq!(found, [file], "{name}");
        }
        let alpha = stream.files(symbol(V1_ALPHA)).await;
        assert_eq!(alpha, ["grpc/reflection/v1alpha/reflection.proto"]);
        let oneof = symbol("grpc.reflection.v1.ServerReflectionRequest.message_request");
        assert_eq!(
            stream.files(oneof).await,
            ["grpc/reflection/v1/reflection.proto"]
        );
    });
}

/// S4-38: reflection v1, by extension, with what a file imports.
#[test]
fn s4_38_extensions_are_found_and_imports_come_once_a_stream() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let reflection = Reflection::new();
        reflection.add(&extending()).expect("these are descriptors");
        let mut stream = Stream::open(&fixture, &reflection).await;
        let both = stream.files(extension("a.Extended", 100)).await;
        assert_eq!(
            both,
            ["b.proto", "a.proto"],
            "the file first, then its imports"
        );
        let again = stream.files(symbol("b.late")).await;
        assert_eq!(again, ["b.proto"], "the stream has had the import");
        let mut other = Stream::open(&fixture, &reflection).await;
        let fresh = other.files(symbol("b.late")).await;
        assert_eq!(
            fresh,
            ["b.proto", "a.proto"],
            "another stream has had nothing"
        );

        let all = |name: &str| Some(MessageRequest::AllExtensionNumbersOfType(name.to_owned()));
        let answer = stream.ask(all("a.Extended")).await;
        let MessageResponse::AllExtensionNumbersResponse(numbers) = answer else {
            panic!("no numbers: {answer:?}");
        };
        assert_eq!(numbers.base_type_name, "a.Extended");
        assert_eq!(numbers.extension_number, [100, 200]);
        let not_found = i32::from(Code::NotFound.number());
        assert_eq!(stream.code(all("a.Unknown")).await, not_found);
        let unknown = extension("a.Extended", 101);
        assert_eq!(stream.code(Some(unknown)).await, not_found);
    });
}

/// S4-38: an error is an answer, and the stream goes on.
#[test]
fn s4_38_what_is_not_there_is_an_answer() {
    for_each_transport(async |transport| {
        let fixture = Fixture::new(transport).await;
        let mut stream = Stream::open(&fixture, &Reflection::new()).await;
        let not_found = i32::from(Code::NotFound.number());
        let file = MessageRequest::FileByFilename("no.proto".to_owned());
        assert_eq!(stream.code(Some(file)).await, not_found);
        assert_eq!(stream.code(Some(symbol("no.Symbol"))).await, not_found);
        let invalid = i32::from(Code::InvalidArgument.number());
        assert_eq!(stream.code(None).await, invalid, "nothing was asked");
        assert_eq!(stream.services().await, [V1, V1_ALPHA]);
    });
}

#[test]
fn descriptors_that_are_none_change_nothing() {
    let reflection = Reflection::new();
    let broken = ServiceDescriptor {
        name: "b.Broken",
        file_descriptor_set: b"\x0a\xff",
        ..extending()
    };
    reflection
        .add(&broken)
        .expect_err("these are no descriptors");
    assert_eq!(
        format!("{reflection:?}"),
        format!("{:?}", Reflection::new())
    );
    let bare = ServiceDescriptor {
        file_descriptor_set: &[],
        ..broken
    };
    reflection.add(&bare).expect("a service may have none");
    let names: BTreeSet<_> = [V1, V1_ALPHA, "b.Broken"].into();
    assert_eq!(format!("{reflection:?}"), format!("{names:?}"));
}
