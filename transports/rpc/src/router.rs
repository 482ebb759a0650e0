//! Which handler a path has.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::call::Shape;
use headwater_proto::{Metadata, Status};

use crate::{peer::Peer, receiver::Cancellation, server::IncomingCall};

/// Handles the calls of a method. Closures given to [`Router::stream`] are handlers too.
#[async_trait]
pub trait CallHandler: Send + Sync + 'static {
    /// Handles one call, in a task of its own. The task is not cancelled with the call: [`IncomingCall::cancellation`]
    /// and the ends of its halves tell. A call that is not finished when the last [`crate::Sender`] is dropped, ends with
    /// `UNKNOWN`.
    async fn handle(&self, call: IncomingCall);
}

/// The request of a unary call.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// The request's metadata.
    pub metadata: Metadata,
    /// Who calls.
    pub peer: Peer,
    /// The message.
    pub message: Bytes,
    /// Tells that nobody waits for the answer any more.
    pub cancellation: Cancellation,
}

#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) shape: Shape,
    pub(crate) handler: Arc<dyn CallHandler>,
}

/// Handlers by path. Clones share the routes, which may change while a server runs.
#[derive(Clone, Default)]
pub struct Router {
    routes: Arc<RwLock<BTreeMap<Arc<str>, Route>>>,
}

impl Router {
    /// No methods: every call is `UNIMPLEMENTED`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `handler` take the calls of `path`, in place of the one that may be there. `shape` says how many messages
    /// each direction has, which is checked before the handler sees them.
    pub fn insert(&self, path: impl Into<Arc<str>>, shape: Shape, handler: Arc<dyn CallHandler>) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.insert(path.into(), Route { shape, handler });
    }

    /// Has `handle` take the calls of a streaming method.
    ///
    /// An `async move` block takes only the fields of [`IncomingCall`] that it names, and the closure drops the others,
    /// which may end the call: take the call apart, or name it whole.
    pub fn stream<H, F>(&self, path: impl Into<Arc<str>>, handle: H)
    where
        H: Fn(IncomingCall) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.insert(path, Shape::Bidirectional, Arc::new(Streaming(handle)));
    }

    /// Has `handle` answer the calls of a unary method.
    pub fn unary<H, F>(&self, path: impl Into<Arc<str>>, handle: H)
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, Status>> + Send + 'static,
    {
        self.insert(path, Shape::Unary, Arc::new(Unary(handle)));
    }

    /// Removes the handler of `path`; its next call is `UNIMPLEMENTED`, and running ones go on. Says if there was one.
    pub fn remove(&self, path: &str) -> bool {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.remove(path).is_some()
    }

    /// Whether `path` has a handler.
    pub fn contains(&self, path: &str) -> bool {
        self.route(path).is_some()
    }

    /// All paths, in order.
    pub fn paths(&self) -> Vec<Arc<str>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.keys().cloned().collect()
    }

    pub(crate) fn route(&self, path: &str) -> Option<Route> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.get(path).cloned()
    }
}

struct Streaming<H>(H);

#[async_trait]
impl<H, F> CallHandler for Streaming<H>
where
    H: Fn(IncomingCall) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    async fn handle(&self, call: IncomingCall) {
        (self.0)(call).await;
    }
}

struct Unary<H>(H);

#[async_trait]
impl<H, F> CallHandler for Unary<H>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    async fn handle(&self, call: IncomingCall) {
        let mut receiver = call.receiver;
        let mut messages = Vec::new();
        loop {
            match receiver.next_batch(&mut messages).await {
                Ok(0) => break,
                Ok(_) => {}
                // The machine has told the peer, or there is none.
                Err(_) => return,
            }
        }
        // The machine lets no half-close through without the one message.
        let Some(message) = messages.pop() else {
            return;
        };
        let request = Request {
            metadata: call.metadata,
            peer: call.peer,
            message,
            cancellation: call.cancellation,
        };
        let outcome = match (self.0)(request).await {
            Ok(response) => call.sender.try_send(response).map_err(too_large),
            Err(status) => Err(status),
        };
        // The call may have ended meanwhile; then nobody wants the answer.
        let _ = call.sender.finish(outcome, Metadata::new());
    }
}

fn too_large(error: headwater_core::call::SendError) -> Status {
    Status::new(headwater_proto::Code::ResourceExhausted, error.to_string())
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.paths()).finish()
    }
}
