//! Calls that end otherwise than with OK.

use std::time::Duration;

use headwater_rpc::{CallOptions, Client, Code, Status, stub::Request};

use super::{
    Wrong,
    calls::{REQUESTS, RESPONSES, duplex, request, size, zeros},
    equal,
};
use crate::protocol::{
    EchoStatus, Empty, SimpleRequest, StreamingOutputCallRequest, TestServiceClient,
    UnimplementedServiceClient,
};

/// What `special_status_message` sends: white space, and characters inside and outside of the basic plane.
const SPECIAL: &str =
    "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";

fn fails<T>(outcome: Result<T, impl Into<Status>>, code: Code) -> Result<Status, Wrong> {
    let Err(status) = outcome else {
        return Err(Wrong(format!("expected {code}, and the call succeeded")));
    };
    let status = status.into();
    equal(&status.code, &code, &format!("status ({})", status.message))?;
    Ok(status)
}

async fn unary_status(client: &TestServiceClient, message: &str) -> Result<(), Wrong> {
    let asked = SimpleRequest {
        response_status: Some(echo(message)),
        ..SimpleRequest::default()
    };
    let outcome = client.unary_call_with(request(asked)).await;
    let status = fails(outcome, Code::Unknown)?;
    equal(&status.message.as_str(), &message, "message of the status")
}

fn echo(message: &str) -> EchoStatus {
    EchoStatus {
        code: Code::Unknown.number().into(),
        message: message.into(),
    }
}

pub(super) async fn status_code_and_message(client: &TestServiceClient) -> Result<(), Wrong> {
    let message = "test status message";
    unary_status(client, message).await?;
    let (sink, mut messages) = client.full_duplex_call_streaming(request(())).await?;
    let asked = StreamingOutputCallRequest {
        response_status: Some(echo(message)),
        ..StreamingOutputCallRequest::default()
    };
    sink.send(asked).await?;
    // The server may have ended the call already.
    let _ = sink.finish();
    let status = fails(messages.message().await, Code::Unknown)?;
    equal(&status.message.as_str(), &message, "message of the status")
}

pub(super) async fn special_status_message(client: &TestServiceClient) -> Result<(), Wrong> {
    unary_status(client, SPECIAL).await
}

pub(super) async fn unimplemented_method(client: &TestServiceClient) -> Result<(), Wrong> {
    let outcome = client.unimplemented_call_with(request(Empty {})).await;
    fails(outcome, Code::Unimplemented).map(drop)
}

pub(super) async fn unimplemented_service(client: &Client) -> Result<(), Wrong> {
    let client = UnimplementedServiceClient::new(client.clone());
    let outcome = client.unimplemented_call_with(request(Empty {})).await;
    fails(outcome, Code::Unimplemented).map(drop)
}

pub(super) async fn cancel_after_begin(client: &TestServiceClient) -> Result<(), Wrong> {
    let (sink, mut messages) = client.streaming_input_call_streaming(request(())).await?;
    sink.cancel();
    fails(messages.message().await, Code::Cancelled).map(drop)
}

pub(super) async fn cancel_after_first_response(client: &TestServiceClient) -> Result<(), Wrong> {
    let (sink, mut messages) = client.full_duplex_call_streaming(request(())).await?;
    sink.send(duplex(RESPONSES[0], REQUESTS[0])).await?;
    let response = messages.message().await?;
    let payload = response
        .as_ref()
        .and_then(|response| response.payload.as_ref());
    equal(&size(payload), &RESPONSES[0], "size")?;
    sink.cancel();
    fails(messages.message().await, Code::Cancelled).map(drop)
}

pub(super) async fn timeout_on_sleeping_server(client: &TestServiceClient) -> Result<(), Wrong> {
    let options = CallOptions {
        timeout: Some(Duration::from_millis(1)),
        ..CallOptions::default()
    };
    let call = Request {
        options,
        ..Request::new(())
    };
    let (sink, mut messages) = match client.full_duplex_call_streaming(call).await {
        Ok(call) => call,
        // The time may be over before there is a connection.
        Err(status) => return fails::<()>(Err(status), Code::DeadlineExceeded).map(drop),
    };
    let asked = StreamingOutputCallRequest {
        payload: zeros(REQUESTS[0]),
        ..StreamingOutputCallRequest::default()
    };
    // A call that is over says why where it is received.
    let _ = sink.send(asked).await;
    fails(messages.message().await, Code::DeadlineExceeded).map(drop)
}
