//! What takes a method's calls.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::call::SendError;
use headwater_proto::{Code, Metadata, Status};

use crate::{cancellation::Cancellation, peer::Peer, server::IncomingCall};

/// Handles the calls of a method. Closures given to [`crate::Router::stream`] are handlers too.
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
    /// The method, such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// The request's metadata.
    pub metadata: Metadata,
    /// Who calls.
    pub peer: Peer,
    /// The message.
    pub message: Bytes,
    /// Tells that nobody waits for the answer any more.
    pub cancellation: Cancellation,
}

pub(crate) struct Streaming<H>(pub(crate) H);

// Written out, since an `async fn` would have room for the call beside its handler.
impl<H, F> CallHandler for Streaming<H>
where
    H: Fn(IncomingCall) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn handle<'handler, 'run>(
        &'handler self,
        call: IncomingCall,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'run>>
    where
        'handler: 'run,
        Self: 'run,
    {
        Box::pin((self.0)(call))
    }
}

pub(crate) struct Unary<H>(pub(crate) H);

#[async_trait]
impl<H, F, E> CallHandler for Unary<H>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, E>> + Send + 'static,
    E: Into<Status> + Send + 'static,
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
            path: call.path,
            metadata: call.metadata,
            peer: call.peer,
            message,
            cancellation: call.cancellation,
        };
        let outcome = match (self.0)(request).await {
            Ok(response) => call.sender.try_send(response).map_err(too_large),
            Err(error) => Err(error.into()),
        };
        // The call may have ended meanwhile; then nobody wants the answer.
        let _ = call.sender.finish(outcome, Metadata::new());
    }
}

fn too_large(error: SendError) -> Status {
    Status::new(Code::ResourceExhausted, error.to_string())
}
