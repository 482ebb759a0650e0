//! Calls whose messages are compressed, or not, one by one.

use headwater_rpc::{
    Code, Status,
    stub::{Messages, Sink},
};

use super::{
    Wrong,
    calls::{check_large, large, request, size, zeros},
    equal,
};
use crate::{
    compression,
    protocol::{
        BoolValue, ResponseParameters, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
        StreamingInputCallResponse, StreamingOutputCallRequest, TestServiceClient,
    },
};

const YES: Option<BoolValue> = Some(BoolValue { value: true });
const NO: Option<BoolValue> = Some(BoolValue { value: false });

/// Sends what expects to come compressed uncompressed first, which a server has to refuse.
pub(super) async fn client_unary(client: &TestServiceClient, probe: bool) -> Result<(), Wrong> {
    let expecting = |expect_compressed| SimpleRequest {
        expect_compressed,
        ..large()
    };
    if probe {
        refused(unary(client, expecting(YES), NO).await)?;
    }
    for compressed in [YES, NO] {
        let (response, _) = unary(client, expecting(compressed), compressed).await?;
        check_large(&response)?;
    }
    Ok(())
}

pub(super) async fn server_unary(client: &TestServiceClient) -> Result<(), Wrong> {
    for response_compressed in [YES, NO] {
        let asked = SimpleRequest {
            response_compressed,
            ..large()
        };
        let (response, found) = unary(client, asked, NO).await?;
        check_large(&response)?;
        equal(&Some(found), &response_compressed, "flag")?;
    }
    Ok(())
}

/// One call; the response, and whether it came compressed.
async fn unary(
    client: &TestServiceClient,
    message: SimpleRequest,
    compressed: Option<BoolValue>,
) -> Result<(SimpleResponse, BoolValue), Status> {
    let call = compression::request(request(()), compressed);
    let (sink, mut messages) = client.unary_call_streaming(call).await?;
    compression::send(&sink, message, compressed).await?;
    let _ = sink.finish();
    single(&mut messages).await
}

/// As [`client_unary`]; then one call with a message of each kind.
pub(super) async fn client_streaming(client: &TestServiceClient, probe: bool) -> Result<(), Wrong> {
    let call = |compressed| {
        let call = compression::request(request(()), compressed);
        client.streaming_input_call_streaming(call)
    };
    if probe {
        let (sink, mut messages) = call(NO).await?;
        count(&sink, 27_182, YES, NO).await?;
        let _ = sink.finish();
        refused(single(&mut messages).await)?;
    }
    let (sink, mut messages) = call(YES).await?;
    count(&sink, 27_182, YES, YES).await?;
    count(&sink, 45_904, NO, NO).await?;
    sink.finish()?;
    let (response, _) = single(&mut messages).await?;
    let expected = StreamingInputCallResponse {
        aggregated_payload_size: 73_086,
    };
    equal(&response, &expected, "answer")
}

/// Sends a message that expects one thing, and does another.
async fn count(
    sink: &Sink<StreamingInputCallRequest>,
    size: usize,
    expect_compressed: Option<BoolValue>,
    compressed: Option<BoolValue>,
) -> Result<(), Status> {
    let message = StreamingInputCallRequest {
        payload: zeros(size),
        expect_compressed,
    };
    compression::send(sink, message, compressed).await
}

pub(super) async fn server_streaming(client: &TestServiceClient) -> Result<(), Wrong> {
    let wanted = [(31_415, YES), (92_653, NO)];
    let parameters = wanted.map(|(size, compressed)| ResponseParameters {
        size,
        compressed,
        ..ResponseParameters::default()
    });
    let asked = StreamingOutputCallRequest {
        response_parameters: parameters.to_vec(),
        ..StreamingOutputCallRequest::default()
    };
    let call = compression::request(request(()), NO);
    let (sink, mut messages) = client.streaming_output_call_streaming(call).await?;
    sink.send(asked).await?;
    sink.finish()?;
    let mut found = Vec::new();
    while let Some(response) = messages.message().await? {
        let value = messages.was_compressed();
        found.push((size(response.payload.as_ref()), Some(BoolValue { value })));
    }
    equal(&found, &wanted.to_vec(), "sizes and flags")
}

/// The one response, and whether it came compressed.
async fn single<T>(messages: &mut Messages<T>) -> Result<(T, BoolValue), Status> {
    let missing = || Status::new(Code::Internal, "the response is missing");
    let message = messages.message().await?.ok_or_else(missing)?;
    let value = messages.was_compressed();
    while messages.message().await?.is_some() {}
    Ok((message, BoolValue { value }))
}

fn refused<T>(outcome: Result<T, Status>) -> Result<(), Wrong> {
    let code = outcome.err().map(|status| status.code);
    equal(&code, &Some(Code::InvalidArgument), "status of the probe")
}
