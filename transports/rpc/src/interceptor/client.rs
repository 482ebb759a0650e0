//! Interceptors of a client.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater_core::call::EndedBy;
use headwater_proto::{Code, Metadata, Status};
use tokio::time::Instant;

use super::chains::Chain;
use crate::{
    client::{CallOptions, Client},
    receiver::{CallError, Receiver},
    sender::Sender,
};

/// A call as a client is about to make it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutgoingCall {
    /// The method, such as `/package.Service/Method`.
    pub path: Arc<str>,
    /// The request's metadata.
    pub metadata: Metadata,
    /// How the call is made. The time runs since [`Client::call`], whatever the interceptors do meanwhile.
    pub options: CallOptions,
}

/// Stands between a client's caller and the call.
#[async_trait]
pub trait ClientInterceptor: Send + Sync + 'static {
    /// Takes a call on its way out, and hands it on: `next.run(call).await` opens it and gives its halves.
    ///
    /// It may change what `call` carries, attach a [`super::Transform`] to the halves for what passes later, or hand the
    /// call on more than once and give back the halves that are to count.
    ///
    /// # Errors
    ///
    /// The call was refused, here or further on.
    ///
    /// # Cancel safety
    ///
    /// Dropped with the caller's future, or at the call's deadline.
    async fn intercept(
        &self,
        call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError>;
}

#[async_trait]
impl<I: ClientInterceptor + ?Sized> ClientInterceptor for Arc<I> {
    async fn intercept(
        &self,
        call: OutgoingCall,
        next: ClientNext,
    ) -> Result<(Sender, Receiver), CallError> {
        (**self).intercept(call, next).await
    }
}

/// What comes after an interceptor: the next one, or the transport. Each clone makes a call of its own.
#[derive(Clone)]
pub struct ClientNext {
    chain: Chain<dyn ClientInterceptor>,
    at: usize,
    client: Client,
    /// How large the only request is that follows, if it was there when the call began.
    only: Option<usize>,
    /// When [`Client::call`] was called.
    pub(super) begun: Instant,
}

impl ClientNext {
    pub(crate) fn new(
        chain: Chain<dyn ClientInterceptor>,
        client: Client,
        only: Option<usize>,
    ) -> Self {
        Self {
            chain,
            at: 0,
            client,
            only,
            begun: Instant::now(),
        }
    }

    /// Hands the call on, and gives the halves of the call that was opened.
    ///
    /// # Errors
    ///
    /// As [`Client::call`]; or a later interceptor refused it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the call is cancelled.
    pub async fn run(self, mut call: OutgoingCall) -> Result<(Sender, Receiver), CallError> {
        let Some(interceptor) = self.chain.get(self.at).cloned() else {
            let elapsed = self.begun.elapsed();
            let left = |timeout: Duration| timeout.saturating_sub(elapsed);
            call.options.timeout = call.options.timeout.map(left);
            return self.client.open(call, None, self.only).await;
        };
        let at = self.at + 1;
        interceptor.intercept(call, Self { at, ..self }).await
    }

    /// Hands the call on, for no longer than `timeout`.
    pub(crate) async fn run_within(
        self,
        call: OutgoingCall,
        timeout: Option<Duration>,
    ) -> Result<(Sender, Receiver), CallError> {
        let Some(timeout) = timeout else {
            return self.run(call).await;
        };
        let run = tokio::time::timeout(timeout, self.run(call));
        run.await.unwrap_or_else(|_| {
            Err(CallError {
                status: Status::new(Code::DeadlineExceeded, "the deadline passed"),
                by: EndedBy::Deadline,
            })
        })
    }
}
