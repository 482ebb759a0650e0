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
pub async fn unary<Q, R, F>(
    request: ServerRequest<Messages<Q>>,
    responses: Sink<R>,
    handle: impl FnOnce(ServerRequest<Q>) -> F,
) -> Result<Metadata, Failure>
where
    F: Future<Output = Result<Response<R>, Failure>>,
{
    let request = single(request).await?;
    answer(&responses, handle(request).await?).await
}

/// From the regular tier of a client-streaming method to the streaming one.
///
/// # Errors
///
/// What `handle` says.
pub async fn client_streaming<Q, R, F>(
    request: ServerRequest<Messages<Q>>,
    responses: Sink<R>,
    handle: impl FnOnce(ServerRequest<Messages<Q>>) -> F,
) -> Result<Metadata, Failure>
where
    F: Future<Output = Result<Response<R>, Failure>>,
{
    answer(&responses, handle(request).await?).await
}

/// From the regular tier of a server-streaming method to the streaming one.
///
/// # Errors
///
/// What `handle` says; or the request is not there.
pub async fn server_streaming<Q, R, F>(
    request: ServerRequest<Messages<Q>>,
    responses: Sink<R>,
    handle: impl FnOnce(ServerRequest<Q>, Sink<R>) -> F,
) -> Result<Metadata, Failure>
where
    F: Future<Output = Result<Metadata, Failure>>,
{
    handle(single(request).await?, responses).await
}

async fn single<Q>(request: ServerRequest<Messages<Q>>) -> Result<ServerRequest<Q>, Status> {
    let ServerRequest {
        message: mut messages,
        context,
    } = request;
    // The machine lets no half-close through without the one message.
    let missing = || Status::new(Code::Internal, "the request is missing");
    let message = messages.message().await?.ok_or_else(missing)?;
    // No handler starts for a request that turns out to be two, or that was cancelled.
    while messages.message().await?.is_some() {}
    Ok(ServerRequest::new(message, context))
}

async fn answer<R>(responses: &Sink<R>, response: Response<R>) -> Result<Metadata, Failure> {
    // Empty ones go out with the message, which is one frame less.
    if response.headers.iter().next().is_some() {
        responses.send_headers(response.headers)?;
    }
    responses.send(response.message).await?;
    Ok(response.trailers)
}

/// A method whose calls `handle` takes, which is the streaming tier of `service`.
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
    H: Fn(Arc<S>, ServerRequest<Messages<Q>>, Sink<R>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Metadata, Failure>> + Send + 'static,
{
    let service = Arc::clone(service);
    let run = move |call: IncomingCall| {
        let (request, responses) = open::<C, Q, R>(call);
        let sender = responses.sender().clone();
        let running = handle(Arc::clone(&service), request, responses);
        async move { conclude(&sender, running.await) }
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

/// Ends the call with what its handler says. The call may have ended meanwhile; then nobody wants the outcome.
fn conclude(sender: &Sender, outcome: Result<Metadata, Failure>) {
    let (outcome, trailers) = match outcome {
        Ok(trailers) => (Ok(()), trailers),
        Err(failure) => (Err(failure.status), failure.trailers),
    };
    if sender.finish(outcome, trailers) == Err(SendError::Misuse) {
        let status = Status::new(Code::Internal, "the handler sent no response");
        let _ = sender.finish(Err(status), Metadata::new());
    }
}

/// What a call of a method ends with that its service leaves out.
pub fn unimplemented(method: &MethodDescriptor) -> Status {
    let message = format!("there is no method {}", method.path);
    Status::new(Code::Unimplemented, message)
}
