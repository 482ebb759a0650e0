//! The service that all interop clients call.

use std::time::Duration;

use bytes::Bytes;
use headwater_rpc::{
    Code, Detail, Metadata, Status,
    stub::{Failure, Messages, ServerRequest, Sink},
};
use prost::Message as _;

use crate::{
    compression,
    protocol::{
        BoolValue, EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
        StreamingOutputCallResponse, TestService,
    },
};

/// The value under this key is sent back with the headers.
pub(crate) const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
/// The value under this key is sent back with the trailers.
pub(crate) const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";
/// The largest payload that is made: one response then keeps within what every client takes.
const PAYLOAD_BYTES_MAX: usize = 3 << 20;

/// `grpc.testing.TestService`, with all that the published cases ask of it.
#[derive(Debug)]
pub(crate) struct Interop;

impl TestService for Interop {
    async fn empty_call(&self, message: Empty) -> Result<Empty, Status> {
        Ok(message)
    }

    async fn unary_call_streaming(
        &self,
        request: ServerRequest<Messages<SimpleRequest>>,
        responses: Sink<SimpleResponse>,
    ) -> Result<Metadata, Failure> {
        let (mut requests, metadata) = (request.message, request.context.metadata);
        let missing = || invalid("the request is missing");
        let request = requests.message().await?.ok_or_else(missing)?;
        check_compression(request.expect_compressed, &requests)?;
        compression::allow(&responses)?;
        let trailers = echo_metadata(&metadata, &responses)?;
        echo_status(request.response_status, request.payload, &trailers)?;
        let response = SimpleResponse {
            payload: Some(payload(request.response_size)?),
            ..SimpleResponse::default()
        };
        compression::send(&responses, response, request.response_compressed).await?;
        Ok(trailers)
    }

    async fn streaming_input_call_streaming(
        &self,
        request: ServerRequest<Messages<StreamingInputCallRequest>>,
        responses: Sink<StreamingInputCallResponse>,
    ) -> Result<Metadata, Failure> {
        let (mut requests, metadata) = (request.message, request.context.metadata);
        let trailers = echo_metadata(&metadata, &responses)?;
        let mut bytes = 0;
        while let Some(request) = requests.message().await? {
            check_compression(request.expect_compressed, &requests)?;
            bytes += request.payload.map_or(0, |payload| payload.body.len());
        }
        let too_many = |_| Status::new(Code::OutOfRange, "more bytes than the response can say");
        let aggregated_payload_size = i32::try_from(bytes).map_err(too_many)?;
        let response = StreamingInputCallResponse {
            aggregated_payload_size,
        };
        responses.send(response).await?;
        Ok(trailers)
    }

    async fn full_duplex_call_streaming(
        &self,
        request: ServerRequest<Messages<StreamingOutputCallRequest>>,
        responses: Sink<StreamingOutputCallResponse>,
    ) -> Result<Metadata, Failure> {
        let (mut requests, metadata) = (request.message, request.context.metadata);
        compression::allow(&responses)?;
        let trailers = echo_metadata(&metadata, &responses)?;
        while let Some(request) = requests.message().await? {
            answer(request, &responses, &trailers).await?;
        }
        Ok(trailers)
    }

    async fn streaming_output_call_streaming(
        &self,
        request: ServerRequest<Messages<StreamingOutputCallRequest>>,
        responses: Sink<StreamingOutputCallResponse>,
    ) -> Result<Metadata, Failure> {
        // One request is a special case of many.
        self.half_duplex_call_streaming(request, responses).await
    }

    /// Of one request, or of many: the answers begin when the client has sent the last.
    async fn half_duplex_call_streaming(
        &self,
        request: ServerRequest<Messages<StreamingOutputCallRequest>>,
        responses: Sink<StreamingOutputCallResponse>,
    ) -> Result<Metadata, Failure> {
        let (mut requests, metadata) = (request.message, request.context.metadata);
        compression::allow(&responses)?;
        let trailers = echo_metadata(&metadata, &responses)?;
        let mut all = Vec::new();
        while requests.next_batch(&mut all).await? > 0 {}
        for request in all {
            answer(request, &responses, &trailers).await?;
        }
        Ok(trailers)
    }
}

/// Sends what the request asks for.
async fn answer(
    request: StreamingOutputCallRequest,
    responses: &Sink<StreamingOutputCallResponse>,
    trailers: &Metadata,
) -> Result<(), Failure> {
    echo_status(request.response_status, request.payload, trailers)?;
    for parameters in request.response_parameters {
        let ResponseParameters {
            size,
            interval_us,
            compressed,
        } = parameters;
        if let Some(interval) = u64::try_from(interval_us).ok().filter(|us| *us > 0) {
            tokio::time::sleep(Duration::from_micros(interval)).await;
        }
        let response = StreamingOutputCallResponse {
            payload: Some(payload(size)?),
        };
        compression::send(responses, response, compressed).await?;
    }
    Ok(())
}

/// Sends the headers, with what of the request's metadata they repeat, and gives the trailers.
fn echo_metadata<T>(request: &Metadata, responses: &Sink<T>) -> Result<Metadata, Status> {
    let (mut headers, mut trailers) = (Metadata::new(), Metadata::new());
    let refused = |error| invalid(&format!("metadata that cannot be sent back: {error}"));
    if let Some(value) = request.text(ECHO_INITIAL) {
        headers.append(ECHO_INITIAL, value).map_err(refused)?;
    }
    if let Some(value) = request.bytes(ECHO_TRAILING) {
        let value = value.clone();
        trailers
            .append_bytes(ECHO_TRAILING, value)
            .map_err(refused)?;
    }
    responses.send_headers(headers)?;
    Ok(trailers)
}

/// Fails if the request asks for it. The payload of the request is then a rich detail of the status: no published case
/// looks at that, and other clients have something to show.
fn echo_status(
    wanted: Option<EchoStatus>,
    payload: Option<Payload>,
    trailers: &Metadata,
) -> Result<(), Failure> {
    let Some(EchoStatus { code, message }) = wanted else {
        return Ok(());
    };
    let Some(code) = Code::from_number(code.into()) else {
        return Ok(());
    };
    let mut status = Status::new(code, message);
    if let Some(payload) = payload {
        let detail = Detail::new("grpc.testing.Payload", payload.encode_to_vec());
        status = status.with_details([detail]);
    }
    Err(Failure {
        status,
        trailers: trailers.clone(),
    })
}

/// Fails unless the message that came last was compressed as it says itself.
fn check_compression<T>(told: Option<BoolValue>, requests: &Messages<T>) -> Result<(), Status> {
    let found = requests.was_compressed();
    match told {
        Some(BoolValue { value }) if value != found => Err(invalid(&format!(
            "expected a message with compressed = {value}, and it is {found}"
        ))),
        Some(_) | None => Ok(()),
    }
}

fn payload(size: i32) -> Result<Payload, Status> {
    let size = usize::try_from(size).map_err(|_| invalid("a size below zero"))?;
    if size > PAYLOAD_BYTES_MAX {
        return Err(invalid(&format!(
            "{size} bytes, of at most {PAYLOAD_BYTES_MAX}"
        )));
    }
    Ok(Payload {
        body: Bytes::from(vec![0; size]),
        ..Payload::default()
    })
}

fn invalid(reason: &str) -> Status {
    Status::new(Code::InvalidArgument, reason)
}
