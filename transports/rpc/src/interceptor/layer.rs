//! Any `tower::Layer` as an interceptor.
//!
//! The layer is applied once, to a service whose request is a call with its `next`, so what a layer remembers between
//! requests counts over all calls that pass it: limits of concurrency and rate, shed load, a buffer.
//!
//! On the server the service is done when the handler is, so a layer of concurrency bounds running handlers; a layer that
//! drops its inner future, such as a timeout, drops the handler with it. On the client it is done when the call is open,
//! and what happens to the call afterwards is no longer the layer's: a timeout there bounds the opening.
//!
//! A layer's own error becomes the status of the call: a [`Status`] itself, `DEADLINE_EXCEEDED` for tower's timeout,
//! `RESOURCE_EXHAUSTED` for shed load, and `UNKNOWN`, without its text, for anything else.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    iter::successors,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use headwater_proto::{Code, Metadata, Status};
use tokio::sync::Mutex;
use tower::{BoxError, Layer, Service, load_shed, timeout};

use super::{ClientInterceptor, ClientNext, OutgoingCall, ServerInterceptor, ServerNext};
use crate::{
    handler_error::carried,
    receiver::{CallError, Receiver},
    sender::Sender,
    server::IncomingCall,
};

type Halves = (Sender, Receiver);
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a layer on the server gets as its request.
pub struct ServerCall {
    /// The call.
    pub call: IncomingCall,
    next: ServerNext,
}

/// What a layer on the client gets as its request.
#[derive(Clone)]
pub struct ClientCall {
    /// The call.
    pub call: OutgoingCall,
    next: ClientNext,
}

/// The service inside a server's layer: hands the call on. Clones are alike.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunHandler;

/// The service inside a client's layer: hands the call on. Clones are alike.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenCall;

impl Service<ServerCall> for RunHandler {
    type Response = ();
    // The handler tells its status itself.
    type Error = Infallible;
    type Future = Boxed<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ServerCall) -> Self::Future {
        let ServerCall { call, next } = request;
        Box::pin(async move {
            next.run(call).await;
            Ok(())
        })
    }
}

impl Service<ClientCall> for OpenCall {
    type Response = Halves;
    type Error = CallError;
    type Future = Boxed<Result<Halves, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ClientCall) -> Self::Future {
        let ClientCall { call, next } = request;
        Box::pin(next.run(call))
    }
}

/// A layer as an interceptor: [`LayerInterceptor::server`], [`LayerInterceptor::client`].
pub struct LayerInterceptor<S> {
    service: Mutex<S>,
}

impl LayerInterceptor<()> {
    /// An interceptor for servers.
    pub fn server<L>(layer: L) -> LayerInterceptor<L::Service>
    where
        L: Layer<RunHandler>,
        L::Service: Service<ServerCall, Response = ()>,
    {
        LayerInterceptor::of(layer.layer(RunHandler))
    }

    /// An interceptor for clients.
    pub fn client<L>(layer: L) -> LayerInterceptor<L::Service>
    where
        L: Layer<OpenCall>,
        L::Service: Service<ClientCall, Response = Halves>,
    {
        LayerInterceptor::of(layer.layer(OpenCall))
    }
}

impl<S> LayerInterceptor<S> {
    fn of(service: S) -> Self {
        Self {
            service: Mutex::new(service),
        }
    }

    /// Waits, in the order of arrival, until the service is ready, and gives it the request.
    async fn start<R>(&self, request: R) -> Result<S::Future, S::Error>
    where
        S: Service<R>,
    {
        let mut service = self.service.lock().await;
        poll_fn(|cx| service.poll_ready(cx)).await?;
        Ok(service.call(request))
    }
}

#[async_trait]
impl<S> ServerInterceptor for LayerInterceptor<S>
where
    S: Service<ServerCall, Response = ()> + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    async fn intercept(&self, call: IncomingCall, next: ServerNext) {
        // Kept, for the layer may drop the call.
        let sender = call.sender.clone();
        let started = tokio::select! {
            biased;
            // Nothing is kept waiting for a call that is over.
            () = sender.ended() => return,
            started = self.start(ServerCall { call, next }) => started,
        };
        let result = match started {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            // A call that has ended needs no answer.
            let _ = sender.finish(Err(status(error)), Metadata::new());
        }
    }
}

#[async_trait]
impl<S> ClientInterceptor for LayerInterceptor<S>
where
    S: Service<ClientCall, Response = Halves> + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    async fn intercept(&self, call: OutgoingCall, next: ClientNext) -> Result<Halves, CallError> {
        let result = match self.start(ClientCall { call, next }).await {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        result.map_err(|error| {
            let error: BoxError = error.into();
            match error.downcast::<CallError>() {
                Ok(error) => *error,
                Err(error) => CallError::local(status(error)),
            }
        })
    }
}

/// What the peer or the caller is told of a layer's error.
fn status(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    if let Some(status) = carried(&*error) {
        return status;
    }
    let error: &(dyn Error + 'static) = &*error;
    for error in successors(Some(error), |error| (*error).source()) {
        if error.is::<timeout::error::Elapsed>() {
            return Status::new(Code::DeadlineExceeded, "the call took too long");
        }
        if error.is::<load_shed::error::Overloaded>() {
            return Status::new(Code::ResourceExhausted, "too many calls");
        }
    }
    Status::new(Code::Unknown, "a layer failed")
}

impl<S> fmt::Debug for LayerInterceptor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerInterceptor").finish_non_exhaustive()
    }
}
