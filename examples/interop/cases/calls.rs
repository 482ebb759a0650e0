//! Calls of every shape that succeed.

use bytes::Bytes;
use headwater_rpc::{
    Metadata,
    stub::{Messages, Request},
};

use super::{SOAK_ITERATIONS, Wrong, equal, options};
use crate::{
    endpoint::Target,
    protocol::{
        Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
        StreamingOutputCallResponse, TestServiceClient,
    },
    service::{ECHO_INITIAL, ECHO_TRAILING},
};

pub(super) const LARGE_REQUEST: usize = 271_828;
pub(super) const LARGE_RESPONSE: i32 = 314_159;
pub(super) const REQUESTS: [usize; 4] = [27_182, 8, 1_828, 45_904];
pub(super) const RESPONSES: [i32; 4] = [31_415, 9, 2_653, 58_979];

pub(super) fn request<T>(message: T) -> Request<T> {
    Request {
        options: options(),
        ..Request::new(message)
    }
}

/// This many zeros.
pub(super) fn zeros(size: usize) -> Option<Payload> {
    Some(Payload {
        body: Bytes::from(vec![0; size]),
        ..Payload::default()
    })
}

pub(super) fn large() -> SimpleRequest {
    SimpleRequest {
        response_size: LARGE_RESPONSE,
        payload: zeros(LARGE_REQUEST),
        ..SimpleRequest::default()
    }
}

pub(super) fn check_large(response: &SimpleResponse) -> Result<(), Wrong> {
    equal(&size(response.payload.as_ref()), &LARGE_RESPONSE, "size")
}

/// The size of a payload of zeros; anything else has none.
pub(super) fn size(payload: Option<&Payload>) -> i32 {
    let body = payload.map(|payload| &payload.body);
    let body = body.filter(|body| body.iter().all(|byte| *byte == 0));
    body.map_or(-1, |body| i32::try_from(body.len()).unwrap_or(-1))
}

pub(super) fn duplex(response: i32, request: usize) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![wanted(response)],
        payload: zeros(request),
        ..StreamingOutputCallRequest::default()
    }
}

fn wanted(size: i32) -> ResponseParameters {
    ResponseParameters {
        size,
        ..ResponseParameters::default()
    }
}

/// The sizes of all responses to the end, which has to be OK.
async fn sizes(messages: &mut Messages<StreamingOutputCallResponse>) -> Result<Vec<i32>, Wrong> {
    let mut all = Vec::new();
    while messages.next_batch(&mut all).await? > 0 {}
    let sizes = all.iter().map(|response| size(response.payload.as_ref()));
    Ok(sizes.collect())
}

pub(super) async fn empty_unary(client: &TestServiceClient) -> Result<(), Wrong> {
    client.empty_call_with(request(Empty {})).await?;
    Ok(())
}

pub(super) async fn large_unary(client: &TestServiceClient) -> Result<(), Wrong> {
    let response = client.unary_call_with(request(large())).await?;
    check_large(&response.message)
}

pub(super) async fn client_streaming(client: &TestServiceClient) -> Result<(), Wrong> {
    let (sink, mut messages) = client.streaming_input_call_streaming(request(())).await?;
    for size in REQUESTS {
        let request = StreamingInputCallRequest {
            payload: zeros(size),
            ..StreamingInputCallRequest::default()
        };
        sink.send(request).await?;
    }
    sink.finish()?;
    let mut all = Vec::new();
    while messages.next_batch(&mut all).await? > 0 {}
    let expected = StreamingInputCallResponse {
        aggregated_payload_size: 74_922,
    };
    equal(&all, &vec![expected], "answer")
}

pub(super) async fn server_streaming(client: &TestServiceClient) -> Result<(), Wrong> {
    let message = StreamingOutputCallRequest {
        response_parameters: RESPONSES.map(wanted).to_vec(),
        ..StreamingOutputCallRequest::default()
    };
    let (sink, mut messages) = client.streaming_output_call_streaming(request(())).await?;
    sink.send(message).await?;
    sink.finish()?;
    equal(&sizes(&mut messages).await?, &RESPONSES.to_vec(), "sizes")
}

pub(super) async fn ping_pong(client: &TestServiceClient) -> Result<(), Wrong> {
    let (sink, mut messages) = client.full_duplex_call_streaming(request(())).await?;
    for (bytes, expected) in REQUESTS.into_iter().zip(RESPONSES) {
        sink.send(duplex(expected, bytes)).await?;
        let response = messages.message().await?;
        let payload = response
            .as_ref()
            .and_then(|response| response.payload.as_ref());
        equal(&size(payload), &expected, "size")?;
    }
    sink.finish()?;
    equal(&messages.message().await?, &None, "a further answer")
}

pub(super) async fn empty_stream(client: &TestServiceClient) -> Result<(), Wrong> {
    let (sink, mut messages) = client.full_duplex_call_streaming(request(())).await?;
    sink.finish()?;
    equal(&messages.message().await?, &None, "an answer")
}

pub(super) async fn custom_metadata(client: &TestServiceClient) -> Result<(), Wrong> {
    let mut metadata = Metadata::new();
    let added = metadata
        .append(ECHO_INITIAL, "test_initial_metadata_value")
        .and_then(|()| metadata.append_bytes(ECHO_TRAILING, &b"\xab\xab\xab"[..]));
    added.map_err(|error| Wrong(error.to_string()))?;
    let unary = Request {
        metadata: metadata.clone(),
        ..request(large())
    };
    let response = client.unary_call_with(unary).await?;
    check_large(&response.message)?;
    check_echo(&metadata, &response.headers, &response.trailers)?;

    let duplex_call = Request {
        metadata: metadata.clone(),
        ..request(())
    };
    let (sink, mut messages) = client.full_duplex_call_streaming(duplex_call).await?;
    sink.send(duplex(LARGE_RESPONSE, LARGE_REQUEST)).await?;
    sink.finish()?;
    let headers = messages.headers().await.unwrap_or_default();
    equal(&sizes(&mut messages).await?, &vec![LARGE_RESPONSE], "sizes")?;
    check_echo(
        &metadata,
        &headers,
        &messages.trailers().unwrap_or_default(),
    )
}

fn check_echo(sent: &Metadata, headers: &Metadata, trailers: &Metadata) -> Result<(), Wrong> {
    let (found, expected) = (headers.text(ECHO_INITIAL), sent.text(ECHO_INITIAL));
    equal(&found, &expected, "initial metadata")?;
    let (found, expected) = (trailers.bytes(ECHO_TRAILING), sent.bytes(ECHO_TRAILING));
    equal(&found, &expected, "trailing metadata")
}

/// Many calls on one channel.
pub(super) async fn rpc_soak(client: &TestServiceClient) -> Result<(), Wrong> {
    for _ in 0..SOAK_ITERATIONS {
        large_unary(client).await?;
    }
    Ok(())
}

/// Each call on a channel of its own.
pub(super) async fn channel_soak(target: &Target) -> Result<(), Wrong> {
    for _ in 0..SOAK_ITERATIONS {
        let connected = target.connect()?;
        large_unary(&TestServiceClient::new(connected.client.clone())).await?;
    }
    Ok(())
}
