//! How a generated service is called: what turns each tier into the one above, and the uppermost into a handler.

use std::{future::Future, sync::Arc};

use headwater_core::call::SendError;
use headwater_proto::{Code, Metadata, Status};

use super::{
    Deserializer, Failure, Messages, MethodDescriptor, Response, Serializer, ServerContext,
    ServerRequest, Sink,
};
use crate::{IncomingCall, Method, Sender};

/// From the regular tier of a unary method to the streaming one.
///
/// # Errors
///
/// What `handle` says; or the request is not there.
pub fn unary<Q, R, F>(
    request: ServerRequest<Messages<Q>>,
    responses: Sink<R>,
    handle: impl FnOnce(ServerRequest<Q>) -> F,
) -> impl Future<Output = Result<Metadata, Failure>>
where
    F: Future<Output = Result<Response<R>, Failure>>,
{
    // No `async fn`, and taken apart out here: each call pays for the room that its future has.
    let (mut messages, context) = (request.message, request.context);
    async move {
        let message = single(&mut messages).await?;
        drop(messages);
        let response = handle(ServerRequest::new(message, context)).await?;
        answer(&responses, response).await
    }
}

/// From the regular tier of a client-streaming method to the streaming one.
///
/// # Errors
///
/// What `handle` says.
#[expect(
    clippy::manual_async_fn,
    reason = "what an `async fn` is given it has room for twice, and each call pays for that"
)]
pub fn client_streaming<Q, R, F>(
    request: ServerRequest<Messages<Q>>,
    responses: Sink<R>,
    handle: impl FnOnce(ServerRequest<Messages<Q>>) -> F,
) -> impl Future<Output = Result<Metadata, Failure>>
where
    F: Future<Output = Result<Response<R>, Failure>>,
{
    async move {
        let response = handle(request).await?;
        answer(&responses, response).await
    }
}

/// From the regular tier of a server-streaming method to the streaming one.
///
/// # Errors
///
/// What `handle` says; or the request is not there.
pub fn server_streaming<Q, R, F>(
    request: ServerRequest<Messages<Q>>,
    responses: Sink<R>,
    handle: impl FnOnce(ServerRequest<Q>, Sink<R>) -> F,
) -> impl Future<Output = Result<Metadata, Failure>>
where
    F: Future<Output = Result<Metadata, Failure>>,
{
    let (mut messages, context) = (request.message, request.context);
    async move {
        let message = single(&mut messages).await?;
        drop(messages);
        handle(ServerRequest::new(message, context), responses).await
    }
}

async fn single<Q>(messages: &mut Messages<Q>) -> Result<Q, Status> {
    // The machine lets no half-close through without the one message.
    let missing = || Status::new(Code::Internal, "the request is missing");
    let message = messages.message().await?.ok_or_else(missing)?;
    // No handler starts for a request that turns out to be two, or that was cancelled.
    while messages.message().await?.is_some() {}
    Ok(message)
}

async fn answer<R>(responses: &Sink<R>, response: Response<R>) -> Result<Metadata, Failure> {
    // Empty ones go out with the message, which is one frame less.
    if response.headers.iter().next().is_some() {
        responses.send_headers(response.headers)?;
    }
    responses.send(response.message).await?;
    Ok(response.trailers)
}

/// A method whose calls `handle` takes, which is the streaming tier of `service` and what has the call end with its
/// outcome.
pub fn method<C, S, Q, R, H, F>(
    descriptor: &MethodDescriptor,
    service: &Arc<S>,
    handle: H,
) -> Method
where
    C: Deserializer<Q> + Serializer<R> + 'static,
    S: Send + Sync + 'static,
    Q: 'static,
    R: 'static,
    H: Fn(Arc<S>, ServerRequest<Messages<Q>>, Sink<R>, Finish) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let service = Arc::clone(service);
    let run = move |call: IncomingCall| {
        let (request, responses) = open::<C, Q, R>(call);
        let finish = Finish(responses.sender().clone());
        handle(Arc::clone(&service), request, responses, finish)
    };
    Method::stream(descriptor.name, descriptor.shape, run)
}

fn open<C, Q, R>(call: IncomingCall) -> (ServerRequest<Messages<Q>>, Sink<R>)
where
    C: Deserializer<Q> + Serializer<R>,
{
    let messages = Messages::new::<C>(call.receiver);
    let context = ServerContext {
        path: call.path,
        metadata: call.metadata,
        peer: call.peer,
        cancellation: call.cancellation,
    };
    let request = ServerRequest::new(messages, context);
    (request, Sink::new::<C>(call.sender))
}

/// Ends a call with what its handler says.
#[derive(Debug)]
pub struct Finish(Sender);

impl Finish {
    /// This is the outcome. The call may have ended meanwhile; then nobody wants it.
    pub fn with(self, outcome: Result<Metadata, Failure>) {
        let Self(sender) = self;
        let (outcome, trailers) = match outcome {
            Ok(trailers) => (Ok(()), trailers),
            Err(failure) => (Err(failure.status), failure.trailers),
        };
        if sender.finish(outcome, trailers) == Err(SendError::Misuse) {
            let status = Status::new(Code::Internal, "the handler sent no response");
            let _ = sender.finish(Err(status), Metadata::new());
        }
    }
}

/// What a call of a method ends with that its service leaves out.
pub fn unimplemented(method: &MethodDescriptor) -> Status {
    let message = format!("there is no method {}", method.path);
    Status::new(Code::Unimplemented, message)
}
