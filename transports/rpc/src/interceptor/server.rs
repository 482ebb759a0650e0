//! Interceptors of a server.

use std::sync::Arc;

use async_trait::async_trait;

use super::chains::Chain;
use crate::{handler::CallHandler, server::IncomingCall};

/// Stands between a server and its handlers.
#[async_trait]
pub trait ServerInterceptor: Send + Sync + 'static {
    /// Takes a call on its way to its handler, and hands it on: `next.run(call).await`, which comes back when the handler
    /// has.
    ///
    /// Before that it may change what `call` carries, and attach a [`super::Transform`] to its halves for what passes
    /// later. To refuse the call, finish its sender and do not hand it on; a call that is dropped ends with `UNKNOWN`.
    ///
    /// It runs in the handler's task. Dropping `next.run` drops the handler, which no cancelled call does.
    async fn intercept(&self, call: IncomingCall, next: ServerNext);
}

#[async_trait]
impl<I: ServerInterceptor + ?Sized> ServerInterceptor for Arc<I> {
    async fn intercept(&self, call: IncomingCall, next: ServerNext) {
        (**self).intercept(call, next).await;
    }
}

/// What comes after an interceptor: the next one, or the handler.
pub struct ServerNext {
    chain: Chain<dyn ServerInterceptor>,
    at: usize,
    handler: Arc<dyn CallHandler>,
}

impl ServerNext {
    pub(crate) const fn new(
        chain: Chain<dyn ServerInterceptor>,
        handler: Arc<dyn CallHandler>,
    ) -> Self {
        Self {
            chain,
            at: 0,
            handler,
        }
    }

    /// Hands the call on. Done when the handler is, which may leave the halves of the call to other tasks.
    pub async fn run(self, call: IncomingCall) {
        let Self { chain, at, handler } = self;
        let Some(interceptor) = chain.get(at).cloned() else {
            return handler.handle(call).await;
        };
        let at = at + 1;
        let next = Self { chain, at, handler };
        interceptor.intercept(call, next).await;
    }
}
