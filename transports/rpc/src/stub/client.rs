//! How a generated client calls: one function a shape and depth.

use std::{future::poll_fn, pin::pin};

use futures_core::Stream;
use headwater_proto::{Code, Metadata, Status};

use super::{
    Deserializer, Failure, Messages, MethodDescriptor, Request, Response, Serializer, Sink,
};
use crate::{CallOptions, Client};

/// A unary call: the message of the response.
///
/// # Errors
///
/// The status of the call.
///
/// # Cancel safety
///
/// Dropped before it is done, the call is cancelled.
pub async fn unary<C, Q, R>(
    client: &Client,
    method: &MethodDescriptor,
    message: Q,
) -> Result<R, Status>
where
    C: Serializer<Q> + Deserializer<R>,
{
    let request = C::serialize(&message).map_err(|error| error.sending())?;
    drop(message);
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let response = client
        .unary(method.path, metadata, request, options)
        .await?;
    C::deserialize(response).map_err(|error| error.receiving())
}

/// A unary call, with all that goes with its messages.
///
/// # Errors
///
/// The status of the call and its trailing metadata.
///
/// # Cancel safety
///
/// Dropped before it is done, the call is cancelled.
pub async fn unary_with<C, Q, R>(
    client: &Client,
    method: &MethodDescriptor,
    request: Request<Q>,
) -> Result<Response<R>, Failure>
where
    C: Serializer<Q> + Deserializer<R>,
{
    let messages = server_streaming_with::<C, Q, R>(client, method, request).await?;
    single(messages).await
}

/// A client-streaming call: sends what the stream gives, and returns the message of the response.
///
/// # Errors
///
/// The status of the call, also if the server ends it before the stream has.
///
/// # Cancel safety
///
/// Dropped before it is done, the call is cancelled.
pub async fn client_streaming<C, Q, R>(
    client: &Client,
    method: &MethodDescriptor,
    messages: impl Stream<Item = Q>,
) -> Result<R, Status>
where
    C: Serializer<Q> + Deserializer<R>,
{
    let request = Request::new(messages);
    let response = client_streaming_with::<C, Q, R>(client, method, request).await?;
    Ok(response.message)
}

/// A client-streaming call, with all that goes with its messages.
///
/// # Errors
///
/// As [`client_streaming`], with the trailing metadata.
///
/// # Cancel safety
///
/// Dropped before it is done, the call is cancelled.
pub async fn client_streaming_with<C, Q, R>(
    client: &Client,
    method: &MethodDescriptor,
    request: Request<impl Stream<Item = Q>>,
) -> Result<Response<R>, Failure>
where
    C: Serializer<Q> + Deserializer<R>,
{
    let Request {
        message: stream,
        metadata,
        options,
    } = request;
    let request = Request {
        message: (),
        metadata,
        options,
    };
    let (sink, messages) = streaming::<C, Q, R>(client, method, request).await?;
    let mut response = pin!(single(messages));
    tokio::select! {
        biased;
        // The server may answer before it has read everything.
        response = &mut response => return response,
        sent = forward(&sink, stream) => sent?,
    }
    response.await
}

/// A server-streaming call: the messages of the response.
///
/// # Errors
///
/// What went wrong before the call was open. What comes later is with the messages.
///
/// # Cancel safety
///
/// Dropped before it is done, the call is cancelled.
pub async fn server_streaming<C, Q, R>(
    client: &Client,
    method: &MethodDescriptor,
    message: Q,
) -> Result<Messages<R>, Status>
where
    C: Serializer<Q> + Deserializer<R>,
{
    server_streaming_with::<C, Q, R>(client, method, Request::new(message)).await
}

/// A server-streaming call, with all that goes with its request. Headers and trailers are with the messages.
///
/// # Errors
///
/// As [`server_streaming`].
///
/// # Cancel safety
///
/// Dropped before it is done, the call is cancelled.
pub async fn server_streaming_with<C, Q, R>(
    client: &Client,
    method: &MethodDescriptor,
    request: Request<Q>,
) -> Result<Messages<R>, Status>
where
    C: Serializer<Q> + Deserializer<R>,
{
    let Request {
        message,
        metadata,
        options,
    } = request;
    let bytes = C::serialize(&message).map_err(|error| error.sending())?;
    drop(message);
    let options = CallOptions {
        shape: method.shape,
        ..options
    };
    let call = client.call_with_request(method.path, metadata, bytes, options);
    let (_, receiver) = call.await?;
    Ok(Messages::new::<C>(receiver))
}

/// Any call, as its two halves.
///
/// # Errors
///
/// What went wrong before the call was open. What comes later is with the messages.
///
/// # Cancel safety
///
/// Dropped before it is done, the call is cancelled.
pub async fn streaming<C, Q, R>(
    client: &Client,
    method: &MethodDescriptor,
    request: Request<()>,
) -> Result<(Sink<Q>, Messages<R>), Status>
where
    C: Serializer<Q> + Deserializer<R>,
{
    let options = CallOptions {
        shape: method.shape,
        ..request.options
    };
    let call = client.call(method.path, request.metadata, options).await;
    let (sender, receiver) = call?;
    Ok((Sink::new::<C>(sender), Messages::new::<C>(receiver)))
}

/// Sends all that the stream gives, and then the half-close. Returns OK when the call has ended, too: its end says why.
async fn forward<Q>(sink: &Sink<Q>, stream: impl Stream<Item = Q>) -> Result<(), Status> {
    let mut stream = pin!(stream);
    while let Some(message) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        if let Err(status) = sink.send(message).await {
            return if sink.is_ended() { Ok(()) } else { Err(status) };
        }
    }
    let _ = sink.finish();
    Ok(())
}

/// The response of a call that has one message.
async fn single<R>(mut messages: Messages<R>) -> Result<Response<R>, Failure> {
    let outcome = read_single(&mut messages).await;
    let trailers = messages.trailers().unwrap_or_default();
    match outcome {
        Ok((headers, message)) => Ok(Response {
            headers,
            message,
            trailers,
        }),
        Err(status) => Err(Failure { status, trailers }),
    }
}

async fn read_single<R>(messages: &mut Messages<R>) -> Result<(Metadata, R), Status> {
    let headers = messages.headers().await.unwrap_or_default();
    // The machine lets no such call succeed without its one response.
    let missing = || Status::new(Code::Internal, "the response is missing");
    let message = messages.message().await?.ok_or_else(missing)?;
    // The status comes after the message, and may be a failure.
    while messages.message().await?.is_some() {}
    Ok((headers, message))
}
