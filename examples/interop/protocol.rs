//! The protocol of the interop cases: messages, client and service.

use std::sync::Arc;

use headwater_rpc::{
    Router, Shape, Status,
    stub::{
        Failure, Messages, MethodDescriptor, ProstCodec, Request, Response, Sink,
        client::{streaming, unary_with},
        server,
    },
};

use crate::{endpoint::Connected, service::Interop};

pub(crate) use generated::*;

#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated, and an example exports nothing"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/grpc.testing.rs"));
}

const fn method(name: &'static str, path: &'static str, shape: Shape) -> MethodDescriptor {
    MethodDescriptor {
        name,
        path,
        shape,
        request: "",
        response: "",
    }
}

const EMPTY_CALL: MethodDescriptor = method(
    "EmptyCall",
    "/grpc.testing.TestService/EmptyCall",
    Shape::Unary,
);
const UNARY_CALL: MethodDescriptor = method(
    "UnaryCall",
    "/grpc.testing.TestService/UnaryCall",
    Shape::Unary,
);
const STREAMING_INPUT_CALL: MethodDescriptor = method(
    "StreamingInputCall",
    "/grpc.testing.TestService/StreamingInputCall",
    Shape::ClientStreaming,
);
const STREAMING_OUTPUT_CALL: MethodDescriptor = method(
    "StreamingOutputCall",
    "/grpc.testing.TestService/StreamingOutputCall",
    Shape::ServerStreaming,
);
const FULL_DUPLEX_CALL: MethodDescriptor = method(
    "FullDuplexCall",
    "/grpc.testing.TestService/FullDuplexCall",
    Shape::Bidirectional,
);
const HALF_DUPLEX_CALL: MethodDescriptor = method(
    "HalfDuplexCall",
    "/grpc.testing.TestService/HalfDuplexCall",
    Shape::Bidirectional,
);
const UNIMPLEMENTED_CALL: MethodDescriptor = method(
    "UnimplementedCall",
    "/grpc.testing.TestService/UnimplementedCall",
    Shape::Unary,
);
const UNIMPLEMENTED_SERVICE_CALL: MethodDescriptor = method(
    "UnimplementedCall",
    "/grpc.testing.UnimplementedService/UnimplementedCall",
    Shape::Unary,
);

/// A client of `TestService`.
pub(crate) struct TestServiceClient(Connected);

impl TestServiceClient {
    pub(crate) const fn new(client: Connected) -> Self {
        Self(client)
    }

    pub(crate) async fn empty_call_with(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Empty>, Failure> {
        unary_with::<ProstCodec, _, _>(&self.0, &EMPTY_CALL, request).await
    }

    pub(crate) async fn unary_call_with(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Failure> {
        unary_with::<ProstCodec, _, _>(&self.0, &UNARY_CALL, request).await
    }

    pub(crate) async fn unary_call_streaming(
        &self,
        request: Request<()>,
    ) -> Result<(Sink<SimpleRequest>, Messages<SimpleResponse>), Status> {
        streaming::<ProstCodec, _, _>(&self.0, &UNARY_CALL, request).await
    }

    pub(crate) async fn streaming_input_call_streaming(
        &self,
        request: Request<()>,
    ) -> Result<
        (
            Sink<StreamingInputCallRequest>,
            Messages<StreamingInputCallResponse>,
        ),
        Status,
    > {
        streaming::<ProstCodec, _, _>(&self.0, &STREAMING_INPUT_CALL, request).await
    }

    pub(crate) async fn streaming_output_call_streaming(
        &self,
        request: Request<()>,
    ) -> Result<
        (
            Sink<StreamingOutputCallRequest>,
            Messages<StreamingOutputCallResponse>,
        ),
        Status,
    > {
        streaming::<ProstCodec, _, _>(&self.0, &STREAMING_OUTPUT_CALL, request).await
    }

    pub(crate) async fn full_duplex_call_streaming(
        &self,
        request: Request<()>,
    ) -> Result<
        (
            Sink<StreamingOutputCallRequest>,
            Messages<StreamingOutputCallResponse>,
        ),
        Status,
    > {
        streaming::<ProstCodec, _, _>(&self.0, &FULL_DUPLEX_CALL, request).await
    }

    pub(crate) async fn unimplemented_call_with(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Empty>, Failure> {
        unary_with::<ProstCodec, _, _>(&self.0, &UNIMPLEMENTED_CALL, request).await
    }

    pub(crate) async fn unimplemented_service_call_with(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Empty>, Failure> {
        unary_with::<ProstCodec, _, _>(&self.0, &UNIMPLEMENTED_SERVICE_CALL, request).await
    }
}

/// Puts the service on these routes.
pub(crate) fn register(router: &Router, service: &Arc<Interop>) {
    server::register::<ProstCodec, _, _, _, _, _>(
        router,
        &EMPTY_CALL,
        service,
        |s, q, r| async move { s.empty_call_streaming(q, r).await },
    );
    server::register::<ProstCodec, _, _, _, _, _>(
        router,
        &UNARY_CALL,
        service,
        |s, q, r| async move { s.unary_call_streaming(q, r).await },
    );
    server::register::<ProstCodec, _, _, _, _, _>(
        router,
        &STREAMING_INPUT_CALL,
        service,
        |s, q, r| async move { s.streaming_input_call_streaming(q, r).await },
    );
    server::register::<ProstCodec, _, _, _, _, _>(
        router,
        &STREAMING_OUTPUT_CALL,
        service,
        |s, q, r| async move { s.streaming_output_call_streaming(q, r).await },
    );
    server::register::<ProstCodec, _, _, _, _, _>(
        router,
        &FULL_DUPLEX_CALL,
        service,
        |s, q, r| async move { s.full_duplex_call_streaming(q, r).await },
    );
    server::register::<ProstCodec, _, _, _, _, _>(
        router,
        &HALF_DUPLEX_CALL,
        service,
        |s, q, r| async move { s.half_duplex_call_streaming(q, r).await },
    );
}
